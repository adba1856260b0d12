"""A volume group lacks a physical volume, or has one twice, and no system needs what is lost to start.

What it checks
--------------
The same as `incomplete-volume-group`, for all other volumes: those that no system mounts or that it mounts with
`nofail`, those whose mirror or parity stands in for the missing part, and those that lie beside it.

Why it matters
--------------
The machine starts, but data does not arrive whole, or has lost its redundancy; LVM's tools refuse to change an
incomplete group.

How to fix
----------
Export all disks of the group or of the Btrfs and give them together. If the disk is lost on purpose, take it out of
the group inside the source machine (`vgreduce --removemissing`, which also removes the volumes on it unless they are
mirrored).
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.volume_groups import READS, of_volume_groups


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask the volumes that no system needs."""
    return of_volume_groups(machine, needed=False)


RULE = Rule(
    name="incomplete-data-volume-group",
    title=title(__doc__),
    scope="machine",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
