"""A generation 2 machine boots from a VHD.

What it checks
--------------
Whether the boot disk is a VHD that boots only by EFI: Hyper-V boots such a disk in no generation 2 machine, and a
generation 1 machine has no EFI. Without a configuration file this is how the generation is told from the disks.

Why it matters
--------------
Generation 2 machines are taken with VHDX disks only.

How to fix
----------
Convert the disks with `Convert-VHD` to VHDX, or rebuild the machine as generation 1 with BIOS boot.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of, known_format_of, of_boot_disk


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask the boot disk for its format, then how it boots."""

    def ask(disk: Disk) -> Result:
        image = known_format_of(disk)
        if image == "vhdx":
            return passed(f"the boot disk {disk.name} is a VHDX, as either generation may have", image_of(disk))
        if image != "vhd":
            return not_applicable(f"the boot disk {disk.name} is a {image} image, not one of Hyper-V", image_of(disk))
        firmware = machine.boot.firmware.get()
        evidence = (image_of(disk), *machine.boot.firmware.evidence)
        if firmware == "uefi":
            return failed(f"the boot disk {disk.name} boots only by EFI, as generation 2 does, and is a VHD", *evidence)
        return passed(f"the boot disk {disk.name} is a VHD and boots by BIOS, as generation 1 does", *evidence)

    return of_boot_disk(machine, ask)


RULE = Rule(
    name="generation-2-on-vhd",
    title=title(__doc__),
    scope="machine",
    reads=("boot.disk", "boot.firmware", "disks.format", "disks.problems", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
