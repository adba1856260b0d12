"""Writes transaction logs of registry hives, as the specification has them: what a crash leaves beside a hive.

A log turns one state of a hive into another: the pages in which they differ.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from imgscan.layouts.registry import base_block_checksum
from imgscan.layouts.registry_log import marvin32

PAGE = 4096


def base_block(hive: bytes, primary: int, secondary: int, type_: int = 0, stamp: int | None = None) -> bytes:
    """Return the first sector of a base block with these sequence numbers and file type."""
    block = bytearray(hive[:512])
    struct.pack_into("<II", block, 4, primary, secondary)
    if stamp is not None:
        struct.pack_into("<Q", block, 12, stamp)
    struct.pack_into("<I", block, 28, type_)
    struct.pack_into("<I", block, 508, base_block_checksum(bytes(block)))
    return bytes(block)


def dirty(hive: bytes, primary: int = 11, secondary: int = 10, stamp: int | None = None) -> bytes:
    """Return a hive whose last write did not end."""
    return base_block(hive, primary, secondary, stamp=stamp) + hive[512:]


def pages(before: bytes, after: bytes, size: int = PAGE) -> list[tuple[int, bytes]]:
    """Return offset in the bins and content of each page in which two states differ."""
    offsets = range(PAGE, len(after), size)
    return [(at - PAGE, after[at : at + size]) for at in offsets if before[at : at + size] != after[at : at + size]]


def entry(sequence: int, bins: int, changed: Sequence[tuple[int, bytes]]) -> bytes:
    """Return one entry of a log of the new format."""
    content = b"".join(struct.pack("<II", at, len(data)) for at, data in changed) + b"".join(d for _, d in changed)
    size = -(-(40 + len(content)) // 512) * 512
    content = content.ljust(size - 40, b"\0")
    head = struct.pack("<4sIIIIIQ", b"HvLE", size, 0, sequence, bins, len(changed), marvin32(content))
    return head + struct.pack("<Q", marvin32(head)) + content


def new_log(hive: bytes, first: int, *entries: bytes) -> bytes:
    """Return a log of the new format whose first entry has the sequence number `first`."""
    return base_block(hive, first, first, 6) + b"".join(entries)


def old_log(hive: bytes, changed: Sequence[tuple[int, bytes]], bins: int, sequence: int, stamp: int) -> bytes:
    """Return a log of the old format; pages are of 512 bytes."""
    bitmap = bytearray(-(-(bins // 512) // 8))
    for at, data in changed:
        assert len(data) == 512
        bitmap[at // 512 // 8] |= 1 << at // 512 % 8
    block = bytearray(base_block(hive, sequence, sequence, 1, stamp))
    struct.pack_into("<I", block, 40, bins)
    struct.pack_into("<I", block, 508, base_block_checksum(bytes(block)))
    vector = b"DIRT" + bitmap
    return bytes(block) + vector.ljust(-(-len(vector) // 512) * 512, b"\0") + b"".join(data for _, data in changed)
