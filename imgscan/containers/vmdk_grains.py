"""Sparse VMDK extents: grains behind a grain directory and grain tables.

Source: VMware Virtual Disk Format 1.1, "Hosted Sparse Extents", "Stream-Optimized Compressed Sparse Extents". Tables
are read one at a time when they are first needed, and the ones read last are kept.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Callable
from threading import Lock

import msgspec

from imgscan.containers.table_pages import TablePages
from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import TABLE_CACHE_BYTES
from imgscan.errors import CorruptStructure, ImageError, TruncatedRead
from imgscan.layouts.vmdk import GRAIN_MARKER_BYTES, SECTOR

UNALLOCATED, ZERO = 0, 1
"""Entries that stand for no grain: the parent's, and zeros. Every other entry is a sector of the file."""
BAD = (1 << 64) - 1
"""An entry that means nothing."""
INFLATED_BYTES = 16 << 20
"""Inflated grains kept for one extent."""
TABLE_READ_BYTES = 64 << 10
"""How much a survey of many tables reads at once."""
SURVEY_BYTES = 512 << 10
"""Tables looked at when an extent is opened: 8 GiB of disk at the usual sizes; further ones when they are used."""
SURVEY_READS = 16
"""Tables that do not stand in a row take a read each."""

_HOST, _ZEROS, _BELOW = 0, 1, 2


class Survey(msgspec.Struct, frozen=True):
    """What tables say when they are looked at: the highest sector named, and by which grain (0 when none is).

    `redundant` is the first table that is read from its redundant copy, `bad` the first grain whose entry means
    nothing, `error` why a table could not be read; each is None when there is none. `lowest` is the lowest sector
    named, `shared` whether two entries name the same one, `complete` whether every table was looked at.
    """

    sector: int
    grain: int
    redundant: int | None
    bad: int | None
    error: ImageError | None
    lowest: int = BAD
    shared: bool = False
    complete: bool = False


class GrainTables:
    """Which sector of the file each grain stands in.

    `locate` returns the byte offset of a grain table, or None when it is not allocated; `decode` turns its bytes
    into entries (`UNALLOCATED`, `ZERO`, sectors). `entries` is the number in one table, a power of two.
    """

    def __init__(
        self,
        file: BlockDevice,
        entries: int,
        entry_bytes: int,
        locate: Callable[[int], int | None],
        decode: Callable[[bytes], array[int]],
        fallback: Callable[[int], int | None] | None = None,
    ) -> None:
        self.entries = entries
        self._file = file
        self._bytes = entries * entry_bytes
        self._locate = locate
        self._decode = decode
        self._fallback = fallback
        self._none = array("I", bytes(4 * entries))
        self._most = max(16, TABLE_CACHE_BYTES // self._bytes)
        self._tables: dict[int, array[int]] = {}
        self._lock = Lock()
        self.get = self._tables.get

    def load(self, number: int) -> array[int]:
        """Read a table, from the redundant copy when the first is damaged."""
        table, _ = self._better(number)
        with self._lock:
            while len(self._tables) >= self._most:
                del self._tables[next(iter(self._tables))]
            self._tables[number] = table
        return table

    def fix(self, tables: dict[int, array[int]]) -> None:
        """Set tables that were found in another way; they are kept."""
        self._most += len(tables)
        self._tables.update(tables)

    def _read(self, offset: int | None) -> array[int]:
        if offset is None:
            return self._none
        return self._decode(self._file.read_at(offset, self._bytes))

    def _better(self, number: int) -> tuple[array[int], bool]:
        """Return a table, and whether it is the redundant one, which is read only when the first is damaged."""
        try:
            offset = self._locate(number)
            first = self._read(offset)
        except ImageError:
            if self._fallback is None:
                raise
            return self._read(self._fallback(number)), True
        if self._fallback is None or (offset is not None and self.is_inside(first) and any(first)):
            return first, False
        try:
            offset = self._fallback(number)
            second = self._read(offset)
        except ImageError:
            return first, False
        # a table that is empty, where its copy is not, was lost
        is_better = offset is not None and self.is_inside(second) and (any(second) or not self.is_inside(first))
        return (second, True) if is_better else (first, False)

    def is_inside(self, table: array[int]) -> bool:
        """Whether every grain that a table names begins inside the file."""
        return max(table) * SECTOR < self._file.size

    def survey(self, count: int, most_bytes: int = SURVEY_BYTES) -> Survey:
        """Look at the first `count` tables, at most `most_bytes` of them in at most `SURVEY_READS` batches."""
        every, count = count, min(count, most_bytes // self._bytes)
        batch = max(1, TABLE_READ_BYTES // self._bytes)
        found = Survey(0, 0, None, None, None)
        number, named = 0, set[int]()
        for _ in range(SURVEY_READS):
            if number >= count:
                break
            try:
                run, entries = self._adjacent(number, min(batch, count - number))
            except ImageError:
                run, entries = 1, None
            if entries and self._fallback is not None:
                run, entries = self._until_outside(run, entries)
                if self.is_inside(entries):
                    run, entries = self._until_lost(number, run, entries)
            if entries is None or (self._fallback is not None and not (entries and self.is_inside(entries))):
                run = 1
                try:
                    entries, is_second = self._better(number)
                except ImageError as error:
                    found = msgspec.structs.replace(found, error=found.error or error)
                    entries, is_second = array("I"), False
                if is_second and found.redundant is None:
                    found = msgspec.structs.replace(found, redundant=number)
            highest = max(entries, default=0)
            if highest == BAD:
                if found.bad is None:
                    found = msgspec.structs.replace(found, bad=number * self.entries + entries.index(BAD))
                highest = max((entry for entry in entries if entry != BAD), default=0)
            if highest > max(found.sector, ZERO):
                found = msgspec.structs.replace(
                    found, sector=highest, grain=number * self.entries + entries.index(highest)
                )
            here = set(entries) - {UNALLOCATED, ZERO, BAD}
            nothing = entries.count(UNALLOCATED) + entries.count(ZERO) + entries.count(BAD)
            if len(here) != len(entries) - nothing or not named.isdisjoint(here):
                found = msgspec.structs.replace(found, shared=True)
            named |= here
            number += run
        return msgspec.structs.replace(
            found, lowest=min(named, default=BAD), complete=number >= every and found.error is None
        )

    def _until_outside(self, run: int, entries: array[int]) -> tuple[int, array[int]]:
        """Return the tables of a run before the first that names a place outside the file; that one when it leads.

        So one such table does not make the survey read all those behind it one at a time.
        """
        if self.is_inside(entries):
            return run, entries
        size = self.entries
        first = next(n for n in range(run) if not self.is_inside(entries[n * size : (n + 1) * size]))
        return max(1, first), entries[: max(1, first) * size]

    def _until_lost(self, number: int, run: int, entries: array[int]) -> tuple[int, array[int] | None]:
        """Return the tables of a run before the first that is empty where its redundant copy is not.

        None for their entries when that is the very first. The copies are read at once, and only if a table is empty.
        """
        size = self.entries
        empty = [n for n in range(run) if not any(entries[n * size : (n + 1) * size])]
        if not empty or self._fallback is None:
            return run, entries
        try:
            first, last = self._fallback(number + empty[0]), self._fallback(number + empty[-1])
            count = empty[-1] - empty[0] + 1
            if first is None or last != first + (count - 1) * self._bytes:
                return run, entries
            copies = self._decode(self._file.read_at(first, count * self._bytes))
        except ImageError:
            return run, entries
        for n in empty:
            at = (n - empty[0]) * size
            if any(copies[at : at + size]):
                return (n, entries[: n * size]) if n else (1, None)
        return run, entries

    def _adjacent(self, number: int, most: int) -> tuple[int, array[int]]:
        """Return how many tables from `number` on are read at once, and their entries; unallocated ones have none."""
        first = self._locate(number)
        count = 1
        if first is None:
            while count < most and self._locate(number + count) is None:
                count += 1
            return (1 if self._fallback is not None else count), array("I")
        try:
            while count < most and self._locate(number + count) == first + count * self._bytes:
                count += 1
        except ImageError:
            pass  # the next batch begins with it
        return count, self._decode(self._file.read_at(first, count * self._bytes))


def decode_sectors(data: bytes) -> array[int]:
    """Return 32-bit entries as they are stored: a 1 is a sector."""
    table = array("I")
    table.frombytes(data)
    if sys.byteorder == "big":
        table.byteswap()
    return table


class SparseExtent:
    """A sparse extent as a device; `below` (from `below_offset` on) is read where no grain is allocated.

    With `zero_grains` an entry 1 is a grain of zeros; `below` None means zeros too.
    """

    sector_size = SECTOR

    def __init__(
        self,
        file: BlockDevice,
        size: int,
        grain_bytes: int,
        tables: GrainTables,
        *,
        zero_grains: bool,
        compressed: bool = False,
        markers: bool = True,
        below: BlockDevice | None = None,
        below_offset: int = 0,
    ) -> None:
        self.name = file.name
        self.size = size
        self.tables = tables
        self.grain_bytes = grain_bytes
        self._file = file
        self._shift = grain_bytes.bit_length() - 1
        self._mask = grain_bytes - 1
        self._table_shift = tables.entries.bit_length() - 1
        self._table_mask = tables.entries - 1
        self._zero_grains = zero_grains
        self.is_compressed = compressed
        self.has_markers = markers
        self._below = below
        self._below_offset = below_offset
        self.bad_entry = "its entry means nothing"
        self._inflated: dict[int, bytes] = {}
        self._most_inflated = max(2, INFLATED_BYTES // grain_bytes)
        self._lock = Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        if offset < 0 or length <= 0 or offset + length > self.size:
            check_range(self, offset, length)
            return b""
        shift, mask, grain_bytes = self._shift, self._mask, self.grain_bytes
        table_shift, table_mask, get = self._table_shift, self._table_mask, self.tables.get
        parts: list[bytes] = []
        kind, start, run = _ZEROS, 0, 0  # pieces that go on where the last one ended are read at once
        while length:
            grain, within = offset >> shift, offset & mask
            take = grain_bytes - within
            if take > length:  # noqa: PLR1730 - twice as fast as min(), and this loop is what reading costs
                take = length
            number = grain >> table_shift
            table = get(number)
            if table is None:
                table = self.tables.load(number)
            entry = table[grain & table_mask]
            if entry == UNALLOCATED or (entry == ZERO and self._zero_grains):
                if entry == UNALLOCATED and self._below is not None:
                    where, position = _BELOW, offset
                else:
                    where, position = _ZEROS, offset
            elif entry == BAD:
                raise CorruptStructure(f"grain {grain} cannot be found: {self.bad_entry}", where=self.name)
            elif self.is_compressed:
                if run:
                    parts.append(self._piece(kind, start, run))
                    run = 0
                parts.append(self._inflate(grain, entry, table)[within : within + take])
                offset += take
                length -= take
                continue
            else:
                where, position = _HOST, entry * SECTOR + within
            if run and where == kind and position == start + run:
                run += take
            else:
                if run:
                    parts.append(self._piece(kind, start, run))
                kind, start, run = where, position, take
            offset += take
            length -= take
        if run:
            parts.append(self._piece(kind, start, run))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, kind: int, start: int, length: int) -> bytes:
        if kind == _HOST:
            return self._file.read_at(start, length)
        if kind == _BELOW and self._below is not None:
            return self._below.read_at(self._below_offset + start, length)
        return bytes(length)

    def _inflate(self, grain: int, sector: int, table: array[int]) -> bytes:
        """Return a compressed grain, as long as the part of the disk that it holds."""
        data = self._inflated.get(grain)
        if data is not None:
            return data
        packed = self._packed(grain, sector, table)
        wanted = min(self.grain_bytes, self.size - (grain << self._shift))
        try:
            # never more than one byte beyond a grain: a hostile stream can inflate without end
            stream = zlib.decompressobj()
            data = stream.decompress(packed, self.grain_bytes + 1)
        except zlib.error as error:
            raise CorruptStructure(
                f"grain {grain} cannot be inflated: {error}", where=self.name, offset=sector * SECTOR
            ) from error
        if not wanted <= len(data) <= self.grain_bytes or not stream.eof:  # not at its end: cut, and without checksum
            what = "more than a grain" if len(data) > self.grain_bytes else f"{len(data)} bytes, and is cut short"
            raise CorruptStructure(f"grain {grain} inflates to {what}", where=self.name, offset=sector * SECTOR)
        with self._lock:
            while len(self._inflated) >= self._most_inflated:
                del self._inflated[next(iter(self._inflated))]
            self._inflated[grain] = data
        return data

    def _packed(self, grain: int, sector: int, table: array[int]) -> bytes:
        """Return a grain's packed bytes, in one read where the next grain's place tells how long they can be."""
        at = sector * SECTOR
        if not self.has_markers:  # the stream ends itself; nothing says how long it is
            return self._file.read_at(at, max(1, min(2 * self.grain_bytes, self._file.size - at)))
        index = grain & self._table_mask
        following = table[index + 1] if index < self._table_mask else 0
        guess = (following - sector) * SECTOR if following > sector else SECTOR
        guess = max(GRAIN_MARKER_BYTES, min(guess, self.grain_bytes + SECTOR, self._file.size - at))
        data = self._file.read_at(at, guess)
        first = int.from_bytes(data[:8], "little")
        size = int.from_bytes(data[8:GRAIN_MARKER_BYTES], "little")
        if first != grain << self._shift >> 9:
            raise CorruptStructure(f"the marker of grain {grain} is that of sector {first}", where=self.name, offset=at)
        if not 0 < size <= 2 * self.grain_bytes + (64 << 10):
            raise CorruptStructure(f"grain {grain} is {size} bytes packed", where=self.name, offset=at)
        end = GRAIN_MARKER_BYTES + size
        if end > len(data):
            data += self._file.read_at(at + len(data), end - len(data))
        return data[GRAIN_MARKER_BYTES:end]


class DirectoryReader:
    """A grain directory, read page by page: where each grain table stands.

    `at` is its byte offset, `count` its number of entries of `entry_bytes`; `place` turns an entry into the byte offset
    of a table, None when it is not allocated, and raises when it means nothing.
    """

    def __init__(
        self, file: BlockDevice, at: int, count: int, entry_bytes: int, place: Callable[[int], int | None]
    ) -> None:
        self._file = file
        self._at = at
        self._count = count
        self._place = place
        page_bytes = max(SECTOR, min(64 << 10, count * entry_bytes))
        self._page_bytes = page_bytes
        self._per_page = page_bytes // entry_bytes
        self._width = entry_bytes
        self._pages = TablePages(file, "grain directory", 4 if entry_bytes == 4 else 8, "little", page_bytes)

    def __call__(self, number: int) -> int | None:
        """Return the byte offset of a grain table, None when it is not allocated."""
        if number >= self._count:
            raise CorruptStructure(
                f"the grain directory has {self._count} entries, and entry {number} is asked for", where=self._file.name
            )
        page = self._pages.page(self._at + number // self._per_page * self._page_bytes)
        try:
            entry = page[number % self._per_page]
        except IndexError:
            raise TruncatedRead("the grain directory runs beyond the end", where=self._file.name) from None
        return self._place(entry)
