"""Inodes and extents of a JFS: where an inode lies, where the blocks of a file lie, and a few pages kept of both.

Structures and their source: `imgscan.layouts.jfs`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Final, TypeVar

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.layouts import jfs

TREE_DEPTH: Final = 8
"""Pages on the way through a tree, as the kernel allows."""
_PAGES_KEPT: Final = 256
_EXTENTS_KEPT: Final = 32
_MOST_BYTES: Final = 16 * MIB
"""What is read of a file at once."""

Kept = TypeVar("Kept")


class JfsInodes:
    """The inodes of one JFS. `superblock` is the primary one, or its copy when that is damaged."""

    def __init__(self, device: BlockDevice, volume: str) -> None:
        self._device = device
        self._volume = volume
        self.superblock = self._read_superblock()
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._extents: OrderedDict[int, bytes] = OrderedDict()
        self._parsed: OrderedDict[int, tuple[bool, tuple[jfs.ExtentEntry, ...]]] = OrderedDict()
        self._map = self._aggregate_inode(jfs.FILESET)

    def _read_superblock(self) -> jfs.JfsSuperblock:
        lost: ImageError | None = None
        for at in (jfs.SUPERBLOCK_AT, jfs.SECONDARY_AT):
            try:
                found = jfs.parse_superblock(self._device.read_at(at, jfs.SUPERBLOCK_BYTES))
            except ImageError as error:
                lost = lost or error
                continue
            if found is not None:
                return found
        raise lost or CorruptStructure("neither JFS superblock can be", where=self._volume, offset=jfs.SUPERBLOCK_AT)

    def _aggregate_inode(self, number: int) -> jfs.JfsInode:
        """Return an inode of the aggregate inode table, or of its copy."""
        copy = self.superblock.secondary_inodes.address * self.superblock.block_size
        lost: ImageError | None = None
        for start in (jfs.AGGREGATE_INODES_AT, copy):
            at = start + number * jfs.INODE_BYTES
            try:
                inode = jfs.parse_inode(self._device.read_at(at, jfs.INODE_BYTES))
            except ImageError as error:
                lost = lost or error
                continue
            if inode.number == number and jfs.extent_page(inode.body) is not None:
                return inode
        raise lost or CorruptStructure(
            f"the aggregate inode {number} of the JFS is damaged", where=self._volume, offset=jfs.AGGREGATE_INODES_AT
        )

    def read_inode(self, number: int) -> jfs.JfsInode:
        """Return an inode of the fileset.

        :raises CorruptStructure: there is no such inode
        """
        group = self.map_page(self._map, 1 + number // jfs.INODES_PER_GROUP)
        index, inside = divmod(number % jfs.INODES_PER_GROUP, jfs.INODES_PER_EXTENT)
        place = jfs.inode_extent(group, index)
        if not place.length or not place.address:
            raise CorruptStructure(f"there is no inode {number}", where=self._volume)
        start = place.address * self.superblock.block_size
        raw = _kept(self._extents, start, _EXTENTS_KEPT)
        if raw is None:
            raw = self._extents[start] = self._device.read_at(start, jfs.EXTENT_BYTES)
        at = inside * jfs.INODE_BYTES
        inode = jfs.parse_inode(raw[at : at + jfs.INODE_BYTES])
        if inode.number != number or not inode.links:
            raise CorruptStructure(f"inode {number} is not in use", where=self._volume, offset=start + at)
        return inode

    def map_page(self, inode: jfs.JfsInode, number: int) -> bytes:
        """Return a page of 4 KiB of a map that is kept as a file (inode map, block map)."""
        size = self.superblock.block_size
        per_page = jfs.PAGE_BYTES // size
        entry = self._find(inode, number * per_page)
        if entry is None or entry.offset + entry.length < (number + 1) * per_page:
            raise CorruptStructure(f"the map in inode {inode.number} has no page {number}", where=self._volume)
        return self.page((entry.address + number * per_page - entry.offset) * size)

    def free_blocks(self) -> tuple[int, int]:
        """Return how many blocks there are, and how many are free."""
        return jfs.free_blocks(self.map_page(self._aggregate_inode(jfs.BLOCK_MAP), 0))

    def inode_counts(self) -> tuple[int, int, int]:
        """Return how many inodes there are, how many of them are free, and the log2 of the blocks for 32 more."""
        return jfs.inode_counts(self.map_page(self._map, 0))

    def page(self, at: int, length: int = jfs.PAGE_BYTES) -> bytes:
        """Return a page of a tree or map; the last ones are kept."""
        page = _kept(self._pages, at, _PAGES_KEPT)
        if page is None or len(page) < length:
            page = self._pages[at] = self._device.read_at(at, length)
        return page[:length]

    def content(self, inode: jfs.JfsInode, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes and extents not recorded are zeros."""
        length = min(length, inode.size - offset)
        if length <= 0 or offset < 0:
            return b""
        if length > _MOST_BYTES:
            raise LimitExceeded(f"{length} bytes of a file at once", where=self._volume)
        size = self.superblock.block_size
        pieces = []
        while length:
            block, inside = divmod(offset, size)
            entry, hole = self._at(inode, block)
            if entry is None:
                take = min(length, hole * size - inside)
                pieces.append(bytes(take))
            else:
                take = min(length, (entry.offset + entry.length) * size - offset)
                start = (entry.address + block - entry.offset) * size + inside
                pieces.append(self._device.read_at(start, take) if entry.is_recorded else bytes(take))
            offset += take
            length -= take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _find(self, inode: jfs.JfsInode, block: int) -> jfs.ExtentEntry | None:
        """Return the extent that holds a block of a file, None for a hole."""
        return self._at(inode, block)[0]

    def _at(self, inode: jfs.JfsInode, block: int) -> tuple[jfs.ExtentEntry | None, int]:
        """Return the extent that holds a block, or None and how many blocks the hole has from there on (at least)."""
        parsed = jfs.extent_page(inode.body)
        end = 1 << 52
        for _ in range(TREE_DEPTH):
            if parsed is None:
                raise CorruptStructure(f"the extent tree of inode {inode.number} is damaged", where=self._volume)
            is_leaf, entries = parsed
            index = bisect_right(entries, block, key=_offset) - 1
            if index + 1 < len(entries):
                end = min(end, entries[index + 1].offset)
            if index < 0:
                return None, max(1, end - block)
            entry = entries[index]
            if is_leaf:
                is_inside = block < entry.offset + entry.length
                return (entry, 0) if is_inside else (None, max(1, end - block))
            parsed = self._parsed_page(entry.address)
        raise CorruptStructure(f"the extent tree of inode {inode.number} is too deep", where=self._volume)

    def _parsed_page(self, address: int) -> tuple[bool, tuple[jfs.ExtentEntry, ...]] | None:
        """Return a page of an extent tree; its entries cost more than its bytes, so that they are what is kept."""
        parsed = _kept(self._parsed, address, _EXTENTS_KEPT)
        if parsed is None:
            parsed = jfs.extent_page(self._device.read_at(address * self.superblock.block_size, jfs.PAGE_BYTES))
            if parsed is not None:
                self._parsed[address] = parsed
        return parsed


def _offset(entry: jfs.ExtentEntry) -> int:
    return entry.offset


def _kept(cache: OrderedDict[int, Kept], key: int, most: int) -> Kept | None:
    """Return what a cache has of a key, and make room for one more when it has nothing."""
    found = cache.get(key)
    if found is not None:
        cache.move_to_end(key)
    elif len(cache) >= most:
        cache.popitem(last=False)
    return found
