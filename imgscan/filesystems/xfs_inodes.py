"""Inodes of XFS by number: the number itself says where one lies."""

from __future__ import annotations

import stat
from collections import OrderedDict
from typing import Final

from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs

_KINDS: Final[dict[int, EntryKind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_INODES_KEPT: Final = 1024


class Inodes:
    """The inodes of one filesystem; some are kept."""

    def __init__(self, volume: XfsVolume) -> None:
        self._volume = volume
        self._inodes: OrderedDict[int, xfs.Inode] = OrderedDict()

    def read(self, number: int) -> xfs.Inode:
        """Return an inode.

        :raises CorruptStructure: there is none of that number, or it is damaged
        """
        inode = self._inodes.get(number)
        if inode is None:
            inode = self._read(number)
            self._inodes[number] = inode
            if len(self._inodes) > _INODES_KEPT:
                self._inodes.popitem(last=False)
        else:
            self._inodes.move_to_end(number)
        return inode

    def _read(self, number: int) -> xfs.Inode:
        volume, geometry = self._volume, self._volume.superblock
        block = number >> geometry.inodes_per_block_log
        within = number & (1 << geometry.inodes_per_block_log) - 1
        if number <= 0:
            raise volume.corrupt(f"there is no inode {number}")
        offset = volume.offset_of(block, 1, f"inode {number}") + within * geometry.inode_bytes
        raw = volume.device.read_at(offset, geometry.inode_bytes)
        inode = xfs.parse_inode(raw)
        wrong = self._contradiction(number, inode, raw)
        if wrong is not None:
            raise volume.corrupt(f"inode {number} {wrong}", offset)
        return inode

    def _contradiction(self, number: int, inode: xfs.Inode, raw: bytes) -> str | None:
        geometry = self._volume.superblock
        if inode.magic != b"IN":
            return "has no magic"
        if geometry.has_checksums:
            if inode.version != 3:
                return f"has the version {inode.version}"
            if not xfs.is_checksum_right(raw, xfs.INODE_CHECKSUM):
                return "has a wrong checksum"
            if inode.own_number != number or inode.uuid != geometry.uuid:
                return "belongs to another place or filesystem"
        elif inode.version not in {1, 2}:
            return f"has the version {inode.version}"
        if not inode.mode:
            return "is not in use"
        if inode.size >> 63:
            return "has a size that cannot be"
        return None


def kind_of(inode: xfs.Inode) -> EntryKind:
    """Return what kind of file it is."""
    return _KINDS.get(stat.S_IFMT(inode.mode), "other")


def entry_of(number: int, inode: xfs.Inode, name: str) -> Entry:
    """Return what is known of an inode under a name."""
    mode = inode.mode & 0o7777
    return Entry(number, name, kind_of(inode), inode.size, mode, inode.mtime, inode.uid, inode.gid, inode.links)
