"""The machine boots by BIOS, and yet has an EFI system partition.

What it checks
--------------
EFI system partitions on any disk of a machine that boots by BIOS, or by both. Systems and image formats for which
the target makes an exception pass. A machine that boots only by EFI is `efi-boot-unsupported`.

Why it matters
--------------
Importers tell EFI machines by this partition: they may refuse the machine, or start it with the wrong firmware.

How to fix
----------
If the system never boots by EFI, delete the EFI system partition and its line in `/etc/fstab` before the export.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import (
    EFI_SYSTEM_PARTITION,
    READS_EFI_EXCEPTION,
    EfiParams,
    efi_is_supported,
    of_boot_disk,
    partition_table_of,
    where_partitioned,
)


def check(machine: MachineFacts, params: EfiParams) -> Result:
    """Ask how the machine boots, then every disk for an EFI system partition, then for the exception."""

    def ask(disk: Disk) -> Result:
        found = [p for p in partition_table_of(disk).partitions if p.type.lower() in EFI_SYSTEM_PARTITION]
        if not found:
            return passed(f"{disk.name} has no EFI system partition", *where_partitioned(disk))
        return failed(
            f"{', '.join(p.name for p in found)} {'is an EFI system partition' if len(found) == 1 else 'are such'}",
            *(AtOffset(disk.name, p.start, 0, f"EFI system partition {p.name}") for p in found),
        )

    def ask_boot_disk(disk: Disk) -> Result:
        supported = efi_is_supported(machine, disk, params)
        if supported.yes:
            return passed(f"the target takes an EFI system partition here: {supported.reason}", *supported.evidence)
        return failed(f"the machine boots by BIOS, and {found.summary}", *found.evidence)

    if not machine.boot.disk.get():
        return not_applicable("no disk of the machine can boot (no-bootable-partition says why)")
    firmware = machine.boot.firmware.get()
    if firmware == "uefi":
        return not_applicable(
            "the machine boots only by EFI (efi-boot-unsupported decides)", *machine.boot.firmware.evidence
        )
    if firmware == "neither":
        return not_applicable("the machine does not boot (no-bootable-partition)", *machine.boot.firmware.evidence)
    found = over(machine.disks, ask, none="the machine has no disks")
    return of_boot_disk(machine, ask_boot_disk) if found.outcome == "fail" else found


RULE = Rule(
    name="efi-partition-present",
    title=title(__doc__),
    scope="machine",
    reads=(*READS_EFI_EXCEPTION, "disks.partitioning", "disks.partition_table"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=EfiParams,
)
