"""VirtualBox disk images (VDI), version 1.x.

Source: VirtualBox, src/VBox/Storage/VDICore.h, the structures VDIPREHEADER and VDIHEADER1PLUS. All numbers are
little-endian; offsets and sizes are in bytes of the image file.
"""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any, Final

import msgspec

MAGIC: Final = b"\x7f\x10\xda\xbe"
MAGIC_AT: Final = 0x40
HEADER_BYTES: Final = 0x1C8
"""Preheader (72 bytes) and the header of version 1.0; what 1.1 adds behind is only a geometry."""
DYNAMIC, FIXED, UNDO, DIFFERENCING = 1, 2, 3, 4
BLOCK_FREE: Final = 0xFFFF_FFFF
"""The block was never written: in an image without parent it reads as zeros."""
BLOCK_ZERO: Final = 0xFFFF_FFFE
"""The block was cleared: it reads as zeros."""
NO_UUID: Final = "00000000-0000-0000-0000-000000000000"


class Header(msgspec.Struct, frozen=True):
    """Preheader and header. `version` is (major, minor), `block_extra` bytes stand in front of each block's data."""

    version: tuple[int, int]
    header_size: int
    type: int
    flags: int
    offset_blocks: int
    offset_data: int
    sector_size: int
    disk_size: int
    block_size: int
    block_extra: int
    blocks: int
    blocks_allocated: int
    uuid_create: str
    uuid_modify: str
    uuid_linkage: str
    uuid_parent_modify: str


def parse_header(data: bytes) -> Header | None:
    """Return the header at the front of `data`, None when it is cut short. Only versions 1.x have this layout."""
    if len(data) < HEADER_BYTES:
        return None
    raw = _layout().parse(data)
    return Header(
        (raw.version >> 16, raw.version & 0xFFFF),
        *(raw[name] for name in Header.__struct_fields__[1:12]),
        *(str(uuid.UUID(bytes_le=raw[name])) for name in Header.__struct_fields__[12:]),
    )


@cache
def _layout() -> Any:
    from construct import Bytes, Int32ul, Int64ul, Struct  # noqa: PLC0415 - 30 ms: VDI only

    return Struct(
        "text" / Bytes(64),
        "signature" / Bytes(4),
        "version" / Int32ul,
        "header_size" / Int32ul,
        "type" / Int32ul,
        "flags" / Int32ul,
        "comment" / Bytes(256),
        "offset_blocks" / Int32ul,
        "offset_data" / Int32ul,
        "cylinders" / Int32ul,
        "heads" / Int32ul,
        "sectors" / Int32ul,
        "sector_size" / Int32ul,
        "unused" / Int32ul,
        "disk_size" / Int64ul,
        "block_size" / Int32ul,
        "block_extra" / Int32ul,
        "blocks" / Int32ul,
        "blocks_allocated" / Int32ul,
        "uuid_create" / Bytes(16),
        "uuid_modify" / Bytes(16),
        "uuid_linkage" / Bytes(16),
        "uuid_parent_modify" / Bytes(16),
    )
