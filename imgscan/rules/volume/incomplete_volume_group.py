"""A logical volume that a system needs has lost a part of its volume group.

What it checks
--------------
The metadata of every LVM2 volume group against the physical volumes on the given disks: each has to be there, once, and
with metadata that can be read. A Btrfs on several devices has to have all of them. It fails for a volume that a system
starts from or mounts without `nofail`, and for any where no system was found. A volume that can be read without the
missing part, as its mirror is whole or nothing of it lies there, is left to `incomplete-data-volume-group`.

Why it matters
--------------
LVM does not activate a logical volume that has lost a part, nor a group of which one physical volume appears twice: the
system does not find its root, or waits for a mount until it gives up. Nor is a Btrfs mounted that lacks a device,
unless the mount options say `degraded`. Most often a disk was left out of the export, or the same disk was exported
twice.

How to fix
----------
Export all disks of the group or of the Btrfs and give them together. Leave out the copy of a disk that is there twice,
or give it an identity of its own with `vgimportclone`.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.volume_groups import READS, of_volume_groups


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask the volumes that a system needs."""
    return of_volume_groups(machine, needed=True)


RULE = Rule(
    name="incomplete-volume-group",
    title=title(__doc__),
    scope="machine",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
