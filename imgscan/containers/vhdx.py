"""VHDX: fixed, dynamic and differencing disks, 512 and 4096 byte sectors.

Source: [MS-VHDX] Virtual Hard Disk v2 File Format. What to know:

- A log that is not empty is replayed in memory (`vhdx_log`), and the image is `unclean`. A log that is said not to be
  empty and holds no valid entry is damage by the specification, and the disk is read without it, as QEMU does: a writer
  that stopped between setting the log's GUID and its first entry leaves just that, and has lost nothing. The problem
  `log-invalid` says so.
- Blocks that are undefined, zero or unmapped read as zeros; blocks not present read as zeros, or as the parent's.
- In a sector bitmap the first sector is the least significant bit, and a clear bit means the parent's sector.
- A parent is used only when its DataWriteGuid is one that the child's locator names.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.parents import FoundParent, find_parent
from imgscan.containers.problems import problem_of
from imgscan.containers.tables import EntryTable, Piece, SectorMaps, gather
from imgscan.containers.vhdx_log import replay
from imgscan.containers.vhdx_structure import (
    Metadata,
    problem,
    read_header,
    read_metadata,
    read_regions,
)
from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure, ImageError, MissingPart
from imgscan.layouts import vhdx as layout
from imgscan.model.disk import ImageFacts, ImageFile, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown

NAME = "vhdx"
CHECKED_PAGES = 4
"""Pages of the block allocation table that opening looks at for blocks beyond the end of the file (1 TiB of disk in
blocks of 32 MiB)."""


def probe(file: FileDevice) -> bool:
    """Whether the file begins with the file identifier."""
    try:
        return file.size >= len(layout.FILE_IDENTIFIER) and file.read_at(0, 8) == layout.FILE_IDENTIFIER
    except ImageError:
        return False


def refers_to(file: FileDevice) -> References:
    """Return the names of the parent, relative ones first, as stored.

    :raises ImageError: the structures that hold them cannot be read
    """
    read = _read_structures(file)
    if read.error is not None:
        raise read.error
    return References(parents=() if read.metadata is None else _hints(read.metadata))


def open_image(file: FileDevice, context: OpenContext) -> OpenedImage:
    """Open a VHDX. What cannot be read is in the facts' problems."""
    read = _read_structures(file)
    problems = list(read.problems)
    metadata = read.metadata
    device: VhdxDisk | None = None
    parent: FoundParent | None = None
    error = read.error
    if metadata is not None and read.bat is not None:
        try:
            if metadata.has_parent:
                parent = _find_parent(file, metadata, context)
            device = VhdxDisk(read.device, metadata, read.bat, None if parent is None else parent.device)
            problems += _bat_problems(device, read.bat)
        except ImageError as failed:
            error = failed
    if error is not None:
        problems.append(problem_of(error))
    if parent is not None:
        problems += parent.problems
    at = AtOffset(shown(file.name), 0, layout.IDENTIFIER_BYTES, "VHDX file identifier")
    plain: Fact[str | None] = known(None, at)
    delta = plain
    if metadata is None:
        delta = plain if error is None else unread_because(error)
    elif metadata.has_parent:
        delta = known("VHDX differencing", at)
    facts = ImageFacts(
        format=NAME,
        variant=_variant(metadata),
        virtual_size=None if metadata is None else metadata.size,
        logical_sector_size=512 if metadata is None else metadata.logical_sector,
        files=(ImageFile(shown(file.name), "image", file.size),),
        parents=() if parent is None else parent.parents,
        problems=tuple(problems),
        identity=None if read.header is None else read.header.data_write_guid,
        metadata=_described(read),
        unclean=_unclean(read, parent),
        encryption=plain,
        device_mapping=plain,
        delta=delta,
    )
    return OpenedImage(device, facts)


class VhdxDisk:
    """Blocks behind a table in which, after each chunk of them, stands the entry of the chunk's sector bitmap."""

    def __init__(
        self, file: BlockDevice, metadata: Metadata, bat: layout.Region, parent: BlockDevice | None = None
    ) -> None:
        self.name = file.name
        self.size = metadata.size
        self.sector_size = metadata.logical_sector
        self.block_bytes = metadata.block_size
        chunk_bytes = layout.BITMAP_BITS * metadata.logical_sector
        ratio = chunk_bytes // metadata.block_size
        blocks = -(-metadata.size // metadata.block_size)
        if parent is None:
            self.needed_entries = blocks + (blocks - 1) // ratio
        else:
            self.needed_entries = -(-blocks // ratio) * (ratio + 1)
        count = min(self.needed_entries, bat.length // 8)
        self.table = EntryTable(file, bat.offset, count, 8, "little")
        self.ratio = ratio
        self._file = file
        self._parent = parent
        self._shift = metadata.block_size.bit_length() - 1
        self._mask = metadata.block_size - 1
        self._ratio_shift = ratio.bit_length() - 1
        self._sector_shift = metadata.logical_sector.bit_length() - 1
        self._bitmap = metadata.block_size // metadata.logical_sector // 8
        self._sectors = SectorMaps(self._read_bitmap, self._bitmap, least_significant_first=True)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        within = offset & self._mask
        if 0 < length <= self.block_bytes - within and 0 <= offset <= self.size - length:
            block = offset >> self._shift
            entry = self.table.entry(block + (block >> self._ratio_shift))
            state = entry & layout.STATE_MASK
            if state == layout.FULLY_PRESENT and entry >= MIB:
                return self._file.read_at((entry >> 20 << 20) + within, length)
            if state in layout.ZERO_STATES or (state == layout.NOT_PRESENT and self._parent is None):
                return bytes(length)
        check_range(self, offset, length)
        return gather(self._pieces(offset, length))

    def _pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield where the bytes stand."""
        end = offset + length
        while offset < end:
            block, within = offset >> self._shift, offset & self._mask
            size = min(end - offset, self.block_bytes - within)
            entry = self.table.entry(block + (block >> self._ratio_shift))
            state, data = entry & layout.STATE_MASK, entry >> 20 << 20
            if state >= layout.FULLY_PRESENT and not data:
                raise CorruptStructure(f"block {block} is said to lie on the file's headers", where=self.name)
            if state == layout.FULLY_PRESENT:
                yield self._file, data + within, size
            elif state == layout.NOT_PRESENT:
                yield self._parent, offset, size
            elif state in layout.ZERO_STATES:
                yield None, 0, size
            elif state == layout.PARTIALLY_PRESENT and self._parent is not None:
                yield from self._mixed(block, data, within, size)
            else:
                raise CorruptStructure(
                    f"block {block} is in state {state}, which a disk "
                    f"{'with' if self._parent is not None else 'without'} a parent cannot have",
                    where=self.name,
                )
            offset += size

    def _mixed(self, block: int, data: int, within: int, size: int) -> Iterator[Piece]:
        shift = self._sector_shift
        at, end = within, within + size
        for present, stop in self._sectors.runs(block, within >> shift, -(-end >> shift)):
            till = min(stop << shift, end)
            if present:
                yield self._file, data + at, till - at
            else:
                yield self._parent, (block << self._shift) + at, till - at
            at = till

    def _read_bitmap(self, block: int) -> bytes:
        chunk = block >> self._ratio_shift
        entry = self.table.entry(chunk * (self.ratio + 1) + self.ratio)
        if entry & layout.STATE_MASK != layout.BITMAP_PRESENT:
            raise CorruptStructure(
                f"block {block} is partially present, and its chunk has no sector bitmap", where=self.name
            )
        return self._file.read_at((entry >> 20 << 20) + (block & (self.ratio - 1)) * self._bitmap, self._bitmap)


class _Structures(msgspec.Struct, frozen=True):
    """What could be read on the way to the blocks; `device` is the file, or the file with its log."""

    creator: str | None
    device: BlockDevice
    header: layout.Header | None
    replayed: int
    bat: layout.Region | None
    metadata: Metadata | None
    problems: tuple[Problem, ...]
    error: ImageError | None


def _read_structures(file: FileDevice) -> _Structures:
    problems: list[Problem] = []
    device: BlockDevice = file
    creator = header = bat = metadata = error = None
    replayed = 0
    try:
        creator = layout.parse_creator(file.read_at(0, min(file.size, layout.IDENTIFIER_BYTES)))
        if creator is None:
            raise CorruptStructure("there is no VHDX file identifier", where=file.name, offset=0)
        header = read_header(file, problems)
        if header.log_guid != layout.NO_GUID:
            device, replayed = _with_log(file, header, problems)
        bat, region = read_regions(device, header, problems)
        metadata = read_metadata(device, region, problems)
    except ImageError as failed:
        error = failed
    return _Structures(creator, device, header, replayed, bat, metadata, tuple(problems), error)


def _with_log(file: FileDevice, header: layout.Header, problems: list[Problem]) -> tuple[BlockDevice, int]:
    """Return the file with its log replayed, and how many entries that were.

    :raises UnsupportedFormat: the log is of an unknown version: what it holds cannot be told
    :raises LimitExceeded: it is too large to follow
    """
    at = header.at + 48
    try:
        replayed = replay(file, header)
    except CorruptStructure as error:
        problems.append(problem("log-invalid", "damage", error.message, file, at, "VHDX log"))
        return file, 0
    except ImageError as error:
        if error.why != "truncated":
            raise
        problems.append(problem_of(error, "log-truncated"))
        return file, 0
    detail = (
        f"the machine or its host stopped while it wrote: {replayed.entries} entries of the log were not yet in their "
        f"place; they are replayed in memory"
    )
    problems.append(problem("log-not-empty", "unclean", detail, file, at, "VHDX header"))
    if replayed.flushed > file.size:
        detail = f"the log says that the file has at least {replayed.flushed} bytes, and it has {file.size}"
        problems.append(problem("file-truncated", "truncated", detail, file, file.size, "VHDX log"))
    return replayed.device, replayed.entries


def _bat_problems(disk: VhdxDisk, bat: layout.Region) -> list[Problem]:
    """Look at the table's size and first pages for what the file does not hold; more would read too much."""
    table, file = disk.table, disk._file  # noqa: SLF001 - same module
    problems = []
    if table.count < disk.needed_entries:
        detail = (
            f"the block allocation table has room for {table.count} entries, and the disk needs {disk.needed_entries}"
        )
        problems.append(problem("bat-too-small", "damage", detail, file, bat.offset, "VHDX region table"))
    beyond, misplaced = list[int](), list[int]()
    suspects = max(0, file.size - disk.block_bytes + 1)
    try:
        for at, entry in table.first_entries(CHECKED_PAGES * table.page_entries):
            if MIB <= entry < suspects or entry & layout.STATE_MASK < layout.FULLY_PRESENT:
                continue
            chunk, inside = divmod(at, disk.ratio + 1)
            start = (chunk * disk.ratio + inside) * disk.block_bytes
            needed = MIB if inside == disk.ratio else min(disk.block_bytes, disk.size - start)
            if entry < MIB:
                misplaced.append(start)
            elif (entry >> 20 << 20) + needed > file.size:
                beyond.append(start)
    except ImageError as error:
        problems.append(problem_of(error, "bat-truncated"))
    if misplaced:
        detail = f"{len(misplaced)} blocks are said to lie on the file's headers, the first at byte {misplaced[0]}"
        problems.append(problem("block-misplaced", "damage", detail, file, bat.offset, "VHDX block"))
    if beyond:
        detail = f"{len(beyond)} blocks lie beyond the end of the file, the first at byte {beyond[0]} of the disk"
        problems.append(problem("block-beyond-end", "truncated", detail, file, file.size, "VHDX block"))
    return problems


def _find_parent(file: FileDevice, metadata: Metadata, context: OpenContext) -> FoundParent:
    locator = metadata.locator or {}
    linkages = tuple(
        locator[key].strip("{}").lower() for key in ("parent_linkage", "parent_linkage2") if locator.get(key)
    )

    def matches(candidate: FileDevice, below: OpenContext) -> OpenedImage:
        if not probe(candidate):
            raise MissingPart("it is no VHDX", where=candidate.name)
        other = read_header(candidate, []).data_write_guid
        if other not in linkages:
            detail = f"its DataWriteGuid is {other}, and the parent's is {' or '.join(linkages) or 'not named'}"
            raise MissingPart(detail, where=candidate.name)
        return open_image(candidate, below)

    return find_parent(file, metadata.size, _hints(metadata), shown(linkages[0]) if linkages else "", context, matches)


def _hints(metadata: Metadata) -> tuple[str, ...]:
    """Return the parent's names, the relative one first."""
    locator = metadata.locator or {}
    keys = ("relative_path", "volume_path", "absolute_win32_path")
    return tuple(dict.fromkeys(locator[key] for key in keys if locator.get(key)))


def _variant(metadata: Metadata | None) -> str | None:
    if metadata is None:
        return None
    if metadata.has_parent:
        return "differencing"
    return "fixed" if metadata.leave_allocated else "dynamic"


def _unclean(read: _Structures, parent: FoundParent | None) -> Fact[bool]:
    if read.header is None:
        return unread_because(read.error or CorruptStructure("there is no header", where=read.device.name))
    evidence = AtOffset(shown(read.device.name), read.header.at + 48, 16, "VHDX header, LogGuid")
    below = parent is not None and parent.facts is not None and parent.facts.unclean.value is True
    return known(below or read.header.log_guid != layout.NO_GUID, evidence)


def _described(read: _Structures) -> dict[str, str]:
    found: dict[str, str | None] = {"creator": read.creator}
    if read.header is not None:
        found["data_write_guid"] = read.header.data_write_guid
        found["file_write_guid"] = read.header.file_write_guid
        found["log_size"] = str(read.header.log_length)
    if read.metadata is not None:
        found["block_size"] = str(read.metadata.block_size)
        found["physical_sector_size"] = str(read.metadata.physical_sector)
        found["virtual_disk_id"] = read.metadata.disk_id
        found.update({f"parent_{key}": text for key, text in sorted((read.metadata.locator or {}).items())})
    return {key: shown(text) for key, text in found.items() if text}
