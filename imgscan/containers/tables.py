"""What VHD and VHDX readers share below their formats: paged allocation tables, sector bitmaps, joining of pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Literal

from imgscan.containers.table_pages import TablePages
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
    """A block allocation table of `count` entries at `offset` of the file, read page by page when asked for."""

    def __init__(
        self,
        file: BlockDevice,
        offset: int,
        count: int,
        entry_bytes: Literal[4, 8],
        byte_order: Literal["little", "big"],
    ) -> None:
        self._file = file
        self._offset = offset
        self._width = entry_bytes
        self.count = count
        self.page_entries = TABLE_PAGE_BYTES // entry_bytes
        self._shift = self.page_entries.bit_length() - 1
        self._mask = self.page_entries - 1
        page_bytes = max(entry_bytes, min(TABLE_PAGE_BYTES, count * entry_bytes))
        self._pages = TablePages(file, "block allocation table", entry_bytes, byte_order, page_bytes)

    def entry(self, number: int) -> int:
        """Return an entry.

        :raises CorruptStructure: the table has fewer entries
        :raises TruncatedRead: the file ends before the entry
        """
        if number >= self.count:
            raise CorruptStructure(
                f"the block allocation table has {self.count} entries, and entry {number} is asked for",
                where=self._file.name,
                offset=self._offset,
            )
        page = self._pages.page(self._offset + (number >> self._shift) * TABLE_PAGE_BYTES)
        try:
            return page[number & self._mask]
        except IndexError:
            raise self._truncated(number) from None

    def first_entries(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield ``(number, entry)`` of at most `count` entries.

        :raises TruncatedRead: the file ends before the last of them
        """
        count = min(count, self.count)
        for begin in range(0, count, self.page_entries):
            page = self._pages.page(self._offset + begin * self._width)
            wanted = min(count - begin, self.page_entries)
            yield from enumerate(page[:wanted], begin)
            if len(page) < wanted:
                raise self._truncated(begin + len(page))

    def _truncated(self, number: int) -> TruncatedRead:
        return TruncatedRead(
            "the file ends inside the block allocation table",
            where=self._file.name,
            offset=self._offset + number * self._width,
        )


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
        self._lock = Lock()

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
        with self._lock:
            while len(self._maps) >= self._keep:
                del self._maps[next(iter(self._maps))]
            self._maps[block] = bits
        return bits
