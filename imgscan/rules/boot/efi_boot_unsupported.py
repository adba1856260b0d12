"""The machine boots only through EFI, and the target does not boot it that way.

What it checks
--------------
Whether the disks can boot by EFI alone, and if so, whether this is a system and an image format for which the
target makes an exception.

Why it matters
--------------
The target starts the imported machine with a BIOS, which finds no boot code on such a disk; the import is refused.

How to fix
----------
Make the disk boot by BIOS as well, from an MBR: for Linux convert the table with `sgdisk -m`, install GRUB with
`grub-install --target=i386-pc` and remove the EFI system partition; for Windows export the disk as VHDX.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import READS_EFI_EXCEPTION, EfiParams, efi_is_supported, image_of, of_boot_disk


def check(machine: MachineFacts, params: EfiParams) -> Result:
    """Ask the boot disk how it boots, then for the exception."""

    def ask(disk: Disk) -> Result:
        firmware = machine.boot.firmware.get()
        evidence = machine.boot.firmware.evidence or (image_of(disk),)
        if firmware in {"bios", "both"}:
            return passed(f"{disk.name} boots by BIOS", *evidence)
        if firmware == "neither":
            return not_applicable(f"{disk.name} boots neither by BIOS nor by EFI (no-bootable-partition)", *evidence)
        supported = efi_is_supported(machine, disk, params)
        if supported.yes:
            return passed(f"{disk.name} boots by EFI, and the target takes it: {supported.reason}", *supported.evidence)
        return failed(f"{disk.name} boots only by EFI: {supported.reason}", *evidence, *supported.evidence)

    return of_boot_disk(machine, ask)


RULE = Rule(
    name="efi-boot-unsupported",
    title=title(__doc__),
    scope="machine",
    reads=READS_EFI_EXCEPTION,
    remedy=how_to_fix(__doc__),
    check=check,
    params=EfiParams,
)
