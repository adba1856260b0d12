"""Completes a dirty hive from its transaction logs, in memory: the image is not changed, and no page is copied.

Windows does the same when it loads the hive. Source: as `imgscan.layouts.registry_log` says.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import REGISTRY_HASHED_BYTES, REGISTRY_HIVE_BYTES, REGISTRY_LOG_BYTES, REGISTRY_LOG_ENTRIES
from imgscan.errors import CorruptStructure, LimitExceeded, MissingPart, TruncatedRead
from imgscan.layouts import registry as layout
from imgscan.layouts import registry_log as log_layout

_FILE_TYPE, _BINS_SIZE, _CHECKSUM = 28, 40, 508
_TIMESTAMP: Final = slice(12, 20)
_SEQUENCES: Final = slice(4, 12)
_SECTOR: Final = log_layout.SECTOR
_BITMAP_PIECE: Final = 64 << 10
_HASHED_BYTES: Final = 128 << 10
"""Bytes of entries that are checked when a log is opened, from its end on; others are when a page of theirs is read."""


class _Log(msgspec.Struct, frozen=True):
    """A log file whose base block is whole: `block` is the block's first sector."""

    device: BlockDevice
    block: bytes

    @property
    def type(self) -> int:
        return _word(self.block, _FILE_TYPE)

    @property
    def sequence(self) -> int:
        return _word(self.block, 4)


class _Entry(msgspec.Struct, frozen=True):
    """An entry of a log of the new format; `position` is in the log's file."""

    log: _Log
    position: int
    header: log_layout.LogEntry


class CompletedHive:
    """A hive file with the pages of its logs laid over it, as a `BlockDevice`; `logs` are those that were used."""

    sector_size = 512

    def __init__(self, primary: BlockDevice, block: bytes, bins_size: int) -> None:
        """Begin with no page; `block` is the base block's first sector, put right by `_clean`."""
        if bins_size % layout.PAGE_SIZE:
            raise CorruptStructure(f"a log of the hive says that it has {bins_size} bytes", where=primary.name)
        if bins_size > REGISTRY_HIVE_BYTES:
            raise LimitExceeded(f"a hive of {bins_size} bytes is not completed from its logs", where=primary.name)
        self.name = primary.name
        self.logs: tuple[str, ...] = ()
        self.size = layout.BASE_BLOCK_SIZE + bins_size
        self._primary = primary
        self._block = block
        # for each sector of the file: 0, or which source it is in and where, as source << 40 | position
        self._sectors = array("Q", bytes(8 * (self.size // _SECTOR)))
        self._sources: list[tuple[BlockDevice, _Entry | None]] = []
        self._checked: set[int] = set()

    def add_source(self, device: BlockDevice, entry: _Entry | None, *, is_checked: bool) -> int:
        """Return the number of a log, or of an entry of one, for `put`."""
        self._sources.append((device, entry))
        if is_checked:
            self._checked.add(len(self._sources))
        return len(self._sources)

    def put(self, source: int, position: int, offset: int, length: int) -> None:
        """Lay bytes at `position` of a source over those at `offset` in the hive bins; what lies beyond them is not."""
        first = (layout.BASE_BLOCK_SIZE + offset) // _SECTOR
        for number in range(min(length // _SECTOR, len(self._sectors) - first)):
            self._sectors[first + number] = source << 40 | position + number * _SECTOR

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        :raises CorruptStructure: they are in a log's entry that does not match its hash
        :raises TruncatedRead: they are neither in the hive file nor in its logs
        """
        check_range(self, offset, length)
        parts: list[bytes] = []
        end = offset + length
        while offset < end:
            start = self._at(offset // _SECTOR)
            stop = (offset // _SECTOR + 1) * _SECTOR
            while stop < end and self._at(stop // _SECTOR) == (start and start + stop - offset // _SECTOR * _SECTOR):
                stop += _SECTOR
            stop = min(stop, end)
            parts.append(self._read(start, offset, stop - offset))
            offset = stop
        return b"".join(parts)

    def _at(self, sector: int) -> int:
        return self._sectors[sector]

    def _read(self, place: int, offset: int, length: int) -> bytes:
        if place:
            device, entry = self._sources[(place >> 40) - 1]
            if entry is not None:
                self._check(place >> 40, entry)
            return device.read_at((place & (1 << 40) - 1) + offset % _SECTOR, length)
        if offset < _SECTOR:
            inside = self._block[offset : offset + length]
            return inside + (self._read(0, _SECTOR, length - len(inside)) if len(inside) < length else b"")
        if offset + length > self._primary.size:
            raise TruncatedRead("the hive grew, and its logs do not hold this part", where=self.name, offset=offset)
        return self._primary.read_at(offset, length)

    def _check(self, number: int, entry: _Entry) -> None:
        if number in self._checked:
            return
        if not _content_is_whole(entry):
            raise CorruptStructure(
                f"entry {entry.header.sequence} of the hive's log does not match its hash",
                where=entry.log.device.name,
                offset=entry.position,
            )
        self._checked.add(number)


def complete(primary: BlockDevice, logs: Sequence[BlockDevice]) -> CompletedHive:
    """Return a dirty hive with its logs' pages laid over it, as Windows would load it.

    `logs` are its log files in the order .LOG1, .LOG2, .LOG, those that are there.

    :raises MissingPart: no log belongs to the state of the hive, or none holds anything
    :raises ImageError: a log that is needed cannot be read
    """
    block = primary.read_at(0, _SECTOR)
    usable = [log for device in logs if (log := _opened(device)) is not None]
    new = [log for log in usable if log.type == log_layout.NEW_TYPE]
    if new:
        return _with_entries(primary, block, new)
    stamp = block[_TIMESTAMP] if _is_whole(block) else primary.read_at(layout.BASE_BLOCK_SIZE + 20, 8)
    for log in usable:
        if log.type in log_layout.OLD_TYPES and log.block[_TIMESTAMP] == stamp:
            return _with_dirty_pages(primary, block, log)
    raise MissingPart(
        "no log of the hive belongs to this state of it" if usable else "the hive has no log that holds anything",
        where=primary.name,
    )


def _opened(device: BlockDevice) -> _Log | None:
    """Return a log, None for an empty or unfinished one."""
    if device.size < 2 * _SECTOR:
        return None
    block = device.read_at(0, _SECTOR)
    if block[:4] != layout.SIGNATURE or not _is_whole(block) or _word(block, 4) != _word(block, 8):
        return None
    return _Log(device, block)


def _is_whole(block: bytes) -> bool:
    return layout.base_block_checksum(block) == _word(block, _CHECKSUM)


def _with_entries(primary: BlockDevice, block: bytes, logs: Sequence[_Log]) -> CompletedHive:
    """Apply the entries of logs of the new format: those of one log follow those of the other without a gap."""
    if not _is_whole(block):
        block = max(logs, key=lambda log: log.sequence).block
        least = 0
    else:
        least = _word(block, 8)
    entries: list[_Entry] = []
    for log in sorted(logs, key=lambda log: log.sequence):
        found = list(_entries(log))
        if not found or found[-1].header.sequence < least:
            continue  # applied long ago
        if entries and found[0].header.sequence != entries[-1].header.sequence + 1:
            break
        entries += found
    whole = _without_torn_end(entries)
    if not entries:
        raise MissingPart("no log of the hive belongs to this state of it", where=primary.name)
    last = entries[-1].header
    completed = CompletedHive(primary, _clean(block, last.bins_size, last.sequence), last.bins_size)
    for index, entry in enumerate(entries):
        number = completed.add_source(entry.log.device, entry, is_checked=index >= whole)
        position = entry.position + log_layout.LOG_ENTRY_SIZE + entry.header.pages * log_layout.PAGE_REFERENCE.size
        for offset, length in _references(entry):
            if offset % _SECTOR == 0 and offset < last.bins_size:
                completed.put(number, position, offset, length)
            position += length
    completed.logs = tuple(dict.fromkeys(entry.log.device.name for entry in entries))
    return completed


def _entries(log: _Log) -> Iterator[_Entry]:
    """Yield the entries that follow each other from the log's first on, up to the first that is not whole."""
    position, sequence = _SECTOR, log.sequence
    if log.device.size > REGISTRY_LOG_BYTES:
        raise LimitExceeded(f"a log of {log.device.size} bytes is not read", where=log.device.name)
    for _ in range(REGISTRY_LOG_ENTRIES):
        if position + log_layout.LOG_ENTRY_SIZE > log.device.size:
            return
        data = log.device.read_at(position, log_layout.LOG_ENTRY_SIZE)
        header = log_layout.parse_log_entry(data)
        if (
            header.signature != log_layout.LOG_ENTRY_SIGNATURE
            or header.sequence != sequence
            or header.size % _SECTOR
            or header.bins_size % layout.PAGE_SIZE
            or not log_layout.LOG_ENTRY_SIZE <= header.size <= log.device.size - position
            or header.pages > (header.size - log_layout.LOG_ENTRY_SIZE) // (log_layout.PAGE_REFERENCE.size + _SECTOR)
            or log_layout.marvin32(data[: log_layout.HEADER_HASHED]) != header.header_hash
        ):
            return
        entry = _Entry(log, position, header)
        lengths = [length for _, length in _references(entry)]
        if sum(lengths) > header.size or any(length % _SECTOR or not length for length in lengths):
            return
        yield entry
        position += header.size
        sequence += 1
    raise LimitExceeded(f"a log of the hive has more than {REGISTRY_LOG_ENTRIES} entries", where=log.device.name)


def _references(entry: _Entry) -> Iterator[tuple[int, int]]:
    """Yield the offset in the hive bins and the length of each page."""
    length = entry.header.pages * log_layout.PAGE_REFERENCE.size
    data = entry.log.device.read_at(entry.position + log_layout.LOG_ENTRY_SIZE, length)
    yield from log_layout.PAGE_REFERENCE.iter_unpack(data)


def _without_torn_end(entries: list[_Entry]) -> int:
    """Drop the last entries as far as they were not written whole; return from which one on all were checked.

    Windows checks every entry and stops at the first bad one. Hashing megabytes takes long here, so only what was
    written last, where a crash leaves its traces, is checked at once.
    """
    checked = hashed = 0
    for index in range(len(entries) - 1, -1, -1):
        if hashed > _HASHED_BYTES and checked:
            return index + 1
        hashed += entries[index].header.size
        if hashed > REGISTRY_HASHED_BYTES:
            where = entries[index].log.device.name
            raise LimitExceeded("the last entry of the hive's log that was written whole was not found", where=where)
        if _content_is_whole(entries[index]):
            checked += 1
        else:
            del entries[index:]
            checked = 0
    return 0


def _content_is_whole(entry: _Entry) -> bool:
    start = entry.position + log_layout.LOG_ENTRY_SIZE
    data = entry.log.device.read_at(start, entry.header.size - log_layout.LOG_ENTRY_SIZE)
    return log_layout.marvin32(data) == entry.header.content_hash


def _with_dirty_pages(primary: BlockDevice, block: bytes, log: _Log) -> CompletedHive:
    """Apply a log of the old format: a bitmap of sectors, then those sectors."""
    if not _is_whole(block):
        block = log.block
    bins_size = _word(log.block, _BINS_SIZE)
    completed = CompletedHive(primary, _clean(block, bins_size, log.sequence), bins_size)
    source = completed.add_source(log.device, None, is_checked=True)
    bits = bins_size // _SECTOR
    start, length = _SECTOR + len(log_layout.DIRTY_VECTOR), -(-bits // 8)
    if log.device.read_at(_SECTOR, len(log_layout.DIRTY_VECTOR)) != log_layout.DIRTY_VECTOR:
        raise CorruptStructure("the hive's log has no dirty vector", where=log.device.name, offset=_SECTOR)
    position = -(-(start + length) // _SECTOR) * _SECTOR
    for first in range(0, length, _BITMAP_PIECE):
        piece = log.device.read_at(start + first, min(_BITMAP_PIECE, length - first))
        for index, byte in enumerate(piece):
            for bit in range(8) if byte else ():
                number = (first + index) * 8 + bit
                if byte >> bit & 1 and number < bits:
                    if position + _SECTOR > log.device.size:
                        raise TruncatedRead(
                            "pages of the hive's log are missing", where=log.device.name, offset=position
                        )
                    completed.put(source, position, number * _SECTOR, _SECTOR)
                    position += _SECTOR
    completed.logs = (log.device.name,)
    return completed


def _clean(block: bytes, bins_size: int, sequence: int) -> bytes:
    """Return the base block's sector as Windows writes it when the logs are applied."""
    changed = bytearray(block)
    changed[_SEQUENCES] = sequence.to_bytes(4, "little") * 2
    changed[_FILE_TYPE : _FILE_TYPE + 4] = bytes(4)
    changed[_BINS_SIZE : _BINS_SIZE + 4] = bins_size.to_bytes(4, "little")
    changed[_CHECKSUM:] = layout.base_block_checksum(bytes(changed)).to_bytes(4, "little")
    return bytes(changed)


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")
