"""Opening the sparse extents of a VMDK: hosted (with streams), ESX copy-on-write, space-efficient.

What is checked when an extent is opened: the header's fields, the grain directory's place, and for its first grain
tables (`SURVEY_BYTES`) that every grain they name lies inside the file. Further tables are checked when they are used.
"""

from __future__ import annotations

from array import array

import msgspec

from imgscan.containers.problems import problem_of
from imgscan.containers.vmdk_grains import (
    BAD,
    SURVEY_BYTES,
    ZERO,
    DirectoryReader,
    GrainTables,
    SparseExtent,
    decode_sectors,
)
from imgscan.containers.vmdk_stream import follow_markers, read_footer
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


class OpenedExtent(msgspec.Struct, frozen=True):
    """A sparse extent, or why its grains cannot be read; `size` in bytes, `unclean` whether it was not closed."""

    device: SparseExtent | ImageError
    size: int
    unclean: bool
    compressed: bool
    problems: tuple[Problem, ...]


def open_hosted(
    file: FileDevice, below: BlockDevice | None, below_offset: int, survey_bytes: int = SURVEY_BYTES
) -> OpenedExtent:
    """Open a hosted sparse extent (`KDMV`), compressed or not; `survey_bytes` of its tables are looked at.

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
    is_stream = header.directory == layout.GD_AT_END
    tables = _stream_tables(file, header, problems) if is_stream else _hosted_tables(file, header)
    device = SparseExtent(
        file,
        size,
        grain * SECTOR,
        tables,
        zero_grains=bool(header.flags & layout.FLAG_ZERO_GRAINS),
        compressed=compressed,
        markers=bool(header.flags & layout.FLAG_MARKERS),
        below=below,
        below_offset=below_offset,
    )
    if not is_stream:  # a stream's tables stand between its grains; its footer says that it is whole
        metadata = 1 if header.descriptor_size == 0 else header.descriptor_offset + header.descriptor_size
        last = _check_grains(file, device, problems, metadata, survey_bytes)
        if compressed and last is not None and header.directory < header.overhead:
            _note_trailing(file, last + device.grain_bytes, problems)
    elif problems:
        device.bad_entry = "it is lost with the end of the stream"
    return OpenedExtent(device, size, bool(header.unclean), compressed, tuple(problems))


def check_hosted(file: BlockDevice, header: layout.SparseHeader) -> None:
    """Refuse what imgscan does not read, and what cannot be.

    :raises UnsupportedFormat: an unknown version or compression
    :raises CorruptStructure: a field contradicts the specification
    """
    where = file.name
    if header.version not in {1, 2, 3}:
        raise UnsupportedFormat(f"a sparse extent of version {header.version} is not known", where=where, offset=4)
    unknown = header.flags & layout.INCOMPATIBLE_FLAGS & ~(layout.FLAG_COMPRESSED | layout.FLAG_MARKERS)
    if unknown:
        raise UnsupportedFormat(f"it needs features that are not known here: flags {unknown:#x}", where=where, offset=8)
    if header.flags & layout.FLAG_COMPRESSED and header.compression != 1:
        message = f"its grains are compressed with unknown algorithm {header.compression}"
        raise UnsupportedFormat(message, where=where, offset=77)
    if header.compression and not header.flags & layout.FLAG_COMPRESSED:
        message = f"its flags say that grains are not compressed, and its algorithm is {header.compression}"
        raise CorruptStructure(message, where=where, offset=77)
    if header.flags & layout.FLAG_COMPRESSED and header.grain_size * SECTOR > GRAIN_BYTES:
        message = f"compressed grains of {header.grain_size} sectors are larger than any producer makes"
        raise LimitExceeded(message, where=where, offset=20)
    check_sizes(file, header.capacity, header.grain_size, header.grain_table_entries)


def check_sizes(file: BlockDevice, capacity: int, grain: int, entries: int) -> None:
    """Check the figures that every size of an extent follows from; `capacity` and `grain` in sectors."""
    where = file.name
    if not capacity:
        raise CorruptStructure("a capacity of no sectors makes no disk", where=where, offset=12)
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


def _stream_tables(file: FileDevice, header: layout.SparseHeader, problems: list[Problem]) -> GrainTables:
    """Return the grain tables that a stream's footer leads to, or those that its markers do."""
    footer = read_footer(file, header)
    if footer.header is not None:
        if footer.complaint:
            problems.append(_problem(file, "stream-end-damaged", "damage", footer.complaint, footer.at, SECTOR))
        return _hosted_tables(file, footer.header)
    missing = footer.at >= file.size
    found = follow_markers(file, header)
    detail = f"{footer.complaint}; grains up to byte {found.at} of the file were found by their markers"
    code, kind = ("stream-footer-missing", "truncated") if missing else ("stream-footer-damaged", "damage")
    problems.append(_problem(file, code, kind, detail, footer.at, SECTOR))
    if found.limited:
        detail = "there are too many grains to follow them all: those behind are not read"
        problems.append(_problem(file, "stream-too-long", "unsupported", detail, found.at, SECTOR))
    return found.tables


def _hosted_tables(file: FileDevice, header: layout.SparseHeader) -> GrainTables:
    """Return the grain tables behind the grain directory, with the redundant one behind them where there is one."""
    entries = header.grain_table_entries
    count = -(-header.capacity // (header.grain_size * entries))
    first = _directory(file, header.directory, count, entries)
    second = None
    if header.flags & layout.FLAG_REDUNDANT and header.redundant_directory:
        second = _directory(file, header.redundant_directory, count, entries)
    return GrainTables(file, entries, 4, first, decode_sectors, second)


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


def _check_grains(
    file: FileDevice, device: SparseExtent, problems: list[Problem], metadata: int, survey_bytes: int
) -> int | None:
    """Report tables that cannot be read, and grains where none can be.

    Grains beyond the end of the file say that it was cut short; none stands in its first `metadata` sectors. Returns
    the byte up to which the grains fill the file, None when not all tables were looked at or there is no grain.
    """
    tables = device.tables
    found = tables.survey(-(-device.size // (device.grain_bytes * tables.entries)), survey_bytes)
    if found.error is not None:
        problem = problem_of(found.error, "grain-table")
        detail = f"a grain table cannot be read: {found.error.message}"
        problems.append(Problem("grain-table", problem.kind, f"{shown(file.name)}: {shown(detail)}", problem.evidence))
    if found.redundant is not None:
        detail = f"the grain directory or table {found.redundant} is damaged; the redundant one is read instead"
        problems.append(_problem(file, "grain-directory-damaged", "damage", detail, 0, layout.HEADER_BYTES))
    if found.bad is not None:
        problems.append(_problem(file, "grain-entry", "damage", f"the entry of grain {found.bad} means nothing", 0, 0))
    if found.lowest < metadata:
        detail = f"a grain is said to stand at sector {found.lowest}, where the header or descriptor is"
        problems.append(_problem(file, "grain-on-metadata", "damage", detail, found.lowest * SECTOR, SECTOR))
    if found.shared:
        problems.append(_problem(file, "grains-shared", "damage", "two grains are said to stand in one place", 0, 0))
    end = found.sector * SECTOR
    if end:
        end += _stored_bytes(file, device, found.grain, end)
    if end > file.size:
        detail = f"data up to byte {end} is in use, and the file ends at {file.size}: it was cut short"
        problems.append(_problem(file, "data-beyond-end", "truncated", detail, file.size, 0))
    return end if end and found.complete else None


def _note_trailing(file: FileDevice, end: int, problems: list[Problem]) -> None:
    """Note data behind the last grain, which may be followed by a grain's worth of padding; `end` with that."""
    if file.size <= end:
        return
    try:
        tail = file.read_at(file.size - min(SECTOR, file.size - end), min(SECTOR, file.size - end))
    except ImageError:
        return  # nothing of the disk stands there
    if any(tail):
        detail = f"its last grain ends before byte {end}, and the file has {file.size}: other data stands behind it"
        problems.append(_problem(file, "trailing-data", "note", f"{detail}, which is not read", end, file.size - end))


def _stored_bytes(file: FileDevice, device: SparseExtent, grain: int, at: int) -> int:
    """Return how many bytes of the file a grain takes."""
    if not device.is_compressed:
        # the last grain may be stored as far as the disk fills it
        return min(device.grain_bytes, device.size - grain * device.grain_bytes)
    if at + layout.GRAIN_MARKER_BYTES > file.size:
        return layout.GRAIN_MARKER_BYTES
    size = int.from_bytes(file.read_at(at, layout.GRAIN_MARKER_BYTES)[8:], "little")
    return layout.GRAIN_MARKER_BYTES + size if device.has_markers else 1


def open_cowd(
    file: FileDevice, below: BlockDevice | None, below_offset: int, survey_bytes: int = SURVEY_BYTES
) -> OpenedExtent:
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
    if header.free_sector * SECTOR > file.size:
        detail = f"its header says {header.free_sector * SECTOR} bytes are in use, and the file ends at {file.size}"
        problems.append(_problem(file, "extent-truncated", "truncated", f"{detail}: it was cut short", 28, 4))
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
        _check_grains(file, device, problems, layout.COWD_HEADER_BYTES // SECTOR, survey_bytes)
    unclean = bool(header.unclean or header.flags & layout.COWD_INCONSISTENT)
    return OpenedExtent(device, device.size, unclean, compressed=False, problems=tuple(problems))


def open_sesparse(
    file: FileDevice, below: BlockDevice | None, below_offset: int, survey_bytes: int = SURVEY_BYTES
) -> OpenedExtent:
    """Open a space-efficient sparse extent.

    A journal that has to be replayed first makes its grains unreadable: where the tables stand is not certain.

    :raises UnsupportedFormat: another version
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
        error = UnsupportedFormat(
            "its journal was not written back (the host stopped while the disk was in use); "
            "let ESXi open and close the disk, and export it again",
            where=file.name,
            offset=header.volatile_header * SECTOR,
        )
        problem = problem_of(error, "journal-not-replayed")
        return OpenedExtent(error, header.capacity * SECTOR, unclean=True, compressed=False, problems=(problem,))
    if header.grains <= ZERO:
        raise CorruptStructure("its grains are said to stand on its header", where=file.name, offset=192)
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
    _check_grains(file, device, problems, header.grains, survey_bytes)
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
