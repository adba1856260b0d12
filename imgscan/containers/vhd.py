"""VHD: fixed, dynamic and differencing disks.

Source: Virtual Hard Disk Image Format Specification 1.0 (Microsoft, 2006), and what producers do:

- A fixed disk is told by its footer alone: what stands in front of it is the guest's.
- The footer at the end counts; the copy at the front of dynamic and differencing disks is used when the one at the end
  is missing or damaged, and it is a problem when the two differ.
- The size is the footer's current size. Virtual PC showed the guest the geometry's, which is reported beside it.
- The sector bitmap of a *dynamic* disk's block is not looked at: the data is read, as QEMU and dissect read it. By the
  specification a clear bit there is a sector never written, and libvhdi reads such a sector as zeros; the readings
  differ only where other data than zeros stands behind a clear bit. What Hyper-V does was not tried. In a
  *differencing* disk a clear bit means the parent's sector; the first sector is the most significant bit.
- A parent is used only when its unique id is the one that the child names. Its time stamp cannot prove as much, since
  copying a file may change it: another one is reported, and the parent is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.parents import FoundParent, find_parent
from imgscan.containers.problems import problem_of
from imgscan.containers.tables import EntryTable, Piece, SectorMaps, gather
from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import MIB, VIRTUAL_SIZE
from imgscan.devices.slice import SliceDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart
from imgscan.layouts import vhd as layout
from imgscan.model.disk import ImageFacts, ImageFile, Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known
from imgscan.model.text import shown

NAME = "vhd"
VARIANTS = {layout.FIXED: "fixed", layout.DYNAMIC: "dynamic", layout.DIFFERENCING: "differencing"}
MAX_BLOCK_BYTES = 256 * MIB
"""The specification's usual block is 2 MiB, and names no limit; this is VHDX's."""
FIRST_SECTOR = (layout.FOOTER_BYTES + layout.HEADER_BYTES) // layout.SECTOR
"""No block can begin before it: there stand the footer's copy and the dynamic disk header."""
LOCATOR_BYTES = 4096
"""A parent's name; the longest path of Windows is 64 KiB, its bare name at most 510 bytes."""
CHECKED_PAGES = 4
"""Pages of the block allocation table that opening looks at for blocks beyond the end of the file (128 GiB of disk)."""
TIMESTAMP_GRAIN = 2
"""FAT keeps times in steps of two seconds."""


def probe(file: FileDevice) -> bool:
    """Whether a footer ends the file, or a dynamic disk's copy of it begins the file."""
    try:
        end, front = _end_footer(file)[0], None if file.size < layout.FOOTER_BYTES else _front_footer(file)[0]
        if end is not None and (end.checksum_good or end.type in VARIANTS):
            return True
        if front is None or front.type not in {layout.DYNAMIC, layout.DIFFERENCING}:
            return False
        return front.checksum_good or _has_dynamic_header(file, front)
    except ImageError:
        return False


def refers_to(file: FileDevice) -> References:
    """Return the names of the parent, relative ones first, as stored.

    :raises ImageError: the structures that hold them cannot be read
    """
    footer = _find_footer(file).footer
    if footer.type != layout.DIFFERENCING:
        return References()
    return References(parents=_hints(file, _read_header(file, footer)))


def open_image(file: FileDevice, context: OpenContext) -> OpenedImage:
    """Open a VHD.

    :raises CorruptStructure: there is no usable footer
    """
    found = _find_footer(file)
    footer, problems = found.footer, list(found.problems)
    if footer.saved_state:
        problems.append(
            _problem("saved-state", "unclean", "the machine was saved, not shut down", file, found.at, "VHD footer")
        )
    device: BlockDevice | None = None
    parent: FoundParent | None = None
    metadata = _metadata(footer)
    try:
        if footer.current_size > VIRTUAL_SIZE:
            raise LimitExceeded(f"its size of {footer.current_size} bytes cannot be", where=file.name, offset=found.at)
        if footer.type == layout.FIXED:
            device = _fixed(file, footer, found.at, problems)
        else:
            header = _read_header(file, footer)
            metadata["block_size"] = str(header.block_size)
            problems += _header_problems(file, footer, header)
            if footer.type == layout.DIFFERENCING:
                metadata["parent_unique_id"] = header.parent_id
                parent = _find_parent(file, footer, header, context)
            device = DynamicDisk(file, footer.current_size, header, None if parent is None else parent.device)
            problems += _bat_problems(file, device.table, device.block_bytes)
    except ImageError as error:
        problems.append(problem_of(error))
    if parent is not None:
        problems += parent.problems
    unclean = footer.saved_state or _is_unclean(parent)
    at_footer = AtOffset(shown(file.name), found.at, layout.FOOTER_BYTES, "VHD footer")
    facts = ImageFacts(
        format=NAME,
        variant=VARIANTS[footer.type],
        virtual_size=footer.current_size,
        files=(ImageFile(shown(file.name), "image", file.size),),
        parents=() if parent is None else parent.parents,
        problems=tuple(problems),
        geometry_size=footer.geometry_size,
        identity=footer.unique_id,
        metadata=metadata,
        unclean=known(unclean, at_footer),
        encryption=known(None, at_footer),
        device_mapping=known(None, at_footer),
        delta=known("VHD differencing" if footer.type == layout.DIFFERENCING else None, at_footer),
    )
    return OpenedImage(device, facts)


class DynamicDisk:
    """A dynamic or (with `parent`) a differencing disk: blocks behind a table, each with a sector bitmap in front."""

    sector_size = 512

    def __init__(
        self, file: FileDevice, size: int, header: layout.DynamicHeader, parent: BlockDevice | None = None
    ) -> None:
        block = header.block_size
        if block < layout.SECTOR or block & (block - 1) or block > MAX_BLOCK_BYTES:
            raise CorruptStructure(
                f"the block size {block} is not a power of two from {layout.SECTOR} to {MAX_BLOCK_BYTES}",
                where=file.name,
            )
        self.name = file.name
        self.size = size
        self.block_bytes = block
        count = min(header.bat_entries, -(-size // block))
        self.table = EntryTable(file, header.bat_offset, count, 4, "big")
        self._file = file
        self._parent = parent
        self._shift = block.bit_length() - 1
        self._mask = block - 1
        self._bitmap = _bitmap_bytes(block)
        self._sectors = SectorMaps(self._read_bitmap, self._bitmap, least_significant_first=False)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        within = offset & self._mask
        if self._parent is None and 0 < length <= self.block_bytes - within and 0 <= offset <= self.size - length:
            block = offset >> self._shift
            entry = self.table.entry(block)
            if entry == layout.UNUSED:
                return bytes(length)
            if entry < FIRST_SECTOR:
                raise self._misplaced(block)
            return self._file.read_at((entry << 9) + self._bitmap + within, length)
        check_range(self, offset, length)
        return gather(self._pieces(offset, length))

    def _pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield where the bytes stand."""
        end = offset + length
        while offset < end:
            block, within = offset >> self._shift, offset & self._mask
            size = min(end - offset, self.block_bytes - within)
            entry = self.table.entry(block)
            data = (entry << 9) + self._bitmap
            if entry == layout.UNUSED:
                yield self._parent, offset, size
            elif entry < FIRST_SECTOR:
                raise self._misplaced(block)
            elif self._parent is None:
                yield self._file, data + within, size
            else:
                at = within
                for present, stop in self._sectors.runs(block, within >> 9, (within + size + 511) >> 9):
                    till = min(stop << 9, within + size)
                    if present:
                        yield self._file, data + at, till - at
                    else:
                        yield self._parent, offset - within + at, till - at
                    at = till
            offset += size

    def _misplaced(self, block: int) -> CorruptStructure:
        return CorruptStructure(f"block {block} is said to lie on the file's headers", where=self.name)

    def _read_bitmap(self, block: int) -> bytes:
        return self._file.read_at(self.table.entry(block) << 9, self._bitmap)


class _FoundFooter(msgspec.Struct, frozen=True):
    footer: layout.Footer
    at: int
    problems: tuple[Problem, ...]


def _end_footer(file: FileDevice) -> tuple[layout.Footer | None, int, bytes]:
    """Return the footer at the end, its offset and its 512 bytes."""
    if file.size < layout.OLD_FOOTER_BYTES:
        return None, 0, b""
    data = file.read_at(max(0, file.size - layout.FOOTER_BYTES), min(file.size, layout.FOOTER_BYTES))
    for length in (layout.FOOTER_BYTES, layout.OLD_FOOTER_BYTES):
        footer = layout.parse_footer(data[-length:]) if len(data) >= length else None
        if footer is not None:
            return footer, file.size - length, data[-length:].ljust(layout.FOOTER_BYTES, b"\0")
    return None, 0, b""


def _front_footer(file: FileDevice) -> tuple[layout.Footer | None, bytes]:
    data = file.read_at(0, min(file.size, layout.FOOTER_BYTES))
    return layout.parse_footer(data), data


def _find_footer(file: FileDevice) -> _FoundFooter:
    """Return the footer that counts, and what is wrong with the two.

    :raises CorruptStructure: there is none that can be used
    """
    end, end_at, end_data = _end_footer(file)
    if end is not None and end.type == layout.FIXED:
        problems = [] if end.checksum_good else [_checksum_problem(file, end_at)]
        return _FoundFooter(end, end_at, tuple(problems + _version_problems(file, end, end_at)))
    if end_at == 0:
        end = None  # all that is left of the file is the copy at its front
    front, front_data = _front_footer(file)
    if front is not None and front.type not in {layout.DYNAMIC, layout.DIFFERENCING}:
        front = None
    if end is not None and end.type not in VARIANTS:
        if front is None:
            raise CorruptStructure(f"the footer's disk type {end.type} is none that is in use", where=file.name)
        end = msgspec.structs.replace(end, checksum_good=False)
    problems = []
    if end is None:
        if front is None:
            raise CorruptStructure("the file has no VHD footer", where=file.name)
        detail = "the file does not end in a footer: it was cut short or not finished; the copy at its front is used"
        problems.append(_problem("footer-missing", "truncated", detail, file, file.size, "VHD footer"))
    elif not end.checksum_good:
        problems.append(_checksum_problem(file, end_at))
    if front is None:
        detail = "there is no copy of the footer at the front of the file"
        problems.append(_problem("footer-copy-missing", "damage", detail, file, 0, "VHD footer copy"))
    elif not front.checksum_good:
        detail = "the checksum of the footer's copy at the front of the file is wrong"
        problems.append(_problem("footer-copy-checksum", "damage", detail, file, 0, "VHD footer copy"))
    elif end is not None and end_data != front_data:
        detail = "the footer and its copy at the front of the file differ"
        problems.append(_problem("footer-copies-differ", "damage", detail, file, 0, "VHD footer copy"))
    if front is not None and (
        end is None or end.type not in VARIANTS or (front.checksum_good and not end.checksum_good)
    ):
        footer, at = front, 0
    elif end is not None:
        footer, at = end, end_at
    return _FoundFooter(footer, at, tuple(problems + _version_problems(file, footer, at)))


def _checksum_problem(file: FileDevice, at: int) -> Problem:
    return _problem("footer-checksum", "damage", "the footer's checksum is wrong", file, at, "VHD footer")


def _version_problems(file: FileDevice, footer: layout.Footer, at: int) -> list[Problem]:
    problems = []
    if footer.version != layout.VERSION:
        detail = f"the footer's version is {footer.version:#x}, not {layout.VERSION:#x}"
        problems.append(_problem("footer-version", "damage", detail, file, at + 12, "VHD footer"))
    if footer.current_size % layout.SECTOR or not footer.current_size:
        detail = f"the disk's size of {footer.current_size} bytes is not a number of whole sectors above none"
        problems.append(_problem("size-not-of-whole-sectors", "damage", detail, file, at + 48, "VHD footer"))
    return problems


def _has_dynamic_header(file: FileDevice, footer: layout.Footer) -> bool:
    cookie = layout.HEADER_COOKIE
    inside = footer.data_offset + len(cookie) <= file.size
    return inside and file.read_at(footer.data_offset, len(cookie)) == cookie


def _read_header(file: FileDevice, footer: layout.Footer) -> layout.DynamicHeader:
    header = layout.parse_dynamic_header(file.read_at(footer.data_offset, layout.HEADER_BYTES))
    if header is None:
        raise CorruptStructure("there is no dynamic disk header", where=file.name, offset=footer.data_offset)
    return header


def _header_problems(file: FileDevice, footer: layout.Footer, header: layout.DynamicHeader) -> list[Problem]:
    problems = []
    at, structure = footer.data_offset, "VHD dynamic disk header"
    if not header.checksum_good:
        detail = "the dynamic disk header's checksum is wrong"
        problems.append(_problem("header-checksum", "damage", detail, file, at + 36, structure))
    if header.version != layout.VERSION:
        detail = f"the dynamic disk header's version is {header.version:#x}, not {layout.VERSION:#x}"
        problems.append(_problem("header-version", "damage", detail, file, at + 24, structure))
    if header.bat_entries * header.block_size < footer.current_size:
        detail = f"{header.bat_entries} blocks of {header.block_size} bytes are less than the disk's size"
        problems.append(_problem("bat-too-small", "damage", detail, file, at + 28, structure))
    return problems


def _bat_problems(file: FileDevice, table: EntryTable, block_bytes: int) -> list[Problem]:
    """Look at the table's first pages for blocks that the file does not hold; more would read too much."""
    beyond, misplaced = list[int](), list[int]()
    highest = (file.size - _bitmap_bytes(block_bytes) - block_bytes) // layout.SECTOR
    problems = []
    try:
        for number, entry in table.first_entries(CHECKED_PAGES * table.page_entries):
            if highest < entry != layout.UNUSED:
                beyond.append(number)
            elif entry < FIRST_SECTOR:
                misplaced.append(number)
    except ImageError as error:
        problems.append(problem_of(error, "bat-truncated"))
    if misplaced:
        first = misplaced[0] * block_bytes
        detail = f"{len(misplaced)} blocks are said to lie on the file's headers, the first at byte {first} of the disk"
        problems.append(_problem("block-misplaced", "damage", detail, file, 0, "VHD block"))
    if beyond:
        first = beyond[0] * block_bytes
        detail = f"{len(beyond)} blocks lie beyond the end of the file, the first at byte {first} of the disk"
        problems.append(_problem("block-beyond-end", "truncated", detail, file, file.size, "VHD block"))
    return problems


def _fixed(file: FileDevice, footer: layout.Footer, at: int, problems: list[Problem]) -> BlockDevice:
    """Return the bytes in front of the footer; the footer itself never is data."""
    if footer.current_size <= at:
        return SliceDevice(file, 0, footer.current_size, file.name)
    detail = f"the footer says {footer.current_size} bytes, and the file holds {at}"
    problems.append(_problem("data-truncated", "truncated", detail, file, at, "VHD footer"))
    return SliceDevice(SliceDevice(file, 0, at, file.name), 0, footer.current_size, file.name)


def _find_parent(
    file: FileDevice, footer: layout.Footer, header: layout.DynamicHeader, context: OpenContext
) -> FoundParent:
    def matches(candidate: FileDevice, below: OpenContext) -> OpenedImage:
        other = _find_footer(candidate).footer.unique_id
        if other != header.parent_id:
            detail = f"its unique id is {other}, and the parent's is {header.parent_id}"
            raise MissingPart(detail, where=candidate.name)
        return open_image(candidate, below)

    found = find_parent(file, footer.current_size, _hints(file, header), header.parent_id, context, matches)
    if found.file is None or not header.parent_timestamp:
        return found
    modified = found.file.modified - layout.EPOCH
    created = _find_footer(found.file).footer.timestamp
    if abs(modified - header.parent_timestamp) <= TIMESTAMP_GRAIN or created == header.parent_timestamp:
        return found
    detail = (
        f"the parent {found.file.name!r} has another time stamp than when this disk was made from it: it was changed "
        f"since, or copied without its time; its unique id is the right one, and it is read"
    )
    at = footer.data_offset + 56
    problem = _problem("parent-timestamp", "note", detail, file, at, "VHD dynamic disk header")
    return msgspec.structs.replace(found, problems=(*found.problems, problem))


def _hints(file: FileDevice, header: layout.DynamicHeader) -> tuple[str, ...]:
    """Return the parent's names, relative ones first; a locator that cannot be read is passed over."""
    order = (b"W2ru", b"Wi2r", b"W2ku", b"Wi2k", b"MacX")
    names = []
    for locator in sorted(header.locators, key=lambda entry: [*order, entry.platform].index(entry.platform)):
        if locator.platform not in order:
            continue
        try:
            data = file.read_at(locator.offset, min(locator.length, LOCATOR_BYTES))
        except ImageError:
            continue
        encoding = "utf-16-le" if locator.platform.startswith(b"W2") else "utf-8"
        names.append(data.decode(encoding, "replace").split("\0", 1)[0])
    return tuple(dict.fromkeys(name for name in (*names, header.parent_name) if name))


def _bitmap_bytes(block_bytes: int) -> int:
    """Return the size of the sector bitmap in front of a block: a bit for each sector, whole sectors."""
    return (block_bytes // layout.SECTOR + 8 * layout.SECTOR - 1) // (8 * layout.SECTOR) * layout.SECTOR


def _metadata(footer: layout.Footer) -> dict[str, str]:
    created = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=footer.timestamp)
    return {
        "creator_application": shown(footer.creator_application),
        "creator_version": footer.creator_version,
        "creator_host": shown(footer.creator_host),
        "created": created.isoformat(),
        "original_size": str(footer.original_size),
    }


def _is_unclean(parent: FoundParent | None) -> bool:
    return parent is not None and parent.facts is not None and parent.facts.unclean.value is True


def _problem(code: str, kind: ProblemKind, detail: str, file: FileDevice, at: int, structure: str) -> Problem:
    return Problem(code, kind, shown(detail), (AtOffset(shown(file.name), at, 0, structure),))
