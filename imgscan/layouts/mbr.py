"""The master boot record and the extended boot record: four entries of 16 bytes at 446, 55 AA at 510.

UEFI specification section 5.2.1 (legacy master boot record). Read with `struct`: it is on the way of every scan.
"""

from __future__ import annotations

import struct

import msgspec

TABLE_OFFSET = 446
SIGNATURE_OFFSET = 440
GPT_PROTECTIVE = 0xEE
EXTENDED_TYPES = frozenset({0x05, 0x0F, 0x85})


class MbrEntry(msgspec.Struct, frozen=True):
    """One entry; `start` (as stored: relative in an extended boot record) and `size` in sectors."""

    boot_indicator: int
    type: int
    start: int
    size: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing of what is read of it is set."""
        return not (self.boot_indicator or self.type or self.start or self.size)


def parse_entries(sector: bytes) -> tuple[MbrEntry, MbrEntry, MbrEntry, MbrEntry]:
    """Return the four entries of a 512-byte sector."""
    first, second, third, fourth = (
        MbrEntry(*struct.unpack_from("<B3xB3xII", sector, TABLE_OFFSET + 16 * index)) for index in range(4)
    )
    return first, second, third, fourth


def has_boot_signature(sector: bytes) -> bool:
    """Whether the sector ends in 55 AA."""
    return sector[510:512] == b"\x55\xaa"


def disk_signature(sector: bytes) -> int:
    """Return the 32-bit disk signature (Windows calls it so; Linux: disk identifier)."""
    (signature,) = struct.unpack_from("<I", sector, SIGNATURE_OFFSET)
    return int(signature)


TYPE_NAMES = {
    0x01: "FAT12",
    0x04: "FAT16 below 32 MB",
    0x05: "Extended",
    0x06: "FAT16",
    0x07: "NTFS/exFAT/HPFS",
    0x0A: "OS/2 boot manager",
    0x0B: "FAT32",
    0x0C: "FAT32 (LBA)",
    0x0E: "FAT16 (LBA)",
    0x0F: "Extended (LBA)",
    0x11: "Hidden FAT12",
    0x12: "Compaq diagnostics",
    0x14: "Hidden FAT16 below 32 MB",
    0x16: "Hidden FAT16",
    0x17: "Hidden NTFS/HPFS",
    0x1B: "Hidden FAT32",
    0x1C: "Hidden FAT32 (LBA)",
    0x1E: "Hidden FAT16 (LBA)",
    0x27: "Windows recovery",
    0x39: "Plan 9",
    0x3C: "PartitionMagic",
    0x41: "PowerPC PReP boot",
    0x42: "Windows dynamic disk (LDM)",
    0x4D: "QNX 4",
    0x4E: "QNX 4 second part",
    0x4F: "QNX 4 third part",
    0x63: "GNU Hurd/System V",
    0x64: "NetWare 286",
    0x65: "NetWare 386",
    0x80: "Minix (old)",
    0x81: "Minix/old Linux",
    0x82: "Linux swap/Solaris",
    0x83: "Linux",
    0x84: "Hibernation (OS/2 hidden C:)",
    0x85: "Linux extended",
    0x86: "NTFS volume set (FAT16)",
    0x87: "NTFS volume set",
    0x88: "Linux plain text table",
    0x8E: "Linux LVM",
    0x9F: "BSD/OS",
    0xA0: "Laptop hibernation",
    0xA5: "FreeBSD",
    0xA6: "OpenBSD",
    0xA7: "NeXTSTEP",
    0xA8: "Darwin UFS",
    0xA9: "NetBSD",
    0xAB: "Darwin boot",
    0xAF: "HFS/HFS+",
    0xB7: "BSDI",
    0xB8: "BSDI swap",
    0xBC: "Acronis",
    0xBE: "Solaris boot",
    0xBF: "Solaris",
    0xDA: "Data without filesystem",
    0xDE: "Dell utility",
    0xEB: "BeOS BFS",
    0xEE: "GPT protective",
    0xEF: "EFI system",
    0xF0: "PA-RISC boot",
    0xFB: "VMware VMFS",
    0xFC: "VMware swap/dump",
    0xFD: "Linux RAID autodetect",
}
"""Usual names of partition types."""
