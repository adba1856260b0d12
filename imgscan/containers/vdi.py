"""VDI (VirtualBox): dynamic and fixed images, and what a differencing image holds itself.

Source: VirtualBox, src/VBox/Storage/VDICore.h and VDI.cpp. The format has no encryption and no mark for an image that
was not closed: those facts are known to be absent, because there is no place for them. A differencing image names its
parent by UUID alone: no file can be looked up, so that only its own blocks are read and the others are missing.
"""

from __future__ import annotations

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.problems import problem_of
from imgscan.containers.table_pages import TablePages
from imgscan.devices.device import check_range
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import TABLE_PAGE_BYTES, VIRTUAL_SIZE
from imgscan.errors import CorruptStructure, LimitExceeded, MissingPart, TruncatedRead, UnsupportedFormat
from imgscan.layouts import vdi as layout
from imgscan.model.disk import ImageFacts, ImageFile, Parent, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known
from imgscan.model.text import shown

NAME = "vdi"
_VARIANTS = {layout.DYNAMIC: "dynamic", layout.FIXED: "fixed", layout.UNDO: "undo", layout.DIFFERENCING: "differencing"}
_PER_PAGE = TABLE_PAGE_BYTES // 4


class VdiDisk:
    """The virtual disk of an image; `missing` is raised where a parent's bytes are needed."""

    sector_size = 512

    def __init__(self, file: FileDevice, header: layout.Header, missing: MissingPart | None) -> None:
        self.name = file.name
        self.size = header.disk_size
        self._file = file
        self._missing = missing
        self._bits = header.block_size.bit_length() - 1
        self._blocks = header.blocks
        self._stride = header.block_size + header.block_extra
        self._data = header.offset_data + header.block_extra
        self._map_offset = header.offset_blocks
        self._map = TablePages(file, "block map", 4, "little")

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        parts: list[bytes] = []
        start, run = 0, 0  # pieces that go on where the last one ended are read at once; zeros start at -1
        mask = (1 << self._bits) - 1
        while length:
            within = offset & mask
            take = min(length, mask + 1 - within)
            entry = self._entry(offset >> self._bits)
            if entry == layout.BLOCK_FREE and self._missing is not None:
                raise MissingPart(self._missing.message, where=self.name)
            where = -1 if entry >= layout.BLOCK_ZERO else self._data + entry * self._stride + within
            if run and (start == -1 if where == -1 else start >= 0 and where == start + run):
                run += take
            else:
                if run:
                    parts.append(self._file.read_at(start, run) if start >= 0 else bytes(run))
                start, run = where, take
            offset += take
            length -= take
        if run:
            parts.append(self._file.read_at(start, run) if start >= 0 else bytes(run))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _entry(self, index: int) -> int:
        if index >= self._blocks:
            raise CorruptStructure("the block map is too small for the disk", where=self.name, offset=self._map_offset)
        page = self._map.page(self._map_offset + index // _PER_PAGE * TABLE_PAGE_BYTES)
        at = index % _PER_PAGE
        if at >= len(page):
            raise TruncatedRead(
                "the block map runs beyond the end", where=self.name, offset=self._map_offset + 4 * index
            )
        return page[at]


def probe(file: FileDevice) -> bool:
    """Whether the magic stands behind the text at the front."""
    end = layout.MAGIC_AT + len(layout.MAGIC)
    return file.size >= end and file.read_at(layout.MAGIC_AT, len(layout.MAGIC)) == layout.MAGIC


def refers_to(_file: FileDevice) -> References:
    """Return no names: a VDI records none."""
    return References()


def open_image(file: FileDevice, _context: OpenContext) -> OpenedImage:
    """Open an image; of a differencing one, what it holds itself.

    :raises ImageError: the header makes no image
    """
    head = file.read_at(0, min(file.size, layout.HEADER_BYTES))
    if not layout.MAGIC.startswith(head[layout.MAGIC_AT : layout.MAGIC_AT + len(layout.MAGIC)]):
        raise UnsupportedFormat("the file does not begin as a VDI does", where=file.name, offset=layout.MAGIC_AT)
    header = layout.parse_header(head)
    if header is None:
        raise TruncatedRead(f"the file ends inside the VDI header ({file.size} bytes)", where=file.name)
    _check(file, header)
    problems = _problems(file, header)
    missing: MissingPart | None = None
    parents: tuple[Parent, ...] = ()
    delta: str | None = None
    if header.type in {layout.UNDO, layout.DIFFERENCING}:
        missing = MissingPart(
            f"the image holds only what differs from the image with UUID {header.uuid_linkage}; a VDI names no "
            "file for it, so join them first: VBoxManage clonemedium",
            where=file.name,
        )
        problems.insert(0, problem_of(missing, "parent-not-named"))
        parents = (Parent(header.uuid_linkage, None, None, header.uuid_linkage),)
        delta = f"VDI {_VARIANTS[header.type]} of {header.uuid_linkage}"
    facts = ImageFacts(
        format=NAME,
        variant=_VARIANTS[header.type],
        virtual_size=header.disk_size,
        files=(ImageFile(shown(file.name), "image", file.size),),
        parents=parents,
        problems=tuple(problems),
        identity=header.uuid_create,
        metadata={
            "version": f"{header.version[0]}.{header.version[1]}",
            "block_size": str(header.block_size),
            "modification_uuid": header.uuid_modify,
        },
        unclean=known(False),
        encryption=known(None),
        device_mapping=known(None),
        delta=known(delta, *_at(file, 0x4C, 4, "type")),
    )
    map_is_there = not header.blocks or header.offset_blocks < file.size
    return OpenedImage(VdiDisk(file, header, missing) if map_is_there else None, facts)


def _at(file: FileDevice, offset: int, length: int, field: str) -> tuple[AtOffset]:
    return (AtOffset(shown(file.name), offset, length, f"VDI header: {field}"),)


def _check(file: FileDevice, header: layout.Header) -> None:
    where = file.name
    if header.version[0] != 1:
        raise UnsupportedFormat(
            f"VDI version {header.version[0]}.{header.version[1]} is not read; convert it: VBoxManage clonemedium",
            where=where,
            offset=0x44,
        )
    if header.type not in _VARIANTS:
        raise UnsupportedFormat(f"VDI image type {header.type} is not known", where=where, offset=0x4C)
    size = header.block_size
    if size < 512 or size & (size - 1):
        raise CorruptStructure(f"a block size of {size} bytes is no power of two", where=where, offset=0x178)
    if header.disk_size > VIRTUAL_SIZE:
        raise LimitExceeded(
            f"a virtual size of {header.disk_size} bytes is taken for damage", where=where, offset=0x170
        )


def _problems(file: FileDevice, header: layout.Header) -> list[Problem]:
    problems = []
    needed = -(-header.disk_size // header.block_size)
    if header.blocks < needed:
        detail = f"the block map has {header.blocks} entries, and the disk needs {needed}"
        problems.append(Problem("block-map-too-small", "damage", detail, _at(file, 0x180, 4, "blocks")))
    if header.blocks_allocated > header.blocks:
        detail = f"{header.blocks_allocated} of {header.blocks} blocks are said to be in use"
        problems.append(Problem("too-many-blocks-in-use", "damage", detail, _at(file, 0x184, 4, "blocks in use")))
    if header.sector_size != 512:
        detail = f"sectors of {header.sector_size} bytes, where the format has 512; they are taken for 512"
        problems.append(Problem("sector-size", "damage", detail, _at(file, 0x168, 4, "sector size")))
    if header.disk_size % 512:
        detail = f"the virtual size of {header.disk_size} bytes is not a whole number of sectors"
        problems.append(Problem("size-not-of-whole-sectors", "note", detail, _at(file, 0x170, 8, "disk size")))
    if header.blocks and header.offset_blocks >= file.size:
        detail = f"the block map at {header.offset_blocks} lies beyond the end of the file ({file.size} bytes)"
        problems.insert(0, Problem("block-map-beyond-end", "truncated", detail, _at(file, 0x154, 4, "block map")))
    end = header.offset_data + header.blocks_allocated * (header.block_size + header.block_extra)
    if header.blocks_allocated <= header.blocks and file.size < end:
        detail = f"the file is cut short: it has {file.size} bytes, and its blocks need {end}"
        problems.append(Problem("file-cut-short", "truncated", detail, (AtOffset(shown(file.name), file.size),)))
    return problems
