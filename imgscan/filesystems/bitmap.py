"""Allocation bitmaps: one bit for each cluster, lowest bit of a byte first, set when in use (NTFS, exFAT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from imgscan.devices.limits import MIB

CHUNK: Final = 1 * MIB


def clear_bits(bits: int, read: Callable[[int, int], bytes]) -> int:
    """Count the clear bits among the first `bits`; `read(offset, length)` reads the bitmap, at most 1 MiB at once."""
    ones = 0
    whole, rest = divmod(bits, 8)
    for offset in range(0, whole, CHUNK):
        ones += int.from_bytes(read(offset, min(CHUNK, whole - offset)), "little").bit_count()
    if rest:
        ones += (read(whole, 1)[0] & ((1 << rest) - 1)).bit_count()
    return bits - ones
