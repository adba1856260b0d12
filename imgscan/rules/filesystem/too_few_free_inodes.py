r"""The root volume has too few free inodes.

What it checks
--------------
How many files can still be made on the volume that holds the root. Filesystems that make inodes as they need them
without a limit (Btrfs) have enough.

Why it matters
--------------
The importer adds files (drivers, originals of the files that it changes); without inodes no file can be made, however
much space is free. virt-v2v, which converts machines in the same way, asks for 100 on each filesystem.

How to fix
----------
Remove files that are not needed; `find / -xdev -printf '%h\n' | sort | uniq -c | sort -n | tail` shows where the most
are (mail queues, sessions, caches). The number of inodes of an ext filesystem is fixed when it is made.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import volume_named


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`min_inodes` is how many have to be free at least."""

    min_inodes: int


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Compare the free inodes of the root volume with the limit."""
    volume = volume_named(machine, system.root)
    if volume.free is None:
        raise UnreadFact("missing", f"the free space of {volume.name} is not known")
    inodes = volume.free.get().inodes
    evidence = volume.free.evidence or volume.signature.evidence or (AtOffset(volume.name, 0, 0, "free inodes"),)
    if inodes is None:
        return passed(f"the root {volume.name} makes inodes as it needs them", *evidence)
    if inodes >= params.min_inodes:
        return passed(f"{inodes} inodes of the root {volume.name} are free", *evidence)
    return failed(f"{inodes} inodes of the root {volume.name} are free, fewer than {params.min_inodes}", *evidence)


RULE = Rule(
    name="too-few-free-inodes",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "volumes.free", "volumes.signature"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
