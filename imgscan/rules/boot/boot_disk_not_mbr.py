"""The boot disk has no MBR partition table.

What it checks
--------------
The partitioning of the boot disk. A GPT passes only where the target makes an exception for a system that boots by
EFI. A disk without any table is not an MBR disk either.

Why it matters
--------------
The target boots from MBR disks; others are refused, or do not boot after the import.

How to fix
----------
Convert the table to MBR and install the BIOS loader again: `sgdisk -m` and `grub-install` for Linux. There is room
for four primary partitions, and the disk must not be larger than 2 TiB.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import (
    READS_EFI_EXCEPTION,
    EfiParams,
    efi_is_supported,
    image_of,
    of_boot_disk,
    partition_table_of,
)


def check(machine: MachineFacts, params: EfiParams) -> Result:
    """Ask the boot disk for its table, then for the exception."""

    def ask(disk: Disk) -> Result:
        scheme = partition_table_of(disk).scheme
        evidence = disk.partitioning.evidence or (image_of(disk),)
        if scheme == "mbr":
            return passed(f"the boot disk {disk.name} is MBR", *evidence)
        if scheme == "none":
            return failed(f"the boot disk {disk.name} has no partition table", *evidence)
        firmware = machine.boot.firmware.get()
        if firmware not in {"uefi", "both"}:
            return failed(f"the boot disk {disk.name} is GPT, and does not boot by EFI", *evidence)
        supported = efi_is_supported(machine, disk, params)
        if supported.yes:
            return passed(
                f"the boot disk {disk.name} is GPT, and the target takes it: {supported.reason}",
                *evidence,
                *supported.evidence,
            )
        return failed(f"the boot disk {disk.name} is GPT: {supported.reason}", *evidence, *supported.evidence)

    return of_boot_disk(machine, ask)


RULE = Rule(
    name="boot-disk-not-mbr",
    title=title(__doc__),
    scope="machine",
    reads=(*READS_EFI_EXCEPTION, "disks.partitioning", "disks.partition_table"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=EfiParams,
)
