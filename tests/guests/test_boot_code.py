"""Boot code of real boot loaders as they are installed here, and of Windows by its well-known bytes and messages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from disk_builder import GRUB_PC, SYSLINUX_MBR, _extlinux_boot_sector
from tools import require_file, require_tool

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError
from imgscan.guests.boot_code import GPTMBR, identify_boot_code
from imgscan.model.boot import BootCode

SIGNATURE = b"\x55\xaa"
# the first bytes as published dumps show them (Windows XP: 33 C0 8E D0 BC 00 7C FB 50 07 50 1F FC BE 1B 7C)
XP_MBR = (
    bytes.fromhex("33c08ed0bc007cfb5007501ffcbe1b7c") + b"Invalid partition table\0Error loading operating system\0"
)
SEVEN_MBR = bytes.fromhex("33c08ed0bc007c8ec08ed8be007cbf0006b90002fcf3a4") + b"TCPA Invalid partition table\0"
NTFS_VBR = b"\xeb\x52\x90NTFS    ".ljust(84, b"\0") + b"\xfa\x33\xc0\x8e\xd0\xbc\x00\x7c"


def _code(sector: bytes, second: bytes = b"", signature: bytes = SIGNATURE) -> BootCode:
    return identify_boot_code(MemoryDevice(sector.ljust(510, b"\0")[:510] + signature + second), "disk0")


@pytest.mark.parametrize("name", ["boot.img", "boot_hybrid.img"])
def test_grub_2(name: str) -> None:
    code = _code(require_file(GRUB_PC / name))
    assert (code.what, code.version) == ("grub2", "1.99 or later")


def test_grub_2_in_a_boot_sector_with_parameters() -> None:
    image = require_file(GRUB_PC / "boot.img")
    code = _code(image[:3] + b"MSDOS5.0" + bytes(range(0x0B, 0x5A)) + image[0x5A:])
    assert code.what == "grub2"


def test_the_first_bytes_alone_are_no_grub() -> None:
    assert _code(b"\xeb\x63\x90" + bytes(100) + b"something else").what == "unknown"


@pytest.mark.parametrize("name", SYSLINUX_MBR)
def test_syslinux_mbr(name: str) -> None:
    code = _code(require_file(SYSLINUX_MBR[name]))
    assert code.what == "syslinux"
    assert (code.detail == GPTMBR) == (name == "gpt")


def test_extlinux_boot_sector() -> None:
    assert _code(_extlinux_boot_sector()).what == "extlinux"


@pytest.mark.parametrize(
    ("sector", "second", "what"),
    [
        (XP_MBR, b"", "windows-nt5"),
        (SEVEN_MBR, b"", "windows-nt6"),
        (NTFS_VBR + b"\r\nNTLDR is missing\0", b"\x05\0" + "NTLDR".encode("utf-16-le"), "windows-nt5"),
        (NTFS_VBR + b"\r\nBOOTMGR is missing\0", b"\x07\0" + "BOOTMGR".encode("utf-16-le"), "windows-nt6"),
        (NTFS_VBR + b"\r\nBOOTMGR fehlt\0", b"", "windows-nt6"),
        (NTFS_VBR, b"\x07\0" + "BOOTMGR".encode("utf-16-le"), "windows-nt6"),
        (b"\xfa\xeb\x7c\x6clbaLILO".replace(b"\x6clba", b"lba!"), b"", "unknown"),
        (b"\xfa\xeb\x21\x01\xb4\x01LILO\x16\x08" + bytes(range(200)), b"", "lilo"),
        (b"\xfa\x33\xc0\x8e\xd0\xbc\0\x7c\x8b\xf4" + b"Missing operating system", b"", "unknown"),
        (b"", b"", "none"),
        (b"\xeb\x3c\x90mkfs.fat", b"", "none"),
    ],
)
def test_windows_and_others(sector: bytes, second: bytes, what: str) -> None:
    assert _code(sector, second).what == what


@pytest.mark.parametrize("command", [["mkfs.fat"], ["mkntfs", "-qQF"], ["mkfs.exfat"]], ids=" ".join)
def test_boot_sectors_of_mkfs_boot_nothing(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "volume"
    path.write_bytes(bytes(16 << 20))
    subprocess.run([require_tool(command[0]), *command[1:], str(path)], check=True, capture_output=True)
    assert identify_boot_code(MemoryDevice(path.read_bytes()), "disk0/p1").what == "none"


def test_partition_tables_of_tools_without_boot_code(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(16 << 20))
    subprocess.run([require_tool("sfdisk"), "-q", str(path)], input=b"label: dos\n", check=True, capture_output=True)
    assert identify_boot_code(MemoryDevice(path.read_bytes()), "disk0").what == "none"


def test_code_without_signature_is_said() -> None:
    code = _code(require_file(GRUB_PC / "boot.img"), signature=b"\0\0")
    assert code.what == "grub2"
    assert "55 AA is missing" in code.detail


def test_evidence_is_the_code_area() -> None:
    (evidence,) = _code(b"").evidence
    assert (evidence.where, evidence.offset, evidence.length) == ("disk0", 0, 440)  # type: ignore[union-attr]


def test_tiny_and_unreadable_devices() -> None:
    assert identify_boot_code(MemoryDevice(b"\0" * 100), "disk0").what == "none"

    class Broken(MemoryDevice):
        def read_at(self, offset: int, length: int) -> bytes:
            raise ImageError(f"{length} bytes at {offset} are gone")

    with pytest.raises(ImageError):
        identify_boot_code(Broken(bytes(512)), "disk0")
