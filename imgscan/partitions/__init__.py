"""Partition tables: BlockDevice -> PartitionTable.

`read_table` is what `imgscan.scan` calls; the schemes are in `mbr` and `gpt`, what is wrong with either in `problems`.
Tables that are recognised and not read: BSD disklabel, Apple, SGI, Sun and AIX.
"""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.mbr import GPT_PROTECTIVE, TABLE_OFFSET, has_boot_signature, parse_entries
from imgscan.model.disk import PartitionTable, Problem
from imgscan.model.evidence import AtOffset
from imgscan.partitions.gpt import gpt_sector_size, read_gpt
from imgscan.partitions.mbr import is_mbr, looks_like_entries, misses_one_boot_indicator, protective_entries, read_mbr

_HEAD_BYTES = 8192
"""The first sector and a GPT header behind it, for sectors of up to 4096 bytes."""

_UNSUPPORTED = (
    (508, b"\xda\xbe", "Sun disklabel"),
    (0, b"\x0b\xe5\xa9\x41", "SGI volume header"),
    (0, b"\xc9\xc2\xd4\xc1", "AIX disk label"),
    (512, b"WEV\x82", "BSD disklabel"),
    (64, b"WEV\x82", "BSD disklabel"),
    (512, b"PM\0\0", "Apple partition map"),
)
"""Byte offset, magic, name. The BSD label's magic is 0x82564557, in the second sector or (some) at 64."""


def read_table(device: BlockDevice, disk: str) -> PartitionTable:
    """Return the partition table of a disk; `disk` is its name (`disk0`), which partitions and evidence carry.

    Scheme `none` means that the first sector was read and holds no table, also when it is a volume's boot sector.

    :raises ImageError: the first sector cannot be read; everything else that is wrong is in `problems`
    """
    head = _head(device)
    sector = head[:512]
    protective = protective_entries(sector)
    if protective or _gpt_without_mbr(device, head, sector):
        table = read_gpt(device, disk, head)
        if table is not None:
            return table
    if is_mbr(sector) or protective:
        return _with_stray_gpt(read_mbr(device, disk, sector), device, disk, head, gone=bool(protective))
    unsupported = _unsupported(head, disk)
    sectors = device.size // device.sector_size
    is_damaged = misses_one_boot_indicator if has_boot_signature(sector) else looks_like_entries
    if unsupported is None and is_damaged(sector, sectors):
        return read_mbr(device, disk, sector)
    return PartitionTable(
        scheme="none",
        problems=() if unsupported is None else (unsupported,),
        boot_signature=has_boot_signature(sector),
    )


def _head(device: BlockDevice) -> bytes:
    if device.size > 512:
        try:
            return device.read_at(0, min(_HEAD_BYTES, device.size))
        except ImageError:
            pass  # a sector behind the first one is not readable; the first decides
    return device.read_at(0, 512)


def _gpt_without_mbr(device: BlockDevice, head: bytes, sector: bytes) -> bool:
    """Whether there is a primary GPT header and nothing in the first sector speaks against it."""
    if gpt_sector_size(device, head) is None:
        return False
    return not has_boot_signature(sector) or (is_mbr(sector) and all(entry.is_empty for entry in parse_entries(sector)))


def _with_stray_gpt(
    table: PartitionTable, device: BlockDevice, disk: str, head: bytes, *, gone: bool
) -> PartitionTable:
    unit = gpt_sector_size(device, head)
    if gone:
        problem = Problem(
            "gpt-missing",
            "damage",
            f"the MBR has an entry of type 0x{GPT_PROTECTIVE:02x}, "
            "and there is no GPT header, neither behind it nor at the end",
            (AtOffset(disk, TABLE_OFFSET, 64, "master boot record"),),
        )
    elif unit is not None:
        problem = Problem(
            "stray-gpt",
            "note",
            "there is a GPT header behind an MBR that is not protective; systems go by the MBR",
            (AtOffset(disk, unit, 92, "primary GPT header"),),
        )
    else:
        return table
    return msgspec.structs.replace(table, problems=(*table.problems, problem))


def _unsupported(head: bytes, disk: str) -> Problem | None:
    for offset, magic, name in _UNSUPPORTED:
        if head[offset : offset + len(magic)] == magic:
            detail = f"the disk has a {name}, which is not read"
            return Problem("unsupported-table", "unsupported", detail, (AtOffset(disk, offset, len(magic), name),))
    return None
