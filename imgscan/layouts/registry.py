"""Windows registry hives (`regf`), versions 1.2 to 1.6.

Source: "Windows registry file format specification", M. Suhanov, sections "Base block", "Hive bin", "Cell", "Key node",
"Subkeys list", "Key values list", "Key value" and "Big data". Everything is little endian; cell offsets are relative
to the first hive bin, which starts 4096 bytes into the file.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SIGNATURE = b"regf"
BASE_BLOCK_SIZE = 4096
"""Bytes of the base block; the hive bins follow."""
PAGE_SIZE = 4096
"""Hive bins start and end at multiples of this many bytes."""
BIN_HEADER_SIZE = 32
"""Bytes of a hive bin header, in front of the bin's first cell."""
NO_CELL = 0xFFFFFFFF
"""The cell offset that means that there is none."""
BIG_DATA_SEGMENT = 16344
"""Data bytes in each segment of a big data record but the last; values up to this size have one cell."""
RESIDENT = 0x80000000
"""Bit of a value's data size: the data, 4 bytes at most, stands in the offset field."""
NAME_IS_LATIN1 = {"key": 0x20, "value": 0x01}
"""Flag of key nodes and of values: the name holds one byte for each character (KEY_COMP_NAME, VALUE_COMP_NAME)."""


class BaseBlock(NamedTuple):
    """The fields of a base block that tell what follows; `bins_size` in bytes, the cell as an offset."""

    signature: bytes
    primary_sequence: int
    secondary_sequence: int
    last_written: int
    major_version: int
    minor_version: int
    file_type: int
    file_format: int
    root_cell: int
    bins_size: int
    clustering_factor: int
    file_name: bytes
    checksum: int


_BASE_BLOCK = struct.Struct("<4sIIQIIIIIII64s396xI")  # not construct: it would be all that a Windows needs it for
BASE_BLOCK_BYTES = _BASE_BLOCK.size
"""Bytes of the base block that are more than padding: the first 512."""


def parse_base_block(block: bytes) -> BaseBlock:
    """Return the fields of a base block; `block` holds at least `BASE_BLOCK_BYTES` bytes."""
    return BaseBlock._make(_BASE_BLOCK.unpack_from(block))


CHECKED_BYTES = 508
"""Bytes of the base block that its checksum covers."""

CELL_SIZE = struct.Struct("<i")
"""In front of every cell: its size in bytes with this field, negative when the cell is in use."""


def base_block_checksum(block: bytes) -> int:
    """Return the checksum of a base block's first 508 bytes: their XOR in 32-bit words; neither 0 nor all ones."""
    checksum = 0
    for (word,) in struct.iter_unpack("<I", block[:CHECKED_BYTES]):
        checksum ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(checksum, checksum)


class KeyNode(NamedTuple):
    """The fixed part of a key node (`nk`); `written` is a FILETIME, counts and lengths are in entries and bytes."""

    signature: bytes
    flags: int
    written: int
    access: int
    parent: int
    subkeys: int
    volatile_subkeys: int
    subkeys_list: int
    volatile_subkeys_list: int
    values: int
    values_list: int
    security: int
    class_name: int
    name_length: int
    class_name_length: int


_KEY_NODE = struct.Struct("<2sHQIIIIIIIIII20xHH")
KEY_NODE_SIZE = _KEY_NODE.size


def parse_key_node(cell: bytes) -> KeyNode:
    """Return the fixed part of a key node; `cell` holds at least `KEY_NODE_SIZE` bytes, the name follows them."""
    return KeyNode._make(_KEY_NODE.unpack_from(cell))


class KeyValue(NamedTuple):
    """The fixed part of a value (`vk`); `data_size` in bytes, with the `RESIDENT` bit."""

    signature: bytes
    name_length: int
    data_size: int
    data: int
    type: int
    flags: int


_KEY_VALUE = struct.Struct("<2sHIIIH2x")
KEY_VALUE_SIZE = _KEY_VALUE.size


def parse_key_value(cell: bytes) -> KeyValue:
    """Return the fixed part of a value; `cell` holds at least `KEY_VALUE_SIZE` bytes, the name follows them."""
    return KeyValue._make(_KEY_VALUE.unpack_from(cell))


LIST_HEADER = struct.Struct("<2sH")
"""Signature (`lf`, `lh`, `li`, `ri`) and number of entries of a subkeys list."""
BIG_DATA = struct.Struct("<2sHI")
"""Signature (`db`), number of segments, and the cell with the offsets of the segments."""


def name_hash(name: str) -> int:
    """Return the hash under which an `lh` list holds a key name of ASCII characters."""
    value = 0
    for character in name.upper():
        value = (value * 37 + ord(character)) & 0xFFFFFFFF
    return value
