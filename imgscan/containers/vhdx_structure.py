"""The structures of a VHDX above its blocks: headers, region table, metadata. What is wrong with one is a problem.

Source: [MS-VHDX] 2.2 and 2.6. Of the two headers the newer valid one counts; of the two region tables the first
valid one.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import MIB, TIB
from imgscan.errors import CorruptStructure, LimitExceeded, TruncatedRead, UnsupportedFormat
from imgscan.layouts import vhdx as layout
from imgscan.layouts.gpt import guid_text
from imgscan.model.disk import Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown

MAX_DISK_BYTES = 64 * TIB
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 1 * MIB, 256 * MIB
ITEM_BYTES = 1 * MIB
"""A metadata item, by the specification."""
LOCATOR_KEYS = 64
"""Names that a parent locator may hold; the specification knows five."""
ITEM_NAMES = {
    layout.FILE_PARAMETERS: "file parameters",
    layout.VIRTUAL_DISK_SIZE: "virtual disk size",
    layout.VIRTUAL_DISK_ID: "virtual disk id",
    layout.LOGICAL_SECTOR_SIZE: "logical sector size",
    layout.PHYSICAL_SECTOR_SIZE: "physical sector size",
    layout.PARENT_LOCATOR: "parent locator",
}


class Metadata(msgspec.Struct, frozen=True):
    """What the metadata says; sizes in bytes, GUIDs as text, `locator` is None without a parent."""

    size: int
    block_size: int
    leave_allocated: bool
    has_parent: bool
    logical_sector: int
    physical_sector: int | None
    disk_id: str | None
    locator: dict[str, str] | None


def read_header(file: BlockDevice, problems: list[Problem]) -> layout.Header:
    """Return the header that counts.

    :raises CorruptStructure: none is valid
    :raises UnsupportedFormat: it is of another version than 1
    """
    headers = []
    for number, at in enumerate(layout.HEADER_OFFSETS, 1):
        header = layout.parse_header(_available(file, at, layout.HEADER_BYTES), at)
        if header is None:
            detail = f"header {number} has a wrong signature or checksum, or is cut off"
            problems.append(problem("header-checksum", "damage", detail, file, at, "VHDX header"))
        else:
            headers.append(header)
    if not headers:
        raise CorruptStructure("neither of the two headers is valid", where=file.name, offset=layout.HEADER_OFFSETS[0])
    newest = max(headers, key=lambda header: header.sequence)  # the first of two equal ones
    if (
        len(headers) == 2
        and headers[0].sequence == headers[1].sequence
        and headers[0] != msgspec.structs.replace(headers[1], at=headers[0].at)
    ):
        detail = "the two headers have the same sequence number and differ"
        problems.append(problem("headers-differ", "damage", detail, file, newest.at, "VHDX header"))
    if newest.version != 1:
        raise UnsupportedFormat(f"it is of VHDX version {newest.version}", where=file.name, offset=newest.at + 66)
    return newest


def read_regions(
    file: BlockDevice, header: layout.Header, problems: list[Problem]
) -> tuple[layout.Region, layout.Region]:
    """Return the regions of the block allocation table and of the metadata.

    :raises CorruptStructure: neither table is valid, or regions are missing, misplaced or overlap
    :raises UnsupportedFormat: a region is required and not known
    """
    tables = []
    for number, at in enumerate(layout.REGION_TABLE_OFFSETS, 1):
        table = layout.parse_region_table(_available(file, at, layout.REGION_TABLE_BYTES))
        if table is None:
            detail = f"region table {number} has a wrong signature or checksum, or is cut off"
            problems.append(problem("region-table-checksum", "damage", detail, file, at, "VHDX region table"))
        else:
            tables.append((at, table))
    if not tables:
        raise CorruptStructure(
            "neither of the two region tables is valid", where=file.name, offset=layout.REGION_TABLE_OFFSETS[0]
        )
    at, regions = tables[0]
    if regions != tables[-1][1]:
        detail = "the two region tables differ; the first is used"
        problems.append(problem("region-tables-differ", "damage", detail, file, at, "VHDX region table"))
    used = [("headers", 0, layout.HEADER_SECTION_BYTES), ("log", header.log_offset, header.log_length)]
    used += [(f"region {region.guid}", region.offset, region.length) for region in regions]
    _check_places(file, used, at)
    known = {layout.BAT_REGION: "block allocation table", layout.METADATA_REGION: "metadata"}
    for region in regions:
        if region.required and region.guid not in known:
            raise UnsupportedFormat(f"it requires the unknown region {region.guid}", where=file.name, offset=at)
    found = {region.guid: region for region in regions}
    for guid, name in known.items():
        if guid not in found:
            raise CorruptStructure(f"the region table names no {name}", where=file.name, offset=at)
    return found[layout.BAT_REGION], found[layout.METADATA_REGION]


def read_metadata(file: BlockDevice, region: layout.Region, problems: list[Problem]) -> Metadata:
    """Return what the metadata says.

    :raises CorruptStructure: an item is missing or cannot be
    :raises UnsupportedFormat: an item is required and not known
    :raises TruncatedRead: the file ends inside it
    """
    count = layout.metadata_count(file.read_at(region.offset, 32))
    if count is None:
        raise CorruptStructure("there is no metadata table", where=file.name, offset=region.offset)
    items: dict[str, bytes] = {}
    for entry in layout.parse_metadata_entries(file.read_at(region.offset + 32, 32 * count)):
        if entry.item not in ITEM_NAMES:
            if entry.required:
                detail = f"it requires the unknown metadata item {entry.item}"
                raise UnsupportedFormat(detail, where=file.name, offset=region.offset)
            continue
        if entry.item in items:
            raise CorruptStructure(
                f"the metadata names its {ITEM_NAMES[entry.item]} twice", where=file.name, offset=region.offset
            )
        outside = entry.offset < layout.METADATA_TABLE_BYTES or entry.offset + entry.length > region.length
        if outside or entry.length > ITEM_BYTES:
            raise CorruptStructure(
                f"the metadata item {ITEM_NAMES[entry.item]} of {entry.length} bytes at {entry.offset} is not inside "
                f"its region of {region.length} bytes",
                where=file.name,
                offset=region.offset,
            )
        items[entry.item] = file.read_at(region.offset + entry.offset, entry.length)
    return _metadata(file, region, items, problems)


def _metadata(file: BlockDevice, region: layout.Region, items: dict[str, bytes], problems: list[Problem]) -> Metadata:
    def number(item: str, width: int) -> int | None:
        data = items.get(item, b"")
        return int.from_bytes(data[:width], "little") if len(data) >= width else None

    def refuse(what: str) -> CorruptStructure:
        return CorruptStructure(what, where=file.name, offset=region.offset)

    size, sector = number(layout.VIRTUAL_DISK_SIZE, 8), number(layout.LOGICAL_SECTOR_SIZE, 4)
    if size is None or sector is None or len(items.get(layout.FILE_PARAMETERS, b"")) < 8:
        raise refuse("the metadata lacks the file parameters, the disk's size or its sector size")
    block, leave_allocated, has_parent = layout.parse_file_parameters(items[layout.FILE_PARAMETERS])
    if sector not in {512, 4096}:
        raise refuse(f"the logical sector size is {sector}, neither 512 nor 4096")
    if not MIN_BLOCK_BYTES <= block <= MAX_BLOCK_BYTES or block & (block - 1):
        raise refuse(f"the block size {block} is not a power of two from 1 MiB to 256 MiB")
    if size > MAX_DISK_BYTES:
        raise LimitExceeded(f"its size of {size} bytes is above 64 TiB", where=file.name, offset=region.offset)
    if size == 0 or size % sector:
        raise refuse(f"the disk's size of {size} bytes is not a number of whole sectors above none")
    physical = number(layout.PHYSICAL_SECTOR_SIZE, 4)
    disk_id = items.get(layout.VIRTUAL_DISK_ID, b"")
    if physical not in {512, 4096} or len(disk_id) < 16:
        detail = "the metadata lacks a valid physical sector size or the virtual disk id"
        problems.append(problem("metadata-incomplete", "damage", detail, file, region.offset, "VHDX metadata table"))
    locator = None
    if has_parent:
        data = items.get(layout.PARENT_LOCATOR, b"")
        locator = layout.parse_locator(data, LOCATOR_KEYS) if len(data) >= 20 else None
        if locator is None:
            detail = "the disk has a parent, and there is no parent locator of a known type"
            problems.append(problem("parent-locator", "damage", detail, file, region.offset, "VHDX parent locator"))
            locator = {}
    guid = guid_text(disk_id[:16]) if len(disk_id) >= 16 else None
    return Metadata(size, block, leave_allocated, has_parent, sector, physical, guid, locator)


def _check_places(file: BlockDevice, used: list[tuple[str, int, int]], at: int) -> None:
    """Raise unless all ranges lie on whole MiB, apart from each other; a table that says otherwise is hostile."""
    for name, offset, length in used:
        if offset % MIB or length % MIB:
            raise CorruptStructure(
                f"{name} of {length} bytes at {offset} is not in whole MiB", where=file.name, offset=at
            )
    places = sorted((offset, offset + length, name) for name, offset, length in used if length)
    for (_, end, name), (start, _, other) in pairwise(places):
        if start < end:
            raise CorruptStructure(f"{name} and {other} overlap", where=file.name, offset=at)


def _available(file: BlockDevice, at: int, length: int) -> bytes:
    """Return bytes, filled up with zeros where the file is cut off: no checksum holds then."""
    try:
        return file.read_at(at, length)
    except TruncatedRead:
        return bytes(length)


def problem(code: str, kind: ProblemKind, detail: str, file: BlockDevice, at: int, structure: str) -> Problem:
    """Return a problem with the place in the file as evidence."""
    return Problem(code, kind, shown(detail), (AtOffset(shown(file.name), at, 0, structure),))
