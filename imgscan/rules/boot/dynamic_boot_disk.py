"""The machine boots from a dynamic disk of Windows, or its Windows lies on one.

What it checks
--------------
The partition types of the boot disk, and of the disks that hold the root of a Windows: those of dynamic disks (LDM) are
0x42 in an MBR, and two types of their own in a GPT. Dynamic disks that hold data alone pass.

Why it matters
--------------
The volumes of dynamic disks stand in a database at the end of the disk, and may be spread over several disks: mirrored,
striped, spanned. An importer that reads partitions alone does not find them, or changes one half of a mirror, and a
dynamic disk cannot be converted from GPT to MBR.

How to fix
----------
Move Windows to a basic disk before the export: break mirrors (`diskpart`: `break disk`), copy the volumes to a basic
disk with an imaging tool, and boot from that. Windows itself makes a disk basic again only when it is empty.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import disk_named, of_boot_disk, partition_table_of, where_partitioned

_TYPES = frozenset({"0x42", "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad"})
"""Partition types of dynamic disks."""


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask about the disks below each Windows, and about the boot disk."""

    def ask(disk: Disk) -> Result:
        dynamic = [partition for partition in partition_table_of(disk).partitions if partition.type.lower() in _TYPES]
        if not dynamic:
            return passed(f"{disk.name} is no dynamic disk", *where_partitioned(disk))
        names = {partition.name for partition in dynamic}
        groups = {v.metadata["disk_group"] for v in machine.volumes if v.name in names and "disk_group" in v.metadata}
        group = f", of the disk group {', '.join(sorted(groups))}" if groups else ""
        evidence = tuple(AtOffset(p.name, 0, 0, f"partition of type {p.type_name or p.type}") for p in dynamic)
        return failed(f"{disk.name} is a dynamic disk{group}", *evidence)

    below = {
        name for system in machine.systems if system.family == "windows" for name in machine.disks_below(system.root)
    }
    for name in sorted(below):
        answer = ask(disk_named(machine, name))
        if answer.outcome == "fail":
            return answer
    return of_boot_disk(machine, ask)


RULE = Rule(
    name="dynamic-boot-disk",
    title=title(__doc__),
    scope="machine",
    reads=(
        "boot.disk",
        "disks.partitioning",
        "disks.partition_table",
        "systems.family",
        "systems.root",
        "volumes.on",
        "volumes.metadata",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
)
