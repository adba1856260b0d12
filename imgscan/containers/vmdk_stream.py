"""The end of a stream-optimized VMDK: its footer, and finding the grains when the end was lost.

Source: VMware Virtual Disk Format 1.1, "Stream-Optimized Compressed Sparse Extents". A stream ends in a footer marker,
the footer (a header that names the grain directory), and the end-of-stream marker, a sector each. Some tools pad the
file behind them.
"""

from __future__ import annotations

from array import array

import msgspec

from imgscan.containers.vmdk_grains import BAD, UNALLOCATED, GrainTables, decode_sectors
from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure, TruncatedRead
from imgscan.layouts import vmdk as layout

SECTOR = layout.SECTOR
PADDING_BYTES = 64 << 10
"""How far before the end of the file a footer is looked for."""
MARKERS = 1 << 18
"""Markers followed in a stream whose footer is lost: 16 GiB of data at the usual grain."""
FOUND_TABLES_BYTES = 32 << 20
"""Memory for the grain tables that are found so: 256 GiB of disk at the usual sizes."""


class Footer(msgspec.Struct, frozen=True):
    """A stream's footer, None when there is none to use; `complaint` is what is wrong with it, if anything."""

    header: layout.SparseHeader | None
    at: int
    complaint: str = ""


def read_footer(file: BlockDevice, header: layout.SparseHeader) -> Footer:
    """Find the footer of a stream.

    :raises ImageError: the file cannot be read
    """
    start = max(0, file.size - PADDING_BYTES) // SECTOR * SECTOR
    length = (file.size - start) // SECTOR * SECTOR
    exact = file.read_at(max(0, file.size - 3 * SECTOR), min(file.size, 3 * SECTOR))
    if len(exact) == 3 * SECTOR and exact[SECTOR:].startswith(layout.SPARSE_MAGIC):
        return _checked(exact, file.size - 2 * SECTOR, header)
    tail = file.read_at(start, length)
    for at in range(length - 2 * SECTOR, SECTOR - 1, -SECTOR):
        if tail.startswith(layout.SPARSE_MAGIC, at) and _kind(tail, at - SECTOR) == layout.MARKER_FOOTER:
            found = _checked(tail[at - SECTOR : at + 2 * SECTOR], start + at, header)
            if not any(tail[at + 2 * SECTOR :]):
                return found  # padded with zeros: the stream is whole
            return msgspec.structs.replace(
                found, complaint=found.complaint or "other data stands behind the stream's end"
            )
    return Footer(None, file.size, "the stream ends without its footer, as when the file was cut short")


def _checked(sectors: bytes, at: int, header: layout.SparseHeader) -> Footer:
    """Return the footer in three sectors that begin with its marker; other sizes than the header's make it useless."""
    footer = layout.parse_sparse_header(sectors[SECTOR:])
    same = (footer.capacity, footer.grain_size, footer.grain_table_entries) == (
        header.capacity,
        header.grain_size,
        header.grain_table_entries,
    )
    if not same or footer.directory == layout.GD_AT_END:
        return Footer(None, at, "the stream's footer contradicts its header")
    if _kind(sectors, 0) != layout.MARKER_FOOTER:
        return Footer(footer, at, "the marker in front of the stream's footer is damaged")
    if any(sectors[2 * SECTOR : 2 * SECTOR + 16]):
        return Footer(footer, at, "the end-of-stream marker is damaged")
    return Footer(footer, at)


def _kind(data: bytes, at: int) -> int:
    """Return the type of a metadata marker, -1 when it is a grain's."""
    if any(data[at + 8 : at + 12]):
        return -1
    return int.from_bytes(data[at + 12 : at + 16], "little")


class FoundGrains(msgspec.Struct, frozen=True):
    """What following the markers gave; `at` is where it stopped, `limited` whether a limit stopped it."""

    tables: GrainTables
    at: int
    limited: bool


def follow_markers(file: BlockDevice, header: layout.SparseHeader) -> FoundGrains:
    """Find the grains of a stream without footer by its markers, from the front.

    Grains are written in ascending order: one that is missing below the last found was never written and is zeros;
    what lies above may be lost with the end.

    :raises ImageError: the file cannot be read
    """
    entries, grain_size = header.grain_table_entries, header.grain_size
    found: dict[int, array[int]] = {}
    most_tables = max(1, FOUND_TABLES_BYTES // (8 * entries))
    at, last, is_ascending, limited = header.overhead * SECTOR, -1, True, True
    for _ in range(MARKERS):
        if at + SECTOR > file.size:
            limited = False
            break
        data = file.read_at(at, 16)
        value, size = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:12], "little")
        if not size:
            kind = int.from_bytes(data[12:16], "little")
            if kind not in {layout.MARKER_GRAIN_TABLE, layout.MARKER_GRAIN_DIRECTORY, layout.MARKER_FOOTER}:
                limited = False
                break
            at += (1 + value) * SECTOR
            continue
        grain = value // grain_size
        end = at + layout.GRAIN_MARKER_BYTES + size
        if value % grain_size or value >= header.capacity or end > file.size:
            limited = False
            break
        table = found.get(grain // entries)
        if table is None:
            if len(found) >= most_tables:
                break
            table = found[grain // entries] = array("Q", [UNALLOCATED]) * entries
        table[grain % entries] = at // SECTOR
        is_ascending = is_ascending and grain > last
        last = max(last, grain)
        at = -(-end // SECTOR) * SECTOR
    known = last + 1 if is_ascending else 0
    for number, table in found.items():
        for index in range(max(0, known - number * entries), entries) if is_ascending else range(entries):
            if table[index] == UNALLOCATED:
                table[index] = BAD

    def locate(number: int) -> int | None:
        if (number + 1) * entries <= known:
            return None
        message = f"grain table {number} is lost with the end of the stream"
        if limited:
            raise CorruptStructure(f"{message}'s footer; too many grains to find them all", where=file.name, offset=at)
        raise TruncatedRead(message, where=file.name, offset=at)

    tables = GrainTables(file, entries, 4, locate, decode_sectors)
    tables.fix(found)
    return FoundGrains(tables, at, limited)
