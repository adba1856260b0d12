"""The target will convert the boot disk from GPT to MBR.

What it checks
--------------
Whether the boot disk is GPT, boots by EFI and is one that the target takes nevertheless: then it converts it. An MBR
disk stays as it is; a GPT disk that is refused is `boot-disk-not-mbr`.

Why it matters
--------------
The imported machine is not the exported one: its boot disk has another partition table and boots by BIOS. What
counts on GPT or EFI (Secure Boot, BitLocker bound to measured boot, partition GUIDs) is lost.

How to fix
----------
Nothing has to be done. Suspend BitLocker before the export, and compare the partitions after the import; to decide
the conversion yourself, do it before the export.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
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
    """Ask the boot disk whether it is the exception."""

    def ask(disk: Disk) -> Result:
        scheme = partition_table_of(disk).scheme
        evidence = disk.partitioning.evidence or (image_of(disk),)
        if scheme == "mbr":
            return passed(f"the boot disk {disk.name} is MBR and stays as it is", *evidence)
        if scheme == "none":
            return not_applicable(f"the boot disk {disk.name} has no partition table", *evidence)
        if machine.boot.firmware.get() not in {"uefi", "both"}:
            return not_applicable(f"the boot disk {disk.name} is GPT and does not boot by EFI", *evidence)
        supported = efi_is_supported(machine, disk, params)
        if not supported.yes:
            return not_applicable(
                f"the boot disk {disk.name} is GPT and not taken at all (boot-disk-not-mbr)", *supported.evidence
            )
        return failed(
            f"the boot disk {disk.name} is GPT and becomes MBR with BIOS boot: {supported.reason}",
            *evidence,
            *supported.evidence,
        )

    return of_boot_disk(machine, ask)


RULE = Rule(
    name="boot-disk-converted-to-mbr",
    title=title(__doc__),
    scope="machine",
    reads=(*READS_EFI_EXCEPTION, "disks.partitioning", "disks.partition_table"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=EfiParams,
)
