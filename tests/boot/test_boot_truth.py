"""Booting is the truth: what imgscan says before is what the machine then does in qemu.

Real Debian installations (guest_builder.py) boot to their login prompt, and do not boot any more with one thing taken
away. Each machine is scanned first, and started afterwards from the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from debian_tree import run
from disk_builder import MIB, convert, write_at
from guest_builder import LAYOUTS, guest_disks
from imgscan_command import outcomes, scan
from qemu_boot import Outcome, boot
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("qemu-system-x86_64", "debootstrap", "qemu-img")]


def scanned(disks: list[Path], folder: Path) -> dict[str, Any]:
    """Scan the disks as VHDX exports."""
    return scan([convert(disk, "vhdx", folder / f"{disk.stem}.vhdx") for disk in disks])


@pytest.mark.parametrize("name", ["mbr", "gpt-bios", "gpt-esp", "two-disks"])
def test_an_installed_debian_boots_as_imgscan_says(name: str, scratch: Path) -> None:
    layout, disks = LAYOUTS[name], guest_disks(name)
    machine = scanned(disks, scratch)
    assert machine["boot"]["firmware"]["value"] == layout.firmware
    assert machine["boot"]["disk"]["value"] == ["disk0"]
    assert outcomes(machine)["no-bootable-partition"] == "pass"
    assert [s["id"]["value"] for s in machine["systems"]] == ["debian"]
    assert [s["bootloader"]["value"] for s in machine["systems"]] == ["grub2"]
    booted = boot(disks, firmware=layout.firmware)
    assert booted.outcome == "login", booted.console[-2000:]


def zero(image: Path, offset: int, length: int) -> None:
    """Overwrite bytes with zeros."""
    write_at(image, offset, bytes(length))


def without_boot_code(disks: list[Path]) -> None:
    zero(disks[0], 0, 440)


def without_partition(number: int) -> Callable[[list[Path]], None]:
    def change(disks: list[Path]) -> None:
        run(["sfdisk", "--quiet", "--no-reread", "--delete", disks[0], str(number)])

    return change


def without_bios_boot_partition(disks: list[Path]) -> None:
    """Take the partition away with what it holds: its table entry alone is not read by boot code."""
    without_partition(1)(disks)
    zero(disks[0], MIB, MIB)


def without_root_filesystem(disk: int, start: int) -> Callable[[list[Path]], None]:
    """Overwrite the superblock and its first copies, the group descriptors and the root folder's inode."""

    def change(disks: list[Path]) -> None:
        zero(disks[disk], start * MIB, 16 * MIB)

    return change


def without_loader(disks: list[Path]) -> None:
    for path in ("::/EFI/BOOT/BOOTX64.EFI", "::/EFI/debian/grubx64.efi"):
        run(["mdel", "-i", f"{disks[0]}@@{MIB}", path])


def without_second_disk(disks: list[Path]) -> None:
    disks.pop()


@dataclass(frozen=True)
class Broken:
    """A fault: how it is made, what imgscan says of it before, and how the machine then stops.

    `firmware` is what the first disk can boot with: the loader of two disks is whole, and only its root is missing.
    `has_system`: whether an installed system is still there to be found.
    """

    layout: str
    change: Callable[[list[Path]], None]
    stops: Outcome
    firmware: Literal["bios", "uefi", "neither"] = "neither"
    has_system: bool = True


BROKEN = {
    "mbr-no-boot-code": Broken("mbr", without_boot_code, "boot-code-hangs"),
    "mbr-no-active-partition": Broken("mbr", without_partition(1), "grub-rescue", has_system=False),
    "mbr-no-root": Broken("mbr", without_root_filesystem(0, 1), "grub-rescue", has_system=False),
    "gpt-bios-no-boot-code": Broken("gpt-bios", without_boot_code, "boot-code-hangs"),
    "gpt-bios-no-boot-partition": Broken("gpt-bios", without_bios_boot_partition, "boot-code-hangs"),
    "gpt-bios-no-root": Broken("gpt-bios", without_root_filesystem(0, 2), "grub-rescue", has_system=False),
    "gpt-esp-no-loader": Broken("gpt-esp", without_loader, "no-loader"),
    "gpt-esp-no-esp": Broken("gpt-esp", without_partition(1), "no-loader"),
    "gpt-esp-no-root": Broken("gpt-esp", without_root_filesystem(0, 65), "grub-rescue", has_system=False),
    "two-disks-no-boot-code": Broken("two-disks", without_boot_code, "boot-code-hangs"),
    "two-disks-no-boot-partition": Broken("two-disks", without_partition(1), "grub-rescue"),
    "two-disks-no-root": Broken("two-disks", without_root_filesystem(1, 1), "no-root", "bios", has_system=False),
    "two-disks-second-not-given": Broken("two-disks", without_second_disk, "no-root", "bios", has_system=False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_debian_stops_as_imgscan_says(name: str, scratch: Path) -> None:
    broken = BROKEN[name]
    disks = [scratch / disk.name for disk in guest_disks(broken.layout)]
    for source, copy in zip(guest_disks(broken.layout), disks, strict=True):
        run(["cp", "--sparse=always", "--reflink=auto", source, copy])
    broken.change(disks)
    machine = scanned(disks, scratch)
    assert machine["boot"]["firmware"]["value"] == broken.firmware
    assert outcomes(machine)["no-bootable-partition"] == "fail"
    assert machine["verdicts"][0]["readiness"] == "not-ready"
    assert bool(machine["systems"]) == broken.has_system
    booted = boot(disks, firmware=LAYOUTS[broken.layout].firmware)
    assert booted.outcome == broken.stops, booted.console[-2000:]
