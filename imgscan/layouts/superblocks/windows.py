"""FAT, exFAT, NTFS and ReFS, with their labels.

Offsets: Microsoft FAT specification 3.1 and 6, exFAT specification 3.1 and 7.3, NTFS $Boot and $Volume as libblkid
reads them (util-linux, libblkid/src/superblocks/{vfat,exfat,ntfs,refs}.c).
"""

from __future__ import annotations

import struct

from imgscan.devices.limits import KIB
from imgscan.errors import ImageError
from imgscan.layouts.superblocks.superblock import Probe, Superblock, Window, serial_text, text, utf16
from imgscan.layouts.volume_boot_record import FatBpb, is_exfat, is_ntfs, is_refs, parse_fat

_DIRECTORY_BYTES = 32 * KIB
"""How much of one piece of a root directory is searched for the label."""
_ROOT_CLUSTERS = 16
"""How many clusters of a root directory are searched for the label."""


def vfat(window: Window) -> Superblock | None:
    """FAT12, FAT16 and FAT32."""
    sector = window.at(0, 512)
    bpb = parse_fat(sector) if sector else None
    if bpb is None:
        return None
    return Superblock(
        "vfat",
        bpb.magic_offset,
        bpb.magic_length,
        _fat_label(window, bpb, sector),
        serial_text(sector[0x43:0x47] if bpb.fat32 else sector[0x27:0x2B]),
        bpb.sectors * bpb.sector_size,
        bpb.sector_size,
    )


def _fat_label(window: Window, bpb: FatBpb, sector: bytes) -> str | None:
    """Return the volume entry's name in the root directory."""
    fats = bpb.reserved + bpb.fat_sectors * bpb.fats
    try:
        if not bpb.fat32:
            return _label_in(window.at(fats * bpb.sector_size, min(bpb.root_entries * 32, _DIRECTORY_BYTES)))
        (cluster,) = struct.unpack_from("<I", sector, 0x2C)
        size = min(bpb.cluster_sectors * bpb.sector_size, _DIRECTORY_BYTES)
        for _ in range(_ROOT_CLUSTERS):
            if not 2 <= cluster < bpb.clusters + 2:
                return None
            start = fats + (cluster - 2) * bpb.cluster_sectors
            directory = window.at(start * bpb.sector_size, size)
            label = _label_in(directory)
            if label is not None or not directory or any(directory[at] == 0 for at in range(0, size, 32)):
                return label
            link = window.at(bpb.reserved * bpb.sector_size + cluster * 4, 4)
            cluster = struct.unpack("<I", link)[0] & 0x0FFFFFFF if link else 0
    except ImageError:
        pass  # the label alone is lost; reading the filesystem will say what cannot be read
    return None


def _label_in(directory: bytes) -> str | None:
    for at in range(0, len(directory) - 31, 32):
        entry = directory[at : at + 32]
        if entry[0] == 0:
            return None
        if entry[0] == 0xE5 or entry[11] & 0x3F == 0x0F or entry[20:22] + entry[26:28] != bytes(4):
            continue
        if entry[11] & 0x18 == 0x08:
            name = b"\xe5" + entry[1:11] if entry[0] == 0x05 else entry[:11]
            return None if name == b"NO NAME    " else text(name)
    return None


def ntfs(window: Window) -> Superblock | None:
    """NTFS whose master file table is where the boot sector says."""
    sector = window.at(0, 512)
    if not sector or not is_ntfs(sector):
        return None
    sector_size, cluster_sectors = struct.unpack_from("<HB", sector, 0x0B)
    sectors, mft = struct.unpack_from("<QQ", sector, 0x28)
    cluster = sector_size * (cluster_sectors if cluster_sectors < 0x81 else 1 << 256 - cluster_sectors)
    (record_clusters,) = struct.unpack_from("<b", sector, 0x40)
    record = record_clusters * cluster if record_clusters > 0 else 1 << -record_clusters if record_clusters > -20 else 0
    if not 256 <= record <= 64 * KIB or mft * cluster >= window.size:
        return None
    table = window.at(mft * cluster, 4 * record)
    if table[:4] not in {b"FILE", b"BAAD"}:
        return None
    return _ntfs(sector, _ntfs_label(table[3 * record :]), sectors * sector_size, cluster)


def _ntfs_label(record: bytes) -> str | None:
    """Return $VOLUME_NAME of the MFT record of $Volume."""
    if record[:4] != b"FILE":
        return None
    (at,) = struct.unpack_from("<H", record, 20)
    while at + 24 <= len(record):
        kind, length = struct.unpack_from("<II", record, at)
        if kind == 0xFFFFFFFF or length < 24:
            break
        if kind == 0x60:
            size, offset = struct.unpack_from("<IH", record, at + 16)
            return utf16(record[at + offset : at + offset + min(size, 256)])
        at += length
    return None


def _ntfs(sector: bytes, label: str | None, size: int | None, cluster: int | None) -> Superblock:
    uuid = sector[0x48:0x50][::-1].hex().upper()
    return Superblock("ntfs", 3, 8, label, uuid, size, cluster)


def ntfs_boot_sector(window: Window) -> Superblock | None:
    """NTFS of which only the boot sector is as it should be."""
    sector = window.at(0, 512)
    return _ntfs(sector, None, None, None) if sector and is_ntfs(sector) else None


def exfat(window: Window) -> Superblock | None:
    """exFAT; the label is an entry of the root directory."""
    sector = window.at(0, 512)
    if not sector or not is_exfat(sector):
        return None
    (length,) = struct.unpack_from("<Q", sector, 72)
    heap, _clusters, root = struct.unpack_from("<III", sector, 88)
    sector_shift, cluster_shift = sector[108], sector[109]
    label = None
    if root >= 2:
        start = heap + (root - 2 << cluster_shift) << sector_shift
        try:
            directory = window.at(start, min(1 << sector_shift + cluster_shift, _DIRECTORY_BYTES))
        except ImageError:
            directory = b""
        for at in range(0, len(directory), 32):
            if directory[at] == 0x83:
                label = utf16(directory[at + 2 : at + 2 + 2 * min(directory[at + 1], 11)])
            if directory[at] in {0, 0x83}:
                break
    return Superblock("exfat", 3, 8, label, serial_text(sector[100:104]), length << sector_shift, 1 << sector_shift)


def refs(window: Window) -> Superblock | None:
    """ReFS."""
    sector = window.at(0, 512)
    return Superblock("ReFS", 3, 8) if sector and is_refs(sector) else None


FIRST: tuple[Probe, ...] = (vfat,)
LATER: tuple[Probe, ...] = (ntfs, refs, exfat)
"""libblkid asks for FAT before, and for these after the filesystems of Unix."""
