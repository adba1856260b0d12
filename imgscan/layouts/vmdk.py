"""VMDK: the headers of hosted sparse, ESX copy-on-write (COWD) and space-efficient sparse (seSparse) extents.

Source: VMware Virtual Disk Format 1.1 (VMware, 2007), "Hosted Sparse Extents", "ESX Server Sparse Extents", "Stream-
Optimized Compressed Sparse Extents"; libyal, VMWare Virtual Disk Format (VMDK), for COWD; the seSparse fields are those
that QEMU's block driver names, since VMware published none. All numbers are little-endian; offsets are in sectors.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import msgspec

SECTOR = 512
SPARSE_MAGIC = b"KDMV"
COWD_MAGIC = b"COWD"
SESPARSE_MAGIC = (0xCAFEBABE).to_bytes(8, "little")
SESPARSE_VOLATILE_MAGIC = 0xCAFECAFE
SESPARSE_VERSION = 0x0000_0002_0000_0001
DESCRIPTOR_START = b"# disk descriptorfile"
HEADER_BYTES = 512
COWD_HEADER_BYTES = 2048
GD_AT_END = 0xFFFF_FFFF_FFFF_FFFF
"""gdOffset of a stream: the grain directory is named by the footer."""
COWD_GRAIN_TABLE_ENTRIES = 4096
FLAG_NEWLINES, FLAG_REDUNDANT, FLAG_ZERO_GRAINS = 1 << 0, 1 << 1, 1 << 2
FLAG_COMPRESSED, FLAG_MARKERS = 1 << 16, 1 << 17
INCOMPATIBLE_FLAGS = 0xFFFF_0000
"""Flags that a reader must know to read the extent; the others can be ignored."""
COWD_INCONSISTENT = 1 << 2
MARKER_END, MARKER_GRAIN_TABLE, MARKER_GRAIN_DIRECTORY, MARKER_FOOTER = 0, 1, 2, 3
_SPARSE = struct.Struct("<2I4QI3QB4sH")
"""The hosted header behind its magic, in `struct` and not in construct: most VMDKs need no other."""
GRAIN_MARKER_BYTES = 12
"""In front of a compressed grain: its first sector (u64) and its packed size in bytes (u32)."""


class SparseHeader(msgspec.Struct, frozen=True):
    """A hosted sparse extent's header, or a stream's footer. Offsets and sizes in sectors, as stored."""

    version: int
    flags: int
    capacity: int
    grain_size: int
    descriptor_offset: int
    descriptor_size: int
    grain_table_entries: int
    redundant_directory: int
    directory: int
    overhead: int
    unclean: int
    newlines: bytes
    compression: int


class CowdHeader(msgspec.Struct, frozen=True):
    """An ESX copy-on-write extent's header; offsets and sizes in sectors."""

    version: int
    flags: int
    capacity: int
    grain_size: int
    directory: int
    directory_entries: int
    free_sector: int
    unclean: int


class SeSparseHeader(msgspec.Struct, frozen=True):
    """A space-efficient sparse extent's constant header; offsets and sizes in sectors."""

    version: int
    capacity: int
    grain_size: int
    grain_table_size: int
    flags: int
    volatile_header: int
    directory: int
    directory_size: int
    grain_tables: int
    grain_tables_size: int
    grains: int


@cache
def _structures() -> dict[str, Any]:
    """Build the structures when the first one is asked for: importing construct takes time."""
    from construct import Array, Bytes, Int32ul, Int64ul, Padding, Struct  # noqa: PLC0415 - see above

    return {
        "cowd": Struct(
            "magic" / Bytes(4),
            "version" / Int32ul,
            "flags" / Int32ul,
            "capacity" / Int32ul,
            "grain_size" / Int32ul,
            "directory" / Int32ul,
            "directory_entries" / Int32ul,
            "free_sector" / Int32ul,
            Padding(1028),  # geometry of a root disk, or the parent's name and generation
            "generation" / Int32ul,
            Padding(60 + 512),  # name and description
            "saved_generation" / Int32ul,
            Padding(8),
            "unclean" / Int32ul,
        ),
        "sesparse": Struct(
            "magic" / Int64ul,
            "version" / Int64ul,
            "capacity" / Int64ul,
            "grain_size" / Int64ul,
            "grain_table_size" / Int64ul,
            "flags" / Int64ul,
            Array(4, Int64ul),
            "volatile_header" / Int64ul,
            "volatile_header_size" / Int64ul,
            "journal_header" / Int64ul,
            "journal_header_size" / Int64ul,
            "journal" / Int64ul,
            "journal_size" / Int64ul,
            "directory" / Int64ul,
            "directory_size" / Int64ul,
            "grain_tables" / Int64ul,
            "grain_tables_size" / Int64ul,
            "free_bitmap" / Int64ul,
            "free_bitmap_size" / Int64ul,
            "backmap" / Int64ul,
            "backmap_size" / Int64ul,
            "grains" / Int64ul,
            "grains_size" / Int64ul,
        ),
        "volatile": Struct(
            "magic" / Int64ul, "free_table" / Int64ul, "next_transaction" / Int64ul, "replay_journal" / Int64ul
        ),
    }


def _parse(name: str, data: bytes, kind: type[Any]) -> Any:
    fields = _structures()[name].parse(data)
    return kind(**{field: fields[field] for field in kind.__struct_fields__})


def parse_sparse_header(data: bytes) -> SparseHeader:
    """Return the header in `data` (512 bytes that begin with `SPARSE_MAGIC`)."""
    return SparseHeader(*_SPARSE.unpack_from(data, len(SPARSE_MAGIC)))


def parse_cowd_header(data: bytes) -> CowdHeader:
    """Return the header in `data` (2048 bytes that begin with `COWD_MAGIC`)."""
    header: CowdHeader = _parse("cowd", data, CowdHeader)
    return header


def parse_sesparse_header(data: bytes) -> SeSparseHeader:
    """Return the header in `data` (512 bytes that begin with `SESPARSE_MAGIC`)."""
    header: SeSparseHeader = _parse("sesparse", data, SeSparseHeader)
    return header


def parse_sesparse_volatile(data: bytes) -> tuple[int, int]:
    """Return the magic and the replay-journal field of a volatile header (512 bytes)."""
    fields = _structures()["volatile"].parse(data)
    return fields["magic"], fields["replay_journal"]
