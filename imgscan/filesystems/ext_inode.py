"""Inodes of ext2/3/4, read by position: what is known of a file, and whether its block map is safe to follow.

TSK follows a block map as far as it goes, and one whose blocks refer to each other goes on for hours.
Source: the Linux kernel's Documentation/filesystems/ext4 (inodes.rst, ifork.rst, group_descr.rst).
"""

from __future__ import annotations

import stat
import struct
from collections import OrderedDict
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.devices.limits import KIB
from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.filesystems.ext import Superblock

MAP_BLOCKS: Final = 4096
"""Blocks of a file without extents that TSK is asked to map: its time grows with the square of them."""
EXTENT_NODES: Final = 4096
"""Blocks of one file's extent tree: over a million extents."""

_KINDS: Final[dict[int, EntryKind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_HAS_EXTENTS, _HAS_INLINE_DATA, _IS_ENCRYPTED = 0x80000, 0x10000000, 0x800
_EXTENT_MAGIC: Final = 0xF30A
_EXTENT_DEPTH: Final = 5
_PAGE: Final = 16 * KIB
_PAGES_KEPT: Final = 64
_INODES_KEPT: Final = 1024


class Inode(msgspec.Struct, frozen=True):
    """An inode; `size` in bytes, `mtime` in Unix seconds, `map` the 60 bytes of i_block."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    links: int
    flags: int
    map: bytes

    @property
    def kind(self) -> EntryKind:
        """What kind of file it is."""
        return _KINDS.get(stat.S_IFMT(self.mode), "other")

    @property
    def is_encrypted(self) -> bool:
        """Whether its content, or the names in it, are encrypted (fscrypt)."""
        return bool(self.flags & _IS_ENCRYPTED)

    @property
    def has_inline_data(self) -> bool:
        """Whether its content is in the inode itself."""
        return bool(self.flags & _HAS_INLINE_DATA)

    def entry(self, name: str) -> Entry:
        """Return what is known of it under a name."""
        mode = self.mode & 0o7777
        return Entry(self.number, name, self.kind, self.size, mode, self.mtime, self.uid, self.gid, self.links)


class Inodes:
    """The inodes of one filesystem; a few pages of their tables are kept."""

    def __init__(self, device: BlockDevice, volume: str, superblock: Superblock) -> None:
        self._device = device
        self._volume = volume
        self._superblock = superblock
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._parsed: dict[int, Inode] = {}

    def read(self, number: int) -> Inode:
        """Return an inode.

        :raises CorruptStructure: there is no such inode
        """
        inode = self._parsed.get(number)
        if inode is None:
            inode = self._parsed[number] = self._read(number)
            if len(self._parsed) > _INODES_KEPT:
                del self._parsed[next(iter(self._parsed))]
        return inode

    def _read(self, number: int) -> Inode:
        block = self._superblock
        group, index = divmod(number - 1, block.inodes_per_group)
        if not 0 <= group < block.groups:
            raise CorruptStructure(f"there is no inode {number}", where=self._volume)
        descriptor = self._bytes(block.descriptor_table + group * block.descriptor_size, block.descriptor_size)
        (table,) = struct.unpack_from("<I", descriptor, 8)
        if block.descriptor_size >= 64:
            table |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        raw = self._bytes(table * block.block_size + index * block.inode_size, min(block.inode_size, 256))
        return _parse(number, raw)

    def has_long_map(self, inode: Inode) -> bool:
        """Whether a file without extents is so large that `ext_block_map` reads it instead of TSK."""
        is_mapped = not inode.flags & (_HAS_EXTENTS | _HAS_INLINE_DATA)
        return is_mapped and inode.size > MAP_BLOCKS * self._superblock.block_size

    def check_map(self, inode: Inode) -> None:
        """Make sure that TSK can follow a file's block map in bounded time.

        :raises LimitExceeded: it has more blocks or nodes than that
        :raises CorruptStructure: its extent tree refers to itself
        """
        if inode.kind not in {"file", "directory", "symlink"} or inode.has_inline_data:
            return
        if inode.flags & _HAS_EXTENTS:
            self._check_extents(inode)
        elif self.has_long_map(inode):
            raise LimitExceeded(f"the {inode.kind} {inode.number} is {inode.size} bytes large", where=self._volume)

    def _check_extents(self, inode: Inode) -> None:
        """Walk the nodes above the extents: each once, and each one level lower than the one above."""
        seen: set[int] = set()
        todo = [(inode.map, _EXTENT_DEPTH + 1)]
        while todo:
            node, above = todo.pop()
            magic, entries, _, depth = struct.unpack_from("<4H", node)
            if magic != _EXTENT_MAGIC or depth >= above or 12 + entries * 12 > len(node):
                raise CorruptStructure(f"the extent tree of inode {inode.number} is damaged", where=self._volume)
            for index in range(entries if depth else 0):
                low, high = struct.unpack_from("<IH", node, 12 + 12 * index + 4)
                block = low | high << 32
                if block in seen:
                    raise CorruptStructure(f"the extent tree of inode {inode.number} is no tree", where=self._volume)
                seen.add(block)
                if len(seen) > EXTENT_NODES:
                    raise LimitExceeded(
                        f"the extent tree of inode {inode.number} has more than {EXTENT_NODES} blocks",
                        where=self._volume,
                    )
                size = self._superblock.block_size
                todo.append((self._device.read_at(block * size, size), depth))

    def _bytes(self, offset: int, length: int) -> bytes:
        """Return bytes of a table, which may lie in two pages."""
        first = offset // _PAGE
        last = (offset + length - 1) // _PAGE
        data = b"".join(self._page(page) for page in range(first, last + 1))
        start = offset - first * _PAGE
        found = data[start : start + length]
        if len(found) < length:
            raise CorruptStructure("an inode lies beyond the end of the volume", where=self._volume, offset=offset)
        return found

    def _page(self, number: int) -> bytes:
        page = self._pages.get(number)
        if page is None:
            offset = number * _PAGE
            page = (
                self._device.read_at(offset, max(0, min(_PAGE, self._device.size - offset)))
                if offset < self._device.size
                else b""
            )
            self._pages[number] = page
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page


def _parse(number: int, raw: bytes) -> Inode:
    mode, uid, size, _, _, mtime, _, gid, links, _, flags = struct.unpack_from("<2H5I2H2I", raw)
    uid_high, gid_high = struct.unpack_from("<2H", raw, 0x78)
    if stat.S_IFMT(mode) in {stat.S_IFREG, stat.S_IFDIR}:  # of other kinds the high half means something else
        size |= struct.unpack_from("<I", raw, 0x6C)[0] << 32
    seconds: float = mtime - (1 << 32) if mtime >> 31 else mtime
    if len(raw) >= 0x8C and struct.unpack_from("<H", raw, 0x80)[0] >= 0x0C:
        (extra,) = struct.unpack_from("<I", raw, 0x88)
        seconds += ((extra & 3) << 32) + (extra >> 2) / 1e9
    return Inode(
        number, mode, uid | uid_high << 16, gid | gid_high << 16, size, seconds, links, flags, bytes(raw[0x28:0x64])
    )
