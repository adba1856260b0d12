"""Free space of FAT and exFAT, and how they were left.

Source: Microsoft's FAT specification (fatgen103: BPB, FSInfo, FAT type determination, FAT[1]) and exFAT specification
3.1, 3.4, 7.1; the state byte of the boot sector: the Linux kernel's include/uapi/linux/msdos_fs.h.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.filesystems.bitmap import clear_bits
from imgscan.model.volume import Free

TABLE_BYTES: Final = 16 * MIB
"""The largest table that is counted."""
SMALL_TABLE: Final = 64 * 1024
"""A table up to this is always counted, instead of believing FSInfo."""
_CLEAN_32: Final = 0x0800_0000
_CLEAN: Final = {16: 0x8000, 32: _CLEAN_32}
_NO_ERRORS: Final = {16: 0x4000, 32: 0x0400_0000}
"""Bits of the table's second entry that are set while all is well; FAT12 has none."""
_STATE_AT: Final = {12: 0x25, 16: 0x25, 32: 0x41}
_STATE_DIRTY, _STATE_ERRORS = 1, 2
_EXFAT_FLAGS_AT: Final = 106
_EXFAT_DIRTY, _EXFAT_ERRORS = 2, 4
_EXFAT_CHECKED_SECTORS: Final = 11
_NOT_MIRRORED, _ACTIVE_FAT = 0x80, 0x0F
"""Of BPB_ExtFlags."""
_END_OF_CHAIN: Final = 0x0FFF_FFF8
_ROOT_CLUSTERS: Final = 4096
"""A directory has 2 MiB at most, a cluster 512 bytes at least."""
_PAGE_ENTRIES: Final = 128
_UNCLEAN: Final = "not cleanly unmounted"
_ERRORS: Final = "errors were met"


class FatGeometry(msgspec.Struct, frozen=True):
    """Of a FAT volume; `bits` is 12, 16 or 32, sizes and offsets are in bytes, `info` is FSInfo's offset or 0."""

    bits: int
    clusters: int
    cluster_size: int
    table: int
    table_size: int
    info: int


def read_geometry(device: BlockDevice, volume: str) -> FatGeometry:
    """Read the BIOS parameter block.

    :raises CorruptStructure: its sizes cannot be
    """
    raw = device.read_at(0, 512)
    sector, per_cluster, reserved, tables, root_entries, total, _, size = struct.unpack_from("<HBHBHHBH", raw, 11)
    (total_32, size_32) = struct.unpack_from("<2I", raw, 32)
    total, size = total or total_32, size or size_32
    if sector not in {512, 1024, 2048, 4096} or not per_cluster or not reserved or not tables or not size:
        raise CorruptStructure("the FAT boot sector's sizes cannot be", where=volume, offset=0)
    data = total - reserved - tables * size - -(-root_entries * 32 // sector)
    clusters = data // per_cluster
    bits = 12 if clusters < 4085 else 16 if clusters < 65525 else 32
    needed = (clusters + 2) * bits // 8
    if clusters <= 0 or needed > size * sector:
        raise CorruptStructure("the FAT boot sector's sizes contradict each other", where=volume, offset=0)
    (info,) = struct.unpack_from("<H", raw, 48)
    has_info = bits == 32 and 0 < info < reserved
    return FatGeometry(bits, clusters, sector * per_cluster, reserved * sector, needed, info * sector * has_info)


def fat_cost(device: BlockDevice, volume: str) -> int:
    """Return how many bytes `free_fat` reads."""
    geometry = read_geometry(device, volume)
    return 2048 if _hint(device, geometry) is not None else geometry.table_size + 2048


def free_fat(device: BlockDevice, volume: str) -> Free:
    """Return the free space: FSInfo's count when the volume was left clean, else the free entries of the first FAT.

    :raises LimitExceeded: the table is larger than `TABLE_BYTES`
    """
    geometry = read_geometry(device, volume)
    clusters = _hint(device, geometry)
    if clusters is None:
        if geometry.table_size > TABLE_BYTES:
            raise LimitExceeded(f"its FAT is {geometry.table_size} bytes large", where=volume)
        table = device.read_at(geometry.table, geometry.table_size + -geometry.table_size % 4)
        clusters = _count(table, geometry)
    size = clusters * geometry.cluster_size
    return Free(size, size, None)


def check_root(device: BlockDevice, volume: str) -> None:
    """Follow the clusters of a FAT32's root directory, as far as its largest size goes.

    :raises CorruptStructure: they end where no directory does
    :raises UnsupportedFormat: another FAT than the first is in force, which TSK does not read
    """
    geometry = read_geometry(device, volume)
    if geometry.bits != 32:
        return
    raw = device.read_at(0, 512)
    (flags,), (cluster,) = struct.unpack_from("<H", raw, 40), struct.unpack_from("<I", raw, 44)
    if flags & _NOT_MIRRORED and flags & _ACTIVE_FAT:
        raise UnsupportedFormat(f"its FAT number {flags & _ACTIVE_FAT} is in force, and not the first", where=volume)
    page, entries = -1, b""
    for _ in range(_ROOT_CLUSTERS):
        if not 2 <= cluster < geometry.clusters + 2:
            break
        if cluster // _PAGE_ENTRIES != page:
            page = cluster // _PAGE_ENTRIES
            left = geometry.table_size - page * _PAGE_ENTRIES * 4
            entries = device.read_at(geometry.table + page * _PAGE_ENTRIES * 4, min(_PAGE_ENTRIES * 4, left))
        (cluster,) = struct.unpack_from("<I", entries, cluster % _PAGE_ENTRIES * 4)
        cluster &= 0x0FFF_FFFF
        if cluster >= _END_OF_CHAIN:
            return
    raise CorruptStructure(
        f"the chain of clusters of the FAT32 root directory leads to {cluster}, which is none of its clusters",
        where=volume,
        offset=geometry.table,
    )


def fat_condition(device: BlockDevice, volume: str) -> str | None:
    """Return how a FAT volume was left: `clean`, or what is wrong; None for a FAT12 that says nothing."""
    geometry = read_geometry(device, volume)
    state = device.read_at(0, 512)[_STATE_AT[geometry.bits]]
    wrong = {_UNCLEAN: bool(state & _STATE_DIRTY), _ERRORS: bool(state & _STATE_ERRORS)}
    if geometry.bits != 12:
        second = int.from_bytes(device.read_at(geometry.table, 8)[geometry.bits // 8 :][: geometry.bits // 8], "little")
        wrong[_UNCLEAN] |= not second & _CLEAN[geometry.bits]
        wrong[_ERRORS] |= not second & _NO_ERRORS[geometry.bits]
    otherwise = None if geometry.bits == 12 else "clean"
    return "; ".join(words for words, is_so in wrong.items() if is_so) or otherwise


def exfat_condition(device: BlockDevice) -> str:
    """Return how an exFAT volume was left: `clean`, or what is wrong; its boot region's checksum is verified."""
    raw = device.read_at(0, 512)
    flags, sector = raw[_EXFAT_FLAGS_AT], 1 << min(max(raw[108], 9), 12)
    region = device.read_at(0, (_EXFAT_CHECKED_SECTORS + 1) * sector)
    wrong = [_UNCLEAN] if flags & _EXFAT_DIRTY else []
    if flags & _EXFAT_ERRORS:
        wrong.append(_ERRORS)
    checked = _EXFAT_CHECKED_SECTORS * sector
    if region[checked : checked + 4] != exfat_checksum(region[:checked]).to_bytes(4, "little"):
        wrong.append("damaged boot region (its checksum does not fit)")
    return "; ".join(wrong) or "clean"


def exfat_checksum(sectors: bytes) -> int:
    """Return the checksum of the boot region: over all its bytes but the volume's flags and the percentage in use."""
    checksum = 0
    for byte in sectors[:106] + sectors[108:112] + sectors[113:]:
        checksum = ((checksum << 31 | checksum >> 1) + byte) & 0xFFFF_FFFF
    return checksum


def _hint(device: BlockDevice, geometry: FatGeometry) -> int | None:
    """Return FSInfo's count of free clusters, None when there is none to believe."""
    if not geometry.info or geometry.table_size <= SMALL_TABLE:
        return None
    info = device.read_at(geometry.info, 512)
    (second,) = struct.unpack_from("<I", device.read_at(geometry.table, 8), 4)
    (free,) = struct.unpack_from("<I", info, 488)
    plausible = info[:4] == b"RRaA" and info[484:488] == b"rrAa" and free <= geometry.clusters
    return free if plausible and second & _CLEAN_32 else None


def _count(table: bytes, geometry: FatGeometry) -> int:
    """Count the free entries from cluster 2 on."""
    end = geometry.clusters + 2
    if geometry.bits == 12:
        free = 0
        for cluster in range(2, end):
            pair = int.from_bytes(table[cluster * 3 // 2 : cluster * 3 // 2 + 2], "little")
            free += not (pair >> 4 if cluster % 2 else pair & 0xFFF)
        return free
    entries = array("H" if geometry.bits == 16 else "I", table)
    if geometry.bits == 16:
        return entries[2:end].count(0)
    return sum(not entry & 0x0FFF_FFFF for entry in entries[2:end])  # the upper four bits are reserved


class ExfatGeometry(msgspec.Struct, frozen=True):
    """Of an exFAT volume: clusters, and their size in bytes."""

    clusters: int
    cluster_size: int


def read_exfat_geometry(device: BlockDevice, volume: str) -> ExfatGeometry:
    """Read the main boot sector.

    :raises CorruptStructure: its sizes cannot be
    """
    raw = device.read_at(0, 512)
    (clusters,) = struct.unpack_from("<I", raw, 92)
    sector_shift, cluster_shift = raw[108], raw[109]
    if not 9 <= sector_shift <= 12 or sector_shift + cluster_shift > 25:
        raise CorruptStructure("the exFAT boot sector's sizes cannot be", where=volume, offset=0)
    return ExfatGeometry(clusters, 1 << (sector_shift + cluster_shift))


def free_exfat(device: BlockDevice, volume: str, read_bitmap: Callable[[int, int], bytes]) -> Free:
    """Return the free space: the clear bits of the allocation bitmap, which `read_bitmap(offset, length)` reads."""
    geometry = read_exfat_geometry(device, volume)
    if geometry.clusters // 8 > TABLE_BYTES:
        raise LimitExceeded(f"its allocation bitmap is {geometry.clusters // 8} bytes large", where=volume)
    size = clear_bits(geometry.clusters, read_bitmap) * geometry.cluster_size
    return Free(size, size, None)
