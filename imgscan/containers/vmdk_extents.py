"""Opening the sparse extents of a VMDK: hosted (with streams), ESX copy-on-write, space-efficient.

What is checked when an extent is opened: the header's fields, the grain directory's place, and for `CHECKED_TABLES`
grain tables that every grain they name lies inside the file. Further tables are checked when they are used.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from imgscan.containers.problems import problem_of
from imgscan.containers.vmdk_grains import BAD, ZERO, DirectoryReader, GrainTables, SparseExtent, decode_sectors
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import GRAIN_BYTES, VIRTUAL_SIZE
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, TruncatedRead, UnsupportedFormat
from imgscan.layouts import vmdk as layout
from imgscan.model.disk import Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown

SECTOR = layout.SECTOR
DIRECTORY_ENTRIES = 32 << 20
GRAIN_SECTORS = 0x200000
TABLE_ENTRIES = 1 << 16
CHECKED_TABLES = 256
"""Grain tables looked at when an extent is opened: 8 GiB of disk at the usual sizes, 512 KiB read."""
STREAM_MARKERS = 1 << 18
"""Markers followed in a stream whose footer is lost: 16 GiB of data at the usual grain."""


class OpenedExtent(NamedTuple):
    """A sparse extent; `header` is where its facts stand, `unclean` whether it was not closed."""

    device: SparseExtent
    size: int
    unclean: bool
    compressed: bool
    problems: tuple[Problem, ...]


def open_hosted(file: FileDevice, below: BlockDevice | None, below_offset: int) -> OpenedExtent:
    """Open a hosted sparse extent (`KDMV`), compressed or not.

    :raises ImageError: nothing of it can be read
    """
    header = layout.parse_sparse_header(file.read_at(0, layout.HEADER_BYTES))
    check_hosted(file, header)
    problems: list[Problem] = []
    if header.flags & layout.FLAG_NEWLINES and header.newlines != b"\n \r\n":
        detail = "its newline test bytes were changed: it was transferred in text mode, and all of its data with it"
        problems.append(_problem(file, "newline-conversion", "damage", detail, 73, 4))
    compressed = bool(header.flags & layout.FLAG_COMPRESSED)
    size = header.capacity * SECTOR
    grain = header.grain_size
    tables: GrainTables | None = None
    if header.directory == layout.GD_AT_END:
        footer, problem = _footer(file, header)
        if footer is None:
            problems.append(problem)
            tables = _tables_from_markers(file, header, problems)
        else:
            header = header._replace(directory=footer.directory)
    if tables is None:
        tables = _hosted_tables(file, header, problems)
    device = SparseExtent(
        file,
        size,
        grain * SECTOR,
        tables,
        zero_grains=bool(header.flags & layout.FLAG_ZERO_GRAINS),
        compressed=compressed,
        below=below,
        below_offset=below_offset,
    )
    if not problems and not compressed:
        _check_grains(file, device, problems)
    return OpenedExtent(device, size, bool(header.unclean), compressed, tuple(problems))


def check_hosted(file: BlockDevice, header: layout.SparseHeader) -> None:
    """Refuse what imgscan does not read, and what cannot be.

    :raises UnsupportedFormat: an unknown version or compression
    :raises CorruptStructure: a field contradicts the specification
    """
    where = file.name
    if header.version not in {1, 2, 3}:
        raise UnsupportedFormat(f"a sparse extent of version {header.version} is not known", where=where, offset=4)
    if header.flags & layout.FLAG_COMPRESSED and header.compression != 1:
        message = f"its grains are compressed with unknown algorithm {header.compression}"
        raise UnsupportedFormat(message, where=where, offset=77)
    check_sizes(file, header.capacity, header.grain_size, header.grain_table_entries)


def check_sizes(file: BlockDevice, capacity: int, grain: int, entries: int) -> None:
    """Check the figures that every size of an extent follows from; `capacity` and `grain` in sectors."""
    where = file.name
    if capacity * SECTOR > VIRTUAL_SIZE:
        raise LimitExceeded(f"a capacity of {capacity} sectors cannot be", where=where, offset=12)
    if not 0 < grain <= GRAIN_SECTORS or grain & (grain - 1):
        raise CorruptStructure(
            f"the grain size {grain} is not a power of two up to {GRAIN_SECTORS} sectors", where=where, offset=20
        )
    if not 0 < entries <= TABLE_ENTRIES or entries & (entries - 1):
        raise CorruptStructure(
            f"{entries} entries in a grain table is not a power of two up to {TABLE_ENTRIES}", where=where, offset=44
        )
    if -(-capacity // (grain * entries)) > DIRECTORY_ENTRIES:
        raise LimitExceeded("the grain directory is larger than any disk needs", where=where, offset=12)


def _footer(file: FileDevice, header: layout.SparseHeader) -> tuple[layout.SparseHeader | None, Problem]:
    """Return a stream's footer, or the problem that it is not there."""
    detail = "the stream ends without its footer, as when the file was cut short"
    problem = _problem(file, "stream-footer-missing", "truncated", detail, max(0, file.size - 1024), 1024)
    at = file.size - 2 * SECTOR
    if at < SECTOR:
        return None, problem
    data = file.read_at(at, SECTOR)
    if data[:4] != layout.SPARSE_MAGIC:
        return None, problem
    footer = layout.parse_sparse_header(data)
    if (footer.capacity, footer.grain_size, footer.grain_table_entries) != (
        header.capacity,
        header.grain_size,
        header.grain_table_entries,
    ) or footer.directory == layout.GD_AT_END:
        detail = "the stream's footer contradicts its header"
        return None, _problem(file, "stream-footer-damaged", "damage", detail, at, SECTOR)
    return footer, problem


def _hosted_tables(file: FileDevice, header: layout.SparseHeader, problems: list[Problem]) -> GrainTables:
    """Return the grain tables behind the grain directory, with the redundant one behind them where there is one."""
    entries = header.grain_table_entries
    count = -(-header.capacity // (header.grain_size * entries))
    first = _directory(file, header.directory, count, entries)
    second = None
    if header.flags & layout.FLAG_REDUNDANT and header.redundant_directory:
        second = _directory(file, header.redundant_directory, count, entries)
    tables = GrainTables(file, entries, 4, first, decode_sectors, second)
    if count:
        try:
            first(0)
            first(min(count, CHECKED_TABLES) - 1)
        except ImageError as error:
            used = "; the redundant one is read instead" if second is not None else ""
            problem = problem_of(error, "grain-directory")
            detail = f"the grain directory cannot be read: {error.message}{used}"
            problems.append(Problem("grain-directory", problem.kind, shown(detail), problem.evidence))
    return tables


def _directory(file: BlockDevice, sector: int, count: int, entries: int) -> DirectoryReader:
    def place(entry: int) -> int | None:
        if not entry:
            return None
        if entry * SECTOR + 4 * entries > file.size:
            raise TruncatedRead(
                f"a grain table at sector {entry} lies beyond the end", where=file.name, offset=entry * SECTOR
            )
        return entry * SECTOR

    return DirectoryReader(file, sector * SECTOR, count, 4, place)


def _tables_from_markers(file: FileDevice, header: layout.SparseHeader, problems: list[Problem]) -> GrainTables:
    """Find the grains of a stream without footer by following its markers from the front."""
    places: dict[int, int] = {}
    at = header.overhead * SECTOR
    for _ in range(STREAM_MARKERS):
        if at + SECTOR > file.size:
            break
        data = file.read_at(at, 16)
        value, size = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:12], "little")
        if size:
            if value % header.grain_size or value >= header.capacity:
                break
            if at + layout.GRAIN_MARKER_BYTES + size <= file.size:
                places[value // header.grain_size] = at // SECTOR
            at += -(-(layout.GRAIN_MARKER_BYTES + size) // SECTOR) * SECTOR
            continue
        kind = int.from_bytes(data[12:16], "little")
        if kind == layout.MARKER_END or kind > layout.MARKER_FOOTER:
            break
        at += (1 + value) * SECTOR
    else:
        detail = f"only the first {STREAM_MARKERS} markers of the stream were followed"
        problems.append(_problem(file, "stream-too-long", "unsupported", detail, at, SECTOR))
    lost_after = at
    entries = header.grain_table_entries

    def load(number: int) -> int | None:
        raise TruncatedRead(
            f"grain table {number} is lost with the end of the stream", where=file.name, offset=lost_after
        )

    tables = GrainTables(file, entries, 4, load, decode_sectors)
    by_table: dict[int, array[int]] = {}
    for grain, sector in places.items():
        table = by_table.setdefault(grain // entries, array("Q", [BAD]) * entries)
        table[grain % entries] = sector
    tables.fix(by_table)
    return tables


def _check_grains(file: FileDevice, device: SparseExtent, problems: list[Problem]) -> None:
    """Report grains that lie beyond the end of the file: it was cut short."""
    tables = device.tables
    count = -(-device.size // (device.grain_bytes * tables.entries))
    try:
        highest = tables.highest_sector(range(min(count, CHECKED_TABLES)))
    except ImageError as error:
        problems.append(problem_of(error, "grain-table"))
        return
    # a last grain that the disk does not fill may be stored short
    if highest and highest * SECTOR + min(SECTOR, device.grain_bytes) > file.size:
        detail = f"data at sector {highest} lies beyond the end of the file ({file.size} bytes): it was cut short"
        problems.append(_problem(file, "data-beyond-end", "truncated", detail, highest * SECTOR, SECTOR))


def open_cowd(file: FileDevice, below: BlockDevice | None, below_offset: int) -> OpenedExtent:
    """Open an ESX copy-on-write extent (vmfsSparse).

    :raises ImageError: nothing of it can be read
    """
    header = layout.parse_cowd_header(file.read_at(0, layout.COWD_HEADER_BYTES))
    if header.version != 1:
        raise UnsupportedFormat(f"a COWD extent of version {header.version} is not known", where=file.name, offset=4)
    entries = layout.COWD_GRAIN_TABLE_ENTRIES
    check_sizes(file, header.capacity, header.grain_size, entries)
    count = -(-header.capacity // (header.grain_size * entries))
    problems: list[Problem] = []
    if header.directory_entries < count:
        detail = f"the grain directory has {header.directory_entries} entries, and the disk needs {count}"
        problems.append(_problem(file, "grain-directory", "damage", detail, 24, 4))
    directory = _directory(file, header.directory, min(count, header.directory_entries), entries)
    tables = GrainTables(file, entries, 4, directory, decode_sectors)
    device = SparseExtent(
        file,
        header.capacity * SECTOR,
        header.grain_size * SECTOR,
        tables,
        zero_grains=False,
        below=below,
        below_offset=below_offset,
    )
    if not problems:
        _check_grains(file, device, problems)
    return OpenedExtent(device, device.size, bool(header.unclean), compressed=False, problems=tuple(problems))


def open_sesparse(file: FileDevice, below: BlockDevice | None, below_offset: int) -> OpenedExtent:
    """Open a space-efficient sparse extent.

    :raises UnsupportedFormat: another version, or a journal that has to be replayed first
    :raises ImageError: nothing of it can be read
    """
    header = layout.parse_sesparse_header(file.read_at(0, layout.HEADER_BYTES))
    if header.version != layout.SESPARSE_VERSION or header.flags:
        message = f"an seSparse extent of version {header.version:#x} with flags {header.flags:#x} is not known"
        raise UnsupportedFormat(message, where=file.name, offset=8)
    magic, replay = layout.parse_sesparse_volatile(file.read_at(header.volatile_header * SECTOR, layout.HEADER_BYTES))
    if magic != layout.SESPARSE_VOLATILE_MAGIC:
        raise CorruptStructure(
            "the volatile header is not there", where=file.name, offset=header.volatile_header * SECTOR
        )
    if replay:
        raise UnsupportedFormat(
            "its journal was not written back (the host stopped while the disk was in use); "
            "let ESXi open and close the disk, and export it again",
            where=file.name,
            offset=header.volatile_header * SECTOR,
        )
    entries = header.grain_table_size * SECTOR // 8
    check_sizes(file, header.capacity, header.grain_size, entries)
    if header.grain_size * SECTOR > GRAIN_BYTES:
        raise LimitExceeded("its grains are larger than any producer makes", where=file.name, offset=24)
    count = -(-header.capacity // (header.grain_size * entries))

    def place(entry: int) -> int | None:
        if not entry:
            return None
        if entry >> 32 != 0x1000_0000:
            raise CorruptStructure(f"the grain directory entry {entry:#x} means nothing", where=file.name)
        return (header.grain_tables + (entry & 0xFFFF_FFFF) * header.grain_table_size) * SECTOR

    def decode(data: bytes) -> array[int]:
        raw = array("Q")
        raw.frombytes(data)
        return array("Q", [_sesparse_sector(entry, header) for entry in raw])

    capacity = min(count, header.directory_size * SECTOR // 8)
    directory = DirectoryReader(file, header.directory * SECTOR, capacity, 8, place)
    device = SparseExtent(
        file,
        header.capacity * SECTOR,
        header.grain_size * SECTOR,
        GrainTables(file, entries, 8, directory, decode),
        zero_grains=True,
        below=below,
        below_offset=below_offset,
    )
    problems: list[Problem] = []
    _check_grains(file, device, problems)
    return OpenedExtent(device, device.size, unclean=False, compressed=False, problems=tuple(problems))


def _sesparse_sector(entry: int, header: layout.SeSparseHeader) -> int:
    """Return the sector that an entry names; `ZERO` for unmapped and zero grains."""
    kind = entry >> 60
    if kind == 0:
        return BAD if entry else 0
    if kind in {1, 2}:
        return ZERO
    if kind == 3:
        grain = (entry >> 48 & 0xFFF) | (entry & 0xFFFF_FFFF_FFFF) << 12
        sector = header.grains + grain * header.grain_size
        return min(BAD, sector)
    return BAD


def _problem(file: FileDevice, code: str, kind: str, detail: str, offset: int, length: int) -> Problem:
    evidence = AtOffset(shown(file.name), offset, length, "VMDK header" if offset < SECTOR else "")
    return Problem(code, kind, f"{shown(file.name)}: {detail}", (evidence,))  # type: ignore[arg-type]
