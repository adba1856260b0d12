"""VHD: footer, dynamic disk header, parent locators.

Source: Virtual Hard Disk Image Format Specification 1.0 (Microsoft, 2006), "Hard Disk Footer Format", "Dynamic Disk
Header Format". All numbers are big-endian. Where producers differ from the text, the field says so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

FOOTER_BYTES = 512
OLD_FOOTER_BYTES = 511
"""Virtual PC before 2004 wrote footers of 511 bytes; the missing last byte is reserved."""
FOOTER_COOKIE = b"conectix"
HEADER_BYTES = 1024
HEADER_COOKIE = b"cxsparse"
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
VERSION = 0x0001_0000
UNUSED = 0xFFFF_FFFF
"""A BAT entry of a block that has no data."""
EPOCH = 946_684_800
"""Unix time of 2000-01-01 00:00:00 UTC, from which time stamps count."""
SECTOR = 512


class Footer(msgspec.Struct, frozen=True):
    """A footer, or its copy at the front of the file; sizes in bytes, `timestamp` in seconds since 2000.

    `unique_id` is the UUID as text, bytes in the order they are stored in. `checksum_good` is about these bytes alone.
    """

    features: int
    version: int
    data_offset: int
    timestamp: int
    creator_application: str
    creator_version: str
    creator_host: str
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors_per_track: int
    type: int
    unique_id: str
    saved_state: bool
    checksum_good: bool

    @property
    def geometry_size(self) -> int:
        """Size in bytes that cylinders, heads and sectors make."""
        return self.cylinders * self.heads * self.sectors_per_track * SECTOR


class Locator(msgspec.Struct, frozen=True):
    """Where a name of the parent stands: `platform` is the code as stored (`W2ku`), `length` and `offset` in bytes."""

    platform: bytes
    length: int
    offset: int


class DynamicHeader(msgspec.Struct, frozen=True):
    """The header of a dynamic or differencing disk; `block_size` in bytes, `bat_offset` in bytes of the file."""

    bat_offset: int
    version: int
    bat_entries: int
    block_size: int
    parent_id: str
    parent_timestamp: int
    parent_name: str
    locators: tuple[Locator, ...]
    checksum_good: bool


def parse_footer(data: bytes) -> Footer | None:
    """Return the footer in 512 (or the old 511) bytes, None when its cookie is not there."""
    if not data.startswith(FOOTER_COOKIE) or len(data) < OLD_FOOTER_BYTES:
        return None
    data = data[:FOOTER_BYTES].ljust(FOOTER_BYTES, b"\0")
    raw = _footer_layout().parse(data)
    return Footer(
        raw.features,
        raw.version,
        raw.data_offset,
        raw.timestamp,
        _code(raw.creator_application),
        f"{raw.creator_major}.{raw.creator_minor}",
        _code(raw.creator_host),
        raw.original_size,
        raw.current_size,
        raw.cylinders,
        raw.heads,
        raw.sectors_per_track,
        raw.type,
        uuid_text(raw.unique_id),
        raw.saved_state != 0,
        raw.checksum == checksum(data, 64),
    )


def parse_dynamic_header(data: bytes) -> DynamicHeader | None:
    """Return the header in 1024 bytes, None when its cookie is not there."""
    if not data.startswith(HEADER_COOKIE) or len(data) < HEADER_BYTES:
        return None
    raw = _header_layout().parse(data)
    return DynamicHeader(
        raw.bat_offset,
        raw.version,
        raw.bat_entries,
        raw.block_size,
        uuid_text(raw.parent_id),
        raw.parent_timestamp,
        raw.parent_name.decode("utf-16-be", "replace").split("\0", 1)[0],
        # The field between code and length is the space set aside: in sectors by the specification, in bytes as
        # Windows writes it. The length is all that is needed.
        tuple(Locator(entry.platform, entry.length, entry.offset) for entry in raw.locators if any(entry.platform)),
        raw.checksum == checksum(data[:HEADER_BYTES], 36),
    )


def checksum(data: bytes, at: int) -> int:
    """Return the one's complement of the sum of all bytes but the four of the checksum itself, at offset `at`."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFF_FFFF


def uuid_text(raw: bytes) -> str:
    """Return 16 bytes as UUID text in stored order."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _code(raw: bytes) -> str:
    return raw.decode("latin-1").rstrip("\0 ")


@cache
def _footer_layout() -> Any:
    from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct  # noqa: PLC0415 - 30 ms: VHDs only

    return Struct(
        "cookie" / Bytes(8),
        "features" / Int32ub,
        "version" / Int32ub,
        "data_offset" / Int64ub,
        "timestamp" / Int32ub,
        "creator_application" / Bytes(4),
        "creator_major" / Int16ub,
        "creator_minor" / Int16ub,
        "creator_host" / Bytes(4),
        "original_size" / Int64ub,
        "current_size" / Int64ub,
        "cylinders" / Int16ub,
        "heads" / Int8ub,
        "sectors_per_track" / Int8ub,
        "type" / Int32ub,
        "checksum" / Int32ub,
        "unique_id" / Bytes(16),
        "saved_state" / Int8ub,
    )


@cache
def _header_layout() -> Any:
    from construct import Array, Bytes, Int32ub, Int64ub, Struct  # noqa: PLC0415 - 30 ms: VHDs only

    return Struct(
        "cookie" / Bytes(8),
        "data_offset" / Int64ub,
        "bat_offset" / Int64ub,
        "version" / Int32ub,
        "bat_entries" / Int32ub,
        "block_size" / Int32ub,
        "checksum" / Int32ub,
        "parent_id" / Bytes(16),
        "parent_timestamp" / Int32ub,
        "reserved" / Bytes(4),
        "parent_name" / Bytes(512),
        "locators"
        / Array(
            8,
            Struct(
                "platform" / Bytes(4),
                "space" / Int32ub,
                "length" / Int32ub,
                "reserved" / Bytes(4),
                "offset" / Int64ub,
            ),
        ),
    )
