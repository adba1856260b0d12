"""VHDX: file identifier, headers, region table, metadata, parent locator, log entries.

Source: [MS-VHDX] Virtual Hard Disk v2 File Format, sections 2.2 (header), 2.3 (log), 2.5 (BAT), 2.6 (metadata). All
numbers are little-endian.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import msgspec

from imgscan.devices.limits import KIB, MIB
from imgscan.layouts.crc32c import crc32c
from imgscan.layouts.gpt import guid_text

FILE_IDENTIFIER = b"vhdxfile"
IDENTIFIER_BYTES = 520
HEADER_OFFSETS = (64 * KIB, 128 * KIB)
HEADER_BYTES = 4 * KIB
REGION_TABLE_OFFSETS = (192 * KIB, 256 * KIB)
REGION_TABLE_BYTES = 64 * KIB
HEADER_SECTION_BYTES = 1 * MIB
METADATA_TABLE_BYTES = 64 * KIB
MAX_ENTRIES = 2047
"""Of a region table and of a metadata table."""
LOG_SECTOR_BYTES = 4 * KIB
LOG_HEADER_BYTES = 64
DESCRIPTOR_BYTES = 32
NO_GUID = "00000000-0000-0000-0000-000000000000"

BAT_REGION = "2dc27766-f623-4200-9d64-115e9bfd4a08"
METADATA_REGION = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
FILE_PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
VIRTUAL_DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
VIRTUAL_DISK_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
LOGICAL_SECTOR_SIZE = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
PHYSICAL_SECTOR_SIZE = "cda348c7-445d-4471-9cc9-e9885251c556"
PARENT_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
VHDX_LOCATOR_TYPE = "b04aefb7-d19e-4a81-b789-25b8e9445913"

NOT_PRESENT, FULLY_PRESENT, PARTIALLY_PRESENT = 0, 6, 7
ZERO_STATES = frozenset({1, 2, 3, 5})
"""Undefined, zero, unmapped, and unmapped as version 0.95 numbered it: all of them read as zeros."""
BITMAP_PRESENT = 6
STATE_MASK = 7
OFFSET_SHIFT = 20
"""A BAT entry's upper 44 bits are the block's offset in MiB."""
BITMAP_BITS = 1 << 23
"""Bits of a sector bitmap block of 1 MiB, which are the sectors of one chunk."""


class Header(msgspec.Struct, frozen=True):
    """One of the two headers; `at` is its offset, lengths in bytes."""

    at: int
    sequence: int
    file_write_guid: str
    data_write_guid: str
    log_guid: str
    log_version: int
    version: int
    log_length: int
    log_offset: int


class Region(msgspec.Struct, frozen=True):
    """An entry of the region table, in bytes of the file."""

    guid: str
    offset: int
    length: int
    required: bool


class MetadataEntry(msgspec.Struct, frozen=True):
    """An entry of the metadata table; `offset` is in bytes of the metadata region."""

    item: str
    offset: int
    length: int
    required: bool


class LogEntryHeader(msgspec.Struct, frozen=True):
    """What begins a log entry: lengths and offsets in bytes, `tail` within the log."""

    checksum: int
    length: int
    tail: int
    sequence: int
    descriptors: int
    log_guid: str
    flushed_file_offset: int
    last_file_offset: int


class Descriptor(msgspec.Struct, frozen=True):
    """A write of the log: `zeros` bytes of zero, or (at 0) a sector whose first 8 and last 4 bytes stand here."""

    file_offset: int
    zeros: int
    leading: bytes
    trailing: bytes


def parse_creator(data: bytes) -> str | None:
    """Return who made the file from its identifier, None when the signature is not there."""
    if not data.startswith(FILE_IDENTIFIER):
        return None
    return data[8:IDENTIFIER_BYTES].decode("utf-16-le", "replace").split("\0", 1)[0]


def parse_header(data: bytes, at: int) -> Header | None:
    """Return the header in 4 KiB, None when its signature or its checksum is not right."""
    if not data.startswith(b"head") or not _sealed(data):
        return None
    raw = _header_layout().parse(data)
    return Header(
        at,
        raw.sequence,
        guid_text(raw.file_write_guid),
        guid_text(raw.data_write_guid),
        guid_text(raw.log_guid),
        raw.log_version,
        raw.version,
        raw.log_length,
        raw.log_offset,
    )


def parse_region_table(data: bytes) -> tuple[Region, ...] | None:
    """Return the regions of a table of 64 KiB, None when signature, checksum or count is not right."""
    if not data.startswith(b"regi") or not _sealed(data):
        return None
    (count,) = struct.unpack_from("<I", data, 8)
    if count > MAX_ENTRIES:
        return None
    return tuple(
        Region(guid_text(guid), offset, length, bool(flags & 1))
        for guid, offset, length, flags in struct.iter_unpack("<16sQII", data[16 : 16 + 32 * count])
    )


def metadata_count(data: bytes) -> int | None:
    """Return how many entries follow a metadata table's header of 32 bytes, None when it is none or too many."""
    signature, count = struct.unpack_from("<8s2xH", data)
    return count if signature == b"metadata" and count <= MAX_ENTRIES else None


def parse_metadata_entries(data: bytes) -> tuple[MetadataEntry, ...]:
    """Return the entries behind a metadata table's header."""
    return tuple(
        MetadataEntry(guid_text(item), offset, length, bool(flags & 4))
        for item, offset, length, flags in struct.iter_unpack("<16sIII4x", data[: len(data) // 32 * 32])
    )


def parse_file_parameters(data: bytes) -> tuple[int, bool, bool]:
    """Return block size in bytes, whether all blocks stay allocated (a fixed disk), and whether there is a parent."""
    block_size, flags = struct.unpack_from("<II", data)
    return block_size, bool(flags & 1), bool(flags & 2)


def parse_locator(data: bytes, limit: int) -> dict[str, str] | None:
    """Return at most `limit` keys and values of a parent locator, None when it is of another type."""
    locator_type, count = struct.unpack_from("<16s2xH", data)
    if guid_text(locator_type) != VHDX_LOCATOR_TYPE:
        return None
    found = {}
    table = data[20 : 20 + 12 * min(count, limit)]
    for key, value, key_length, value_length in struct.iter_unpack("<IIHH", table[: len(table) // 12 * 12]):
        name = data[key : key + key_length].decode("utf-16-le", "replace")
        found[name] = data[value : value + value_length].decode("utf-16-le", "replace").rstrip("\0")
    return found


def parse_log_entry_header(data: bytes) -> LogEntryHeader | None:
    """Return the header of a log entry, None when its signature is not there."""
    if not data.startswith(b"loge"):
        return None
    checksum, length, tail, sequence, descriptors, guid, flushed, last = struct.unpack_from("<4xIIIQI4x16sQQ", data)
    return LogEntryHeader(checksum, length, tail, sequence, descriptors, guid_text(guid), flushed, last)


def log_entry_sealed(data: bytes, checksum: int) -> bool:
    """Whether `checksum` is that of a whole log entry."""
    return crc32c(data[:4] + bytes(4) + data[8:]) == checksum


def parse_descriptors(data: bytes, header: LogEntryHeader) -> tuple[Descriptor, ...] | None:
    """Return the descriptors of a log entry, None when one is not valid ([MS-VHDX] 2.3.1.2, 2.3.1.3)."""
    found = []
    table = data[LOG_HEADER_BYTES : LOG_HEADER_BYTES + DESCRIPTOR_BYTES * header.descriptors]
    for signature, trailing, leading, offset, sequence in struct.iter_unpack("<4s4s8sQQ", table):
        zeros = int.from_bytes(leading, "little") if signature == b"zero" else 0
        known = signature in {b"zero", b"desc"}
        if not known or sequence != header.sequence or (offset | zeros) % LOG_SECTOR_BYTES:
            return None
        if signature == b"desc":
            found.append(Descriptor(offset, 0, leading, trailing))
        elif zeros:
            found.append(Descriptor(offset, zeros, b"", b""))
    return tuple(found)


def data_sector(data: bytes, descriptor: Descriptor, sequence: int) -> bytes | None:
    """Return the 4 KiB that a data sector of the log stands for, None when it belongs to another entry."""
    signature, high = struct.unpack_from("<4sI", data)
    (low,) = struct.unpack_from("<I", data, LOG_SECTOR_BYTES - 4)
    if signature != b"data" or high << 32 | low != sequence:
        return None
    return descriptor.leading + data[8 : LOG_SECTOR_BYTES - 4] + descriptor.trailing


def _sealed(data: bytes) -> bool:
    """Whether the CRC-32C at byte 4 is that of all bytes, itself taken as zero."""
    return crc32c(data[:4] + bytes(4) + data[8:]) == int.from_bytes(data[4:8], "little")


@cache
def _header_layout() -> Any:
    from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct  # noqa: PLC0415 - 30 ms: VHDXs only

    return Struct(
        "signature" / Bytes(4),
        "checksum" / Int32ul,
        "sequence" / Int64ul,
        "file_write_guid" / Bytes(16),
        "data_write_guid" / Bytes(16),
        "log_guid" / Bytes(16),
        "log_version" / Int16ul,
        "version" / Int16ul,
        "log_length" / Int32ul,
        "log_offset" / Int64ul,
    )
