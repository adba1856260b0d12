"""fstab mounts filesystems over a network.

What it checks
--------------
Whether a line of `/etc/fstab`, or a mount unit of the system's owner, mounts files of another host or of the
hypervisor: its type (the profile lists them), a source like `host:/path` or `//host/share`, or the option `_netdev`.
Lines with `noauto` count as well. Maps of the automounter are not read.

Why it matters
--------------
The importer disables such lines. What needs those files does not find them on the imported machine.

How to fix
----------
Note what is mounted, and write the lines anew after the import, when the other host can be reached from there.
"""

from __future__ import annotations

import msgspec

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule
from imgscan.model.system import Mount, System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import READS, each_mount


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`types` are the distributed filesystems, as the third field of fstab names them."""

    types: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask each line for its type, source and options."""

    def objection(mount: Mount) -> str | None:
        if mount.type in params.types or mount.how == "network":
            return f"{mount.type or 'its source'} is a network filesystem"
        return "_netdev says that it comes over the network" if "_netdev" in mount.options.split(",") else None

    return each_mount(system, objection, good="the mount table has no network filesystem")


RULE = Rule(
    name="fstab-network-filesystems",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
