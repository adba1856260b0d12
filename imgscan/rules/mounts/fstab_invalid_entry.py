r"""fstab has a line that cannot be mounted.

What it checks
--------------
Each line of `/etc/fstab` as mount(8) and systemd read it, and the mount units of the system's owner: whether it has a
mount point and a type, whether the mount point is an absolute path, whether the last two fields are numbers, whether a
line before mounts something at the same place, and whether the volume holds another type of filesystem than the line
says. A blank in a name must be written `\040`.

Why it matters
--------------
The importer comments such lines out. What they should have mounted is missing on the imported machine.

How to fix
----------
Correct the line or remove it; `findmnt --verify` (util-linux 2.29 or later) checks the whole file on the running
machine.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import READS, each_mount


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask each line for its flaw."""
    return each_mount(system, lambda mount: mount.flaw, good="each line of the mount table can be mounted")


RULE = Rule(
    name="fstab-invalid-entry",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
