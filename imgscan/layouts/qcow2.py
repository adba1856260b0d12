"""qcow2 images, versions 2 and 3.

Source: QEMU, docs/interop/qcow2.txt, "Header", "Header extensions", "Feature name table" and "Cluster mapping". All
numbers are big-endian; offsets and sizes are in bytes of the image file.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

MAGIC: Final = b"QFI\xfb"
V2_BYTES: Final = 72
V3_BYTES: Final = 104
"""The shortest header of version 3; one byte of compression type follows when the header says that it is longer."""

EXTENSION_END: Final = 0
EXTENSION_BACKING_FORMAT: Final = 0xE2792ACA
EXTENSION_FEATURE_NAMES: Final = 0x6803F857
EXTENSION_DATA_FILE: Final = 0x44415441

DIRTY: Final = 1 << 0
CORRUPT: Final = 1 << 1
EXTERNAL_DATA_FILE: Final = 1 << 2
COMPRESSION_TYPE: Final = 1 << 3
EXTENDED_L2: Final = 1 << 4
KNOWN_INCOMPATIBLE: Final = DIRTY | CORRUPT | EXTERNAL_DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2

CRYPT_METHODS: Final = {1: "AES", 2: "LUKS"}
COMPRESSION_TYPES: Final = {0: "zlib", 1: "zstd"}

OFFSET_MASK: Final = 0x00FF_FFFF_FFFF_FE00
"""Bits 9 to 55 of an L1 entry or a standard L2 entry: a host offset. Readers ignore the reserved bits, as QEMU does."""
COMPRESSED: Final = 1 << 62
READS_AS_ZERO: Final = 1 << 0
SUBCLUSTERS: Final = 32
"""Subclusters of a cluster with extended L2 entries (16 bytes; the second half is their bitmap)."""

MIN_CLUSTER_BITS: Final = 9
MAX_CLUSTER_BITS: Final = 21
"""QEMU's limit: 2 MiB; no writer goes beyond."""
MIN_EXTENDED_CLUSTER_BITS: Final = 14
BACKING_NAME_BYTES: Final = 1023
L1_BYTES: Final = 32 << 20
"""QEMU's limit for an L1 table."""
REFCOUNT_TABLE_BYTES: Final = 8 << 20
"""QEMU's limit for a refcount table."""
MAX_REFCOUNT_ORDER: Final = 6
REFCOUNT_OFFSET_MASK: Final = 0xFFFF_FFFF_FFFF_FE00


class Header(msgspec.Struct, frozen=True):
    """The header. Of version 2, which ends before them, the later fields have the values that version 2 means."""

    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    incompatible_features: int = 0
    refcount_order: int = 4
    header_length: int = V2_BYTES
    compression_type: int = 0


class Extensions(msgspec.Struct, frozen=True):
    """What the extensions say. `broken_at` is the offset of one that runs out of its cluster; none is read after it."""

    backing_format: bytes | None
    data_file: bytes | None
    feature_names: dict[int, bytes]
    broken_at: int | None


def parse_header(data: bytes) -> Header | None:
    """Return the header at the front of `data`, None when it is cut short.

    Versions other than 2 and 3 are parsed as far as version 2 goes: the caller tells them by `version`.
    """
    if len(data) < V2_BYTES:
        return None
    raw = _header_layout().parse(data)
    header = Header(**{name: raw[name] for name in Header.__struct_fields__[:11]})
    if header.version != 3:
        return header
    if len(data) < V3_BYTES:
        return None
    more = _version_3_layout().parse(data[V2_BYTES:])
    compression = data[V3_BYTES] if more.header_length > V3_BYTES and len(data) > V3_BYTES else 0
    return msgspec.structs.replace(
        header,
        incompatible_features=more.incompatible_features,
        refcount_order=more.refcount_order,
        header_length=more.header_length,
        compression_type=compression,
    )


def parse_extensions(data: bytes, start: int, end: int) -> Extensions:
    """Return what the header extensions in ``data[start:end]`` say."""
    backing_format: bytes | None = None
    data_file: bytes | None = None
    names: dict[int, bytes] = {}
    at = start
    while at + 8 <= end:
        head = _extension_layout().parse(data[at : at + 8])
        if head.type == EXTENSION_END:
            break
        if at + 8 + head.length > end:
            return Extensions(backing_format, data_file, names, at)
        body = data[at + 8 : at + 8 + head.length]
        if head.type == EXTENSION_BACKING_FORMAT:
            backing_format = body
        elif head.type == EXTENSION_DATA_FILE:
            data_file = body
        elif head.type == EXTENSION_FEATURE_NAMES:
            # 48 bytes each: kind of feature (0 is incompatible), bit, name
            entries = [body[entry : entry + 48] for entry in range(0, len(body) - 47, 48)]
            names |= {entry[1]: entry[2:].rstrip(b"\0") for entry in entries if entry[0] == 0 and entry[1] < 64}
        at += 8 + (head.length + 7) // 8 * 8
    return Extensions(backing_format, data_file, names, None)


@cache
def _header_layout() -> Any:
    from construct import Bytes, Int32ub, Int64ub, Struct  # noqa: PLC0415 - 30 ms: qcow2 only

    return Struct(
        "magic" / Bytes(4),
        "version" / Int32ub,
        "backing_file_offset" / Int64ub,
        "backing_file_size" / Int32ub,
        "cluster_bits" / Int32ub,
        "size" / Int64ub,
        "crypt_method" / Int32ub,
        "l1_size" / Int32ub,
        "l1_table_offset" / Int64ub,
        "refcount_table_offset" / Int64ub,
        "refcount_table_clusters" / Int32ub,
        "nb_snapshots" / Int32ub,
        "snapshots_offset" / Int64ub,
    )


@cache
def _version_3_layout() -> Any:
    from construct import Int32ub, Int64ub, Struct  # noqa: PLC0415 - 30 ms: qcow2 only

    return Struct(
        "incompatible_features" / Int64ub,
        "compatible_features" / Int64ub,
        "autoclear_features" / Int64ub,
        "refcount_order" / Int32ub,
        "header_length" / Int32ub,
    )


@cache
def _extension_layout() -> Any:
    from construct import Int32ub, Struct  # noqa: PLC0415 - 30 ms: qcow2 only

    return Struct("type" / Int32ub, "length" / Int32ub)
