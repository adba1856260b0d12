"""Which boot code a boot sector holds.

Told by structure and by the messages it prints, not by its first two bytes alone: GRUB by the place of its messages,
Windows and DOS by their code and messages, Syslinux and LILO by their marks.
"""

from __future__ import annotations

import re

from imgscan.devices.device import BlockDevice
from imgscan.layouts.grub import MESSAGES
from imgscan.model.boot import BootCode, BootCodeName
from imgscan.model.evidence import AtOffset

CODE_BYTES = 440
"""What a boot sector can use before the disk signature and the table."""
GPTMBR = "Syslinux gptmbr.bin: it starts the GPT partition with the legacy-boot attribute"
FREEDOS = "FreeDOS' boot sector"
DOS = "a DOS boot sector"

_NT5 = bytes.fromhex("33c08ed0bc007cfb5007501ffc")
_NT6 = bytes.fromhex("33c08ed0bc007c8ec08ed8be007c")
_MBR_MESSAGES = (b"Invalid partition table", b"Error loading operating system", b"Missing operating system")


def identify_boot_code(device: BlockDevice, where: str) -> BootCode:
    """Return the boot code in the first sector of a disk or partition; `where` is its name, for evidence.

    :raises ImageError: the sector cannot be read
    """
    sectors = device.read_at(0, min(1024, device.size))  # NTFS names what it loads in the second
    sector = sectors[:512]
    what, version, detail = _classify(sector.ljust(512, b"\0"), sectors[512:])
    if what != "none" and sector[510:512] != b"\x55\xaa":
        detail = f"{detail}; firmware does not start it, 55 AA is missing" if detail else "55 AA is missing"
    return BootCode(
        where=where,
        what=what,
        version=version,
        detail=detail,
        evidence=(AtOffset(where, 0, CODE_BYTES, "boot code"),),
    )


def _classify(sector: bytes, second: bytes) -> tuple[BootCodeName, str | None, str]:
    """Return name, version and detail."""
    if not any(sector[:CODE_BYTES]):
        return "none", None, "the code area is empty"
    if MESSAGES in sector[0x150:0x1F0]:
        return _grub(sector)
    if b"This is not a bootable disk" in sector:
        return "none", None, "mkfs' notice that nothing here boots"
    if sector[6:10] == b"LILO" or sector[2:6] == b"LILO":
        return "lilo", None, "LILO; the map of sectors that it loads is not followed"
    found = _syslinux(sector) or _windows(sector, second)
    if found is not None:
        return found
    code = 0x78 if sector[3:11] == b"EXFAT   " else 0x5A  # behind the parameters
    if sector[0] in {0xEB, 0xE9} and len(set(sector[code:CODE_BYTES])) == 1:  # zeros, or F4 (halt) as exFAT has it
        return "none", None, "a jump and parameters, and no code behind them"
    return "unknown", None, _unknown(sector)


def _grub(sector: bytes) -> tuple[BootCodeName, str | None, str]:
    if sector[:2] == b"\xeb\x48":
        stage = f"{sector[0x3E]}.{sector[0x3F]}"
        return "grub-legacy", None, f"GRUB legacy, boot sector of version {stage}"
    versions = {b"\x00\x20": "1.99 or later", b"\x7c\x3c": "1.97 or 1.98"}
    version = "1.96" if sector[:2] == b"\xeb\x4c" else versions.get(sector[0x80:0x82])
    return "grub2", version, "GRUB 2"


def _syslinux(sector: bytes) -> tuple[BootCodeName, str | None, str] | None:
    if sector[3:11] in {b"EXTLINUX", b"SYSLINUX"}:
        name: BootCodeName = "extlinux" if sector[3:11] == b"EXTLINUX" else "syslinux"
        return name, None, "Syslinux' boot sector; the sectors that it loads are not followed"
    if b"isolinux.bin missing or corrupt" in sector:
        return "isolinux", None, "isolinux' MBR for a disk"
    if sector[:2] == b"\x33\xc0" or sector[:3] == b"\xfa\x31\xc0":
        if b"Missing OS" in sector and b"Multiple active partitions" in sector:
            return "syslinux", None, GPTMBR
        if b"perating system load error." in sector:
            return "syslinux", None, "Syslinux' MBR: it starts the active partition"
    return None


def _windows(sector: bytes, second: bytes) -> tuple[BootCodeName, str | None, str] | None:
    boot_file = re.match(rb"[\x00-\x0c]\x00((?:[A-Z0-9]\x00){4,12})", second)
    loads = boot_file[1].decode("utf-16-le") if boot_file else ""
    if b"BOOTMGR" in sector or loads == "BOOTMGR":
        return "windows-nt6", "Windows Vista or later", "a boot sector that loads bootmgr"
    if b"NTLDR" in sector or loads == "NTLDR":
        return "windows-nt5", "Windows NT to 2003", "a boot sector that loads NTLDR"
    if sector.startswith(_NT6) or (b"TCPA" in sector and sector[:3] == b"\x33\xc0\x8e"):
        return "windows-nt6", "Windows Vista or later", "Windows' MBR: it starts the active partition"
    if sector.startswith(_NT5):
        return "windows-nt5", "Windows 2000 to 2003", "Windows' MBR: it starts the active partition"
    return None


def _unknown(sector: bytes) -> str:
    if any(message in sector for message in _MBR_MESSAGES):
        return "an MBR like that of DOS, which starts the active partition"
    if b"KERNEL  SYS" in sector or b"FreeDOS" in sector or b"FRDOS" in sector:
        return FREEDOS
    if b"IO      SYS" in sector:
        return DOS
    if sector.startswith(b"\xfa\xb8\x00\x10\x8e\xd0"):
        return "GNU Parted's MBR, which starts the active partition"
    return "code that imgscan does not know"
