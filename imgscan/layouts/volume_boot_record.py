"""The boot sector of a FAT, exFAT, NTFS, ReFS or BitLocker volume, told apart from a master boot record.

All of them end in 55 AA like a partition table. The checks on the BIOS parameter block (BPB) are those that libblkid
makes (util-linux, libblkid/src/superblocks/{vfat,exfat,ntfs,refs,bitlocker}.c), so that both give the same verdict.
Offsets: Microsoft FAT specification section 3.1, exFAT specification section 3.1, [NTFS] $Boot.
"""

from __future__ import annotations

import struct

import msgspec

FAT12_CLUSTERS = 0xFF4
FAT16_CLUSTERS = 0xFFF4
FAT32_CLUSTERS = 0x0FFFFFF6

_FAT_MAGICS = (
    (0x52, b"MSWIN"),
    (0x52, b"FAT32   "),
    (0x36, b"MSDOS"),
    (0x36, b"FAT16   "),
    (0x36, b"FAT12   "),
    (0x36, b"FAT     "),
)


class FatBpb(msgspec.Struct, frozen=True):
    """A FAT volume's parameters. Counts in sectors of `sector_size` bytes; `clusters` is the cluster count.

    `fat32` is whether the FAT32 fields are in use; `magic_offset` is where what identified it stands, in bytes.
    """

    sector_size: int
    cluster_sectors: int
    reserved: int
    fats: int
    root_entries: int
    sectors: int
    fat_sectors: int
    clusters: int
    fat32: bool
    magic_offset: int
    magic_length: int


def parse_fat(sector: bytes) -> FatBpb | None:
    """Return the BPB of a 512-byte sector, None when it is no FAT boot sector."""
    magic_offset, magic_length = next(
        ((at, len(text)) for at, text in _FAT_MAGICS if sector.startswith(text, at)), (0, 0)
    )
    if not magic_length:
        # Floppies of old have no text; then the signature is required. OS/2 puts a false BPB before JFS and HPFS.
        if sector[510:512] != b"\x55\xaa" or sector[0x36:0x3E] in {b"JFS     ", b"HPFS    "}:
            return None
        magic_offset, magic_length = (0, 1) if sector[0] in {0xEB, 0xE9} else (510, 2)
    sector_size, cluster_sectors, reserved, fats, root_entries, sectors16, media, fat16 = struct.unpack_from(
        "<HBHBHHBH", sector, 0x0B
    )
    sectors32, fat32 = struct.unpack_from("<II", sector, 0x20)
    if not fats or not reserved or not (media == 0xF0 or media >= 0xF8):
        return None
    if not _power_of_two(cluster_sectors) or not _power_of_two(sector_size) or not 512 <= sector_size <= 4096:
        return None
    sectors, fat_sectors = sectors16 or sectors32, fat16 or fat32
    overhead = reserved + fat_sectors * fats + (root_entries * 32 + sector_size - 1) // sector_size
    if sectors < overhead:
        return None
    clusters = (sectors - overhead) // cluster_sectors
    most = FAT32_CLUSTERS if not fat16 and fat32 else FAT16_CLUSTERS
    if clusters > most:
        return None
    return FatBpb(
        sector_size,
        cluster_sectors,
        reserved,
        fats,
        root_entries,
        sectors,
        fat_sectors,
        clusters,
        not fat16 and bool(fat32),
        magic_offset,
        magic_length,
    )


def is_exfat(sector: bytes) -> bool:
    """Whether it is an exFAT boot sector."""
    if sector[3:11] != b"EXFAT   " or sector[510:512] != b"\x55\xaa" or any(sector[11:64]):
        return False
    sector_shift, cluster_shift, fats = struct.unpack_from("<BBB", sector, 108)
    return 9 <= sector_shift <= 12 and cluster_shift <= 25 - sector_shift and fats in {1, 2}


def is_ntfs(sector: bytes) -> bool:
    """Whether it is an NTFS boot sector: the name, and a BPB that can be."""
    if sector[3:11] != b"NTFS    ":
        return False
    sector_size, cluster_sectors, reserved, fats, root_entries, sectors, _media, fat16 = struct.unpack_from(
        "<HBHBHHBH", sector, 0x0B
    )
    if not _power_of_two(sector_size) or not 256 <= sector_size <= 4096:
        return False
    # 0xF4..0xFF are negative powers of two for large clusters
    if not _power_of_two(cluster_sectors) and not 0xF0 <= cluster_sectors <= 0xFF:
        return False
    return not (reserved or fats or root_entries or sectors or fat16 or struct.unpack_from("<I", sector, 0x20)[0])


def is_refs(sector: bytes) -> bool:
    """Whether it is a ReFS boot sector."""
    return sector[3:11] == b"ReFS\0\0\0\0"


def is_bitlocker(sector: bytes) -> bool:
    """Whether it is a BitLocker (Vista, Windows 7 and later, or To Go) boot sector."""
    if sector[3:11] == b"-FVE-FS-":
        return sector[:3] in {b"\xeb\x52\x90", b"\xeb\x58\x90"}
    to_go = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")  # GUID 4967d63b-2e29-4ad8-8399-f6a339e3d001
    return sector[:11] == b"\xeb\x58\x90MSWIN4.1" and sector[424:440] == to_go


def volume_boot_record(sector: bytes) -> str | None:
    """Return which volume's boot sector a 512-byte sector is, by libblkid's type name, None when it is none."""
    if is_bitlocker(sector):
        return "BitLocker"
    if is_ntfs(sector):
        return "ntfs"
    if is_exfat(sector):
        return "exfat"
    if is_refs(sector):
        return "ReFS"
    return "vfat" if parse_fat(sector) else None


def _power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
