"""What the machine can boot with: boot code, loaders, firmware, the boot disk."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact

Firmware = Literal["bios", "uefi", "both", "neither"]

BootCodeName = Literal[
    "grub-legacy", "grub2", "lilo", "syslinux", "extlinux", "isolinux", "windows-nt5", "windows-nt6", "none", "unknown"
]


class BootCode(msgspec.Struct, frozen=True, kw_only=True):
    """Boot code in a boot sector.

    `where` is a disk (its MBR) or a partition (its boot sector); `what` its name, `none` when the code area is empty;
    `version` what its version bytes say ("1.99 or later"), None when they say nothing. `loads` names the volume that
    its next stage reads (the GRUB prefix, resolved over all disks), None when it names none or it was not found;
    `detail` is one line for the reader.
    """

    where: str
    what: BootCodeName
    version: str | None = None
    loads: str | None = None
    detail: str = ""
    evidence: tuple[Evidence, ...] = ()


class Loader(msgspec.Struct, frozen=True, kw_only=True):
    r"""An EFI executable on an EFI system partition.

    `machine` is the PE machine type (`x86_64`, `x86`, `aarch64`, `arm`, or `0x....`), None when it is no PE file;
    `what` is `shim`, `grub2`, `windows-boot-manager`, `systemd-boot`, `unified-kernel-image`, `fallback`,
    `memtest`, `mok-manager`, `refind`, `unknown`, ...; `fallback` is whether firmware starts it without a boot entry
    (\\EFI\\BOOT\\BOOTX64.EFI and its like); `detail` says why it starts nothing, or may not, and is empty otherwise.
    """

    volume: str
    path: str
    machine: str | None
    what: str
    fallback: bool = False
    detail: str = ""


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """What boots, and with what.

    `disk` lists the candidates for the boot disk: one when it is certain, none when nothing boots, several when
    the files do not say which. `code` and `loaders` hold what was found where it could be read.
    """

    firmware: Fact[Firmware]
    disk: Fact[tuple[str, ...]]
    code: tuple[BootCode, ...] = ()
    loaders: tuple[Loader, ...] = ()
