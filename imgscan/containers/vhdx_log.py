"""The log of a VHDX, replayed in memory: what a writer had promised and not yet put in its place.

Source: [MS-VHDX] 2.3. The file is never written. `replay` finds the active sequence of log entries and returns the file
as it is with them; an overlay of sectors of 4 KiB, in front of which everything else of the format is read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import msgspec

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import LOG_BYTES, MIB
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.layouts import vhdx as layout

SECTOR = layout.LOG_SECTOR_BYTES
WORK = 1 << 22
"""Steps that taking zeros over earlier data may cost; a log of 256 MiB holds 65,536 sectors."""


class Replay(msgspec.Struct, frozen=True):
    """`entries` of the log make up `device`; `flushed` is the size that the file must have at least, in bytes."""

    device: BlockDevice
    entries: int
    flushed: int


class _Entry(msgspec.Struct, frozen=True):
    at: int
    header: layout.LogEntryHeader
    descriptors: tuple[layout.Descriptor, ...]


class LogOverlay:
    """A file with some of its ranges replaced, and perhaps longer than it is: the rest of it is zeros.

    `pieces` are ``(start, end, data)`` in bytes, sorted and apart from each other; no data stands for zeros.
    """

    sector_size = 512

    def __init__(self, below: BlockDevice, size: int, pieces: list[tuple[int, int, bytes | None]]) -> None:
        self._below = below
        self._pieces = pieces
        self._ends = [end for _, end, _ in pieces]
        self.name = below.name
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        end = offset + length
        number = bisect_right(self._ends, offset)
        if number == len(self._ends) or self._pieces[number][0] >= end:
            return self._read_below(offset, length)
        check_range(self, offset, length)
        parts = []
        while offset < end:
            start, stop, data = self._pieces[number] if number < len(self._pieces) else (end, end, None)
            if start > offset:
                parts.append(self._read_below(offset, min(start, end) - offset))
                offset = min(start, end)
                continue
            size = min(stop, end) - offset
            parts.append(bytes(size) if data is None else data[offset - start : offset - start + size])
            offset += size
            number += 1
        return b"".join(parts)

    def _read_below(self, offset: int, length: int) -> bytes:
        if offset + length <= self._below.size or self.size <= self._below.size:
            return self._below.read_at(offset, length)
        check_range(self, offset, length)
        inside = max(0, self._below.size - offset)
        return (self._below.read_at(offset, inside) if inside else b"") + bytes(length - inside)


def replay(file: BlockDevice, header: layout.Header) -> Replay:
    """Return the file as it is with its log.

    :raises UnsupportedFormat: the log is of another version than 0
    :raises LimitExceeded: the log is larger, or asks for more work, than imgscan is willing to follow
    :raises CorruptStructure: there is a log, and no valid sequence of entries in it
    :raises TruncatedRead: the file ends inside the log
    """
    if header.log_version != 0:
        raise UnsupportedFormat(
            f"its log is of version {header.log_version}, and not empty", where=file.name, offset=header.at
        )
    if header.log_length > LOG_BYTES:
        raise LimitExceeded(
            f"its log of {header.log_length} bytes is larger than {LOG_BYTES} and not empty",
            where=file.name,
            offset=header.log_offset,
        )
    if not header.log_length or header.log_length % MIB or header.log_offset % MIB or header.log_offset < MIB:
        raise CorruptStructure(
            f"its log of {header.log_length} bytes at {header.log_offset} is not in whole MiB behind the headers",
            where=file.name,
            offset=header.at,
        )
    log = _Log(file, header)
    sequence = log.active_sequence()
    if not sequence:
        raise CorruptStructure(
            "the header says that the log is not empty, and there is no valid entry in it",
            where=file.name,
            offset=header.log_offset,
        )
    head = sequence[-1].header
    size = max(file.size, head.last_file_offset)
    return Replay(LogOverlay(file, size, _pieces(log, sequence)), len(sequence), head.flushed_file_offset)


class _Log:
    """The log's bytes, a ring, and the entries in it that are valid."""

    def __init__(self, file: BlockDevice, header: layout.Header) -> None:
        self._file = file
        self._offset = header.log_offset
        self._length = header.log_length
        self._guid = header.log_guid
        self._checked = 0
        self._entries: dict[int, _Entry | None] = {}

    def read(self, at: int, length: int) -> bytes:
        """Return bytes of the ring; `at` counts from its first byte and may lie beyond its last."""
        at %= self._length
        first = min(length, self._length - at)
        data = self._file.read_at(self._offset + at, first)
        return data if first == length else data + self._file.read_at(self._offset, length - first)

    def active_sequence(self) -> list[_Entry]:
        """Return the entries to replay, oldest first: of the valid sequences, the one that ends last."""
        best: list[_Entry] = []
        position = 0
        for start in self._beginnings():
            if start < position:
                continue
            sequence, position = self._sequence(start)
            if not sequence:
                continue
            tail = next((n for n, entry in enumerate(sequence) if entry.at == sequence[-1].header.tail), None)
            if tail is not None and (not best or sequence[-1].header.sequence > best[-1].header.sequence):
                best = sequence[tail:]
            if position <= start:
                break  # it ran over the end of the ring
        return best

    def _beginnings(self) -> list[int]:
        """Return the offsets of sectors that look like the first of an entry."""
        found = []
        for start in range(0, self._length, MIB):
            chunk = self.read(start, MIB)
            found += [start + at for at in range(0, MIB, SECTOR) if chunk.startswith(b"loge", at)]
        return found

    def _sequence(self, start: int) -> tuple[list[_Entry], int]:
        """Return the longest run of entries from `start` whose numbers follow each other, and where it ends."""
        sequence: list[_Entry] = []
        at = start
        while True:
            entry = self._entry(at)
            if entry is None or (sequence and entry.header.sequence != sequence[-1].header.sequence + 1):
                return sequence, at
            sequence.append(entry)
            at = (at + entry.header.length) % self._length

    def _entry(self, at: int) -> _Entry | None:
        if at not in self._entries:
            self._entries[at] = self._read_entry(at)
        return self._entries[at]

    def _read_entry(self, at: int) -> _Entry | None:
        """Return the entry at `at`, None when it is not valid ([MS-VHDX] 2.3.1.1)."""
        header = layout.parse_log_entry_header(self.read(at, layout.LOG_HEADER_BYTES))
        if header is None or header.log_guid != self._guid or not header.sequence:
            return None
        if not header.length or header.length % SECTOR or header.length > self._length or header.tail % SECTOR:
            return None
        sectors = descriptor_sectors(header.descriptors)
        if sectors * SECTOR > header.length:
            return None
        self._checked += header.length
        if self._checked > LOG_BYTES:
            raise LimitExceeded(
                f"its log asks for checking more than {LOG_BYTES} bytes", where=self._file.name, offset=self._offset
            )
        data = self.read(at, header.length)
        descriptors = layout.parse_descriptors(data, header)
        if descriptors is None or not layout.log_entry_sealed(data, header.checksum):
            return None
        for descriptor in descriptors:
            if descriptor.zeros:
                continue
            sector = data[sectors * SECTOR : (sectors + 1) * SECTOR]
            if len(sector) < SECTOR or layout.data_sector(sector, descriptor, header.sequence) is None:
                return None
            sectors += 1
        return _Entry(at, header, descriptors)


def descriptor_sectors(count: int) -> int:
    """Return how many sectors a log entry's header and its descriptors take."""
    return -(-(layout.LOG_HEADER_BYTES + layout.DESCRIPTOR_BYTES * count) // SECTOR)


def _pieces(log: _Log, sequence: list[_Entry]) -> list[tuple[int, int, bytes | None]]:
    """Return what the entries write, later ones over earlier ones, as the pieces of a `LogOverlay`."""
    sectors: dict[int, bytes] = {}
    zeros: list[tuple[int, int]] = []
    work = 0
    for entry in sequence:
        at = entry.at + descriptor_sectors(entry.header.descriptors) * SECTOR
        for descriptor in entry.descriptors:
            start, end = descriptor.file_offset, descriptor.file_offset + descriptor.zeros
            if not descriptor.zeros:
                data = layout.data_sector(log.read(at, SECTOR), descriptor, entry.header.sequence)
                if data is None:
                    raise CorruptStructure("the log changed while it was read")
                sectors[start] = data
                at += SECTOR
                continue
            zeros.append((start, end))
            over = range(start, end, SECTOR) if descriptor.zeros // SECTOR < len(sectors) else list(sectors)
            work += len(over)
            if work > WORK:
                raise LimitExceeded(f"its log asks for more than {WORK} steps of zeroing")
            for sector in over:
                if start <= sector < end:
                    sectors.pop(sector, None)
    written = sorted(sectors)
    pieces: list[tuple[int, int, bytes | None]] = [(at, at + SECTOR, sectors[at]) for at in written]
    for start, end in _merged(zeros):
        at = start
        for sector in written[bisect_left(written, start) : bisect_left(written, end)]:
            if at < sector:
                pieces.append((at, sector, None))
            at = sector + SECTOR
        if at < end:
            pieces.append((at, end, None))
    return sorted(pieces, key=lambda piece: piece[0])


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
