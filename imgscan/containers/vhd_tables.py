"""What VHD and VHDX readers share below their formats: paged allocation tables, sector bitmaps, joining of pieces."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import TABLE_CACHE_BYTES, TABLE_PAGE_BYTES
from imgscan.errors import CorruptStructure, TruncatedRead

Piece = tuple[BlockDevice | None, int, int]
"""``(source, offset in it, length)``; no source stands for zeros."""


def gather(pieces: Iterable[Piece]) -> bytes:
    """Return the bytes of `pieces` in their order; neighbours that are neighbours in their source too are one read."""
    parts = []
    source: BlockDevice | None = None
    start = size = 0
    for next_source, offset, length in pieces:
        if next_source is source and (source is None or offset == start + size):
            size += length
            continue
        if size:
            parts.append(bytes(size) if source is None else source.read_at(start, size))
        source, start, size = next_source, offset, length
    if size:
        parts.append(bytes(size) if source is None else source.read_at(start, size))
    return parts[0] if len(parts) == 1 else b"".join(parts)


class EntryTable:
    """A block allocation table, read page by page when an entry is asked for; at most `TABLE_CACHE_BYTES` are kept.

    `kind` is `I` (32 bits) or `Q` (64 bits). `pages` holds what was read: entry `n` is ``pages[n >> shift][n & mask]``,
    for the readers' fast path; where that raises, `entry` reads the page or says why it cannot.
    """

    def __init__(self, file: BlockDevice, offset: int, count: int, kind: str, *, big_endian: bool) -> None:
        self._file = file
        self._offset = offset
        self._kind = kind
        self._width = 4 if kind == "I" else 8
        self._swap = big_endian != (sys.byteorder == "big")
        self.count = count
        self.shift = (TABLE_PAGE_BYTES // self._width).bit_length() - 1
        self.mask = (1 << self.shift) - 1
        self.pages: dict[int, array[int]] = {}

    def entry(self, number: int) -> int:
        """Return an entry.

        :raises CorruptStructure: the table has fewer entries
        :raises TruncatedRead: the file ends before the entry
        """
        if number >= self.count:
            raise CorruptStructure(
                f"the block allocation table has {self.count} entries, and block {number} is asked for",
                where=self._file.name,
                offset=self._offset,
            )
        page = self.pages.get(number >> self.shift)
        if page is None:
            page = self._load(number >> self.shift)
        if number & self.mask >= len(page):
            raise TruncatedRead(
                "the file ends inside the block allocation table",
                where=self._file.name,
                offset=self._offset + number * self._width,
            )
        return page[number & self.mask]

    def _load(self, number: int) -> array[int]:
        start = self._offset + number * TABLE_PAGE_BYTES
        length = min(TABLE_PAGE_BYTES, self.count * self._width - number * TABLE_PAGE_BYTES, self._file.size - start)
        page = array(self._kind)
        if length >= self._width:
            page.frombytes(self._file.read_at(start, length // self._width * self._width))
        if self._swap:
            page.byteswap()
        if len(self.pages) >= TABLE_CACHE_BYTES // TABLE_PAGE_BYTES:
            self.pages.pop(next(iter(self.pages)), None)  # the oldest: a scan returns to few places, any choice does
        self.pages[number] = page
        return page


class SectorMaps:
    """Which sectors of a block stand in this file; the others are the parent's.

    `read` returns a block's bitmap. Bits are kept as text, one `0` or `1` for each sector, because a run in text is
    found at C speed.
    """

    def __init__(self, read: Callable[[int], bytes], bitmap_bytes: int, *, least_significant_first: bool) -> None:
        self._read = read
        self._reverse = least_significant_first
        self._keep = max(4, TABLE_CACHE_BYTES // (8 * bitmap_bytes))
        self._maps: dict[int, str] = {}

    def runs(self, block: int, first: int, end: int) -> Iterator[tuple[bool, int]]:
        """Yield ``(present, end)`` of the runs of sectors ``[first, end)`` of a block."""
        bits = self._maps.get(block) or self._load(block)
        while first < end:
            present = bits[first] == "1"
            stop = bits.find("0" if present else "1", first, end)
            first = end if stop < 0 else stop
            yield present, first

    def _load(self, block: int) -> str:
        data = self._read(block)
        if self._reverse:
            bits = format(int.from_bytes(data, "little"), f"0{8 * len(data)}b")[::-1]
        else:
            bits = format(int.from_bytes(data, "big"), f"0{8 * len(data)}b")
        if len(self._maps) >= self._keep:
            self._maps.pop(next(iter(self._maps)), None)
        self._maps[block] = bits
        return bits
