"""Transaction logs of Windows registry hives: `.LOG1`, `.LOG2` and `.LOG`.

Source: "Windows registry file format specification", M. Suhanov, section "Format of transaction log files"; the hash is
Marvin32 as Microsoft's SymCrypt has it (US patent 20130262421, reference implementation under the MIT licence).
Everything is little endian. A log begins with the first sector of a base block (`imgscan.layouts.registry`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SECTOR = 512
"""Bytes of what a log's parts are aligned to, and of a page of the old format."""
OLD_TYPES = (1, 2)
"""Values of the base block's file type in logs with a dirty vector, up to Windows 8 and Server 2012."""
NEW_TYPE = 6
"""The file type in logs with entries, since Windows 8.1 and Server 2012 R2."""

DIRTY_VECTOR = b"DIRT"
"""In front of the bitmap of dirty pages in the old format, in the second sector."""


class LogEntry(NamedTuple):
    """The header of a log entry; `size` in bytes with this header, `pages` how many page references follow it."""

    signature: bytes
    size: int
    flags: int
    sequence: int
    bins_size: int
    pages: int
    content_hash: int
    header_hash: int


_LOG_ENTRY = struct.Struct("<4sIIIIIQQ")
LOG_ENTRY_SIZE = _LOG_ENTRY.size
LOG_ENTRY_SIGNATURE = b"HvLE"
HEADER_HASHED = 32
"""Bytes of a header that its own hash covers."""
PAGE_REFERENCE = struct.Struct("<II")
"""Offset in the hive bins and length, in bytes, of a page; the pages follow all references in the same order."""

_SEED_LOW, _SEED_HIGH = 0x7A4E55C5, 0x82EF4D88
_WORD = 0xFFFFFFFF


def parse_log_entry(header: bytes) -> LogEntry:
    """Return the header of a log entry; `header` holds at least `LOG_ENTRY_SIZE` bytes."""
    return LogEntry._make(_LOG_ENTRY.unpack_from(header))


def marvin32(data: bytes) -> int:
    """Return the Marvin32 hash that log entries carry: 64 bits, as stored."""
    low, high = _SEED_LOW, _SEED_HIGH
    whole = len(data) & ~3
    last = int.from_bytes(data[whole:] + b"\x80", "little")
    words = struct.unpack(f"<{whole // 4}I", data[:whole])
    for word in (*words, last, 0):
        low = (low + word) & _WORD
        high ^= low
        low = ((low << 20 | low >> 12) + high) & _WORD
        high = ((high << 9 | high >> 23) & _WORD) ^ low
        low = ((low << 27 | low >> 5) + high) & _WORD
        high = (high << 19 | high >> 13) & _WORD
    return high << 32 | low
