"""Nothing on the disks can boot.

What it checks
--------------
Whether one of the disks can start a system: boot code with an active or BIOS boot partition, or an EFI system
partition with a loader; and, once every volume could be searched, whether there is an installed system to start.

Why it matters
--------------
The importer finds no boot volume, or the imported machine stops at its firmware.

How to fix
----------
Check that the boot disk is among the disks given and that the export is whole. Else repair the boot from rescue
media: `grub-install` for Linux, `bootsect /nt60 sys /mbr` and `bcdboot` for Windows, and mark the partition active.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.rules.explanation import how_to_fix, title


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask for the candidates for the boot disk, then for a system to boot."""
    disks = machine.boot.disk.get()
    evidence = machine.boot.disk.evidence
    if not disks:
        looked = evidence or tuple(AtOffset(disk.name, 0, 512, "boot sector") for disk in machine.disks)
        disk_names = [disk.name for disk in machine.disks]
        found = "; ".join(
            f"{code.where}: {'no' if code.what == 'none' else code.what} boot code"
            f"{f' ({code.detail})' if code.detail else ''}"
            for code in machine.boot.code
            if code.what != "none" or code.where in disk_names
        )
        reason = found or "no disk has boot code"
        loaders = "; ".join(
            f"{loader.volume}:{loader.path}: {loader.what} starts nothing"
            f"{f' ({loader.detail})' if loader.detail else ''}"
            for loader in machine.boot.loaders
        )
        loaders = loaders or "there is no EFI loader"
        return failed(f"nothing boots from {', '.join(disk_names) or 'the machine'}: {reason}; {loaders}", *looked)
    firmware = machine.boot.firmware.get()
    evidence = (*evidence, *machine.boot.firmware.evidence) or (AtOffset(disks[0], 0, 512, "boot sector"),)
    if firmware == "neither":
        return failed(f"{', '.join(disks)} boots neither by BIOS nor by EFI", *evidence)
    if not machine.systems and machine.systems_searched.is_known:
        searched = machine.systems_searched.get()
        looked = tuple(AtOffset(name, 0, 0, "searched for an installed system") for name in searched)
        return failed(
            f"{', '.join(disks)} has a loader, but no volume holds an installed system "
            f"(searched: {', '.join(searched) or 'none could be'})",
            *evidence,
            *looked,
        )
    how = {"bios": "BIOS", "uefi": "EFI", "both": "BIOS and EFI"}[firmware]
    return passed(f"{' or '.join(disks)} boots by {how}", *evidence)


RULE = Rule(
    name="no-bootable-partition",
    title=title(__doc__),
    scope="machine",
    reads=("boot.disk", "boot.code", "boot.loaders", "boot.firmware", "systems", "systems_searched"),
    remedy=how_to_fix(__doc__),
    check=check,
)
