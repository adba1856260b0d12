"""The device below one XFS filesystem: what its superblock says, and its metadata blocks, verified and kept."""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Final

from imgscan.devices.cached import CachedDevice
from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, UnsupportedFormat
from imgscan.layouts import xfs

_CACHE_BYTES: Final = 4 * MIB
"""Metadata blocks kept of one filesystem."""


class XfsVolume:
    """Bytes by the filesystem's block numbers, in which the upper bits are the allocation group.

    `device` keeps pages of what is read; `below` is the same without, for what is read once.
    """

    def __init__(self, device: BlockDevice, name: str) -> None:
        """Read the superblock.

        :raises UnsupportedFormat: it has a feature that is not read
        :raises CorruptStructure: it is damaged
        """
        self.below = device
        self.device = CachedDevice(device)
        self.name = name
        self.superblock = read_superblock(device, name)
        self._cache: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._cached = 0

    def group_blocks(self, group: int) -> int:
        """Return how many blocks an allocation group has; the last one may be shorter."""
        block = self.superblock
        return block.group_blocks if group < block.groups - 1 else block.blocks - group * block.group_blocks

    def offset_of(self, block: int, count: int, what: str) -> int:
        """Return where `count` blocks begin, in bytes; `what` says whose they are.

        :raises CorruptStructure: they are not inside one allocation group
        """
        geometry = self.superblock
        group, within = block >> geometry.group_blocks_log, block & (1 << geometry.group_blocks_log) - 1
        if group >= geometry.groups or within + count > self.group_blocks(group):
            raise CorruptStructure(f"{what} refers to block {block}, which is not there", where=self.name)
        return (group * geometry.group_blocks + within) * geometry.block_bytes

    def tree_block(self, block: int, owner: int) -> bytes:
        """Return a block of an inode's extent tree, verified.

        :raises CorruptStructure: it is not what it should be
        """
        key = ("extents", owner, block)
        data = self.kept(key)
        if data is None:
            offset = self.offset_of(block, 1, f"the extent tree of inode {owner}")
            data = self.device.read_at(offset, self.superblock.block_bytes)
            self.verify(data, xfs.EXTENT_TREE, offset, owner)
            self.keep(key, data)
        return data

    def kept(self, key: tuple[str, int, int]) -> bytes | None:
        """Return a verified block that was kept (by use, inode and number), None when it was not."""
        data = self._cache.get(key)
        if data is not None:
            self._cache.move_to_end(key)
        return data

    def keep(self, key: tuple[str, int, int], data: bytes) -> None:
        """Keep a verified block; the oldest go when there is no room."""
        before = self._cache.pop(key, b"")
        self._cache[key] = data
        self._cached += len(data) - len(before)
        while self._cached > _CACHE_BYTES:
            self._cached -= len(self._cache.popitem(last=False)[1])

    def verify(self, data: bytes, header: xfs.BlockHeader, offset: int, owner: int) -> None:
        """Check what a block with a version 5 header says of itself; before version 5 there is nothing to check.

        :raises CorruptStructure: naming the block and what does not fit
        """
        if not self.superblock.has_checksums:
            return
        if not xfs.is_checksum_right(data, header.checksum):
            wrong = "has a wrong checksum"
        elif data[header.uuid : header.uuid + 16] != self.superblock.uuid:
            wrong = "belongs to another filesystem"
        elif struct.unpack_from(">Q", data, header.place)[0] != offset // xfs.SECTOR:
            wrong = "belongs to another place"
        elif struct.unpack_from(">Q", data, header.owner)[0] != owner:
            wrong = "belongs to another inode"
        else:
            return
        raise self.corrupt(f"the {header.what} at byte {offset}, of inode {owner}, {wrong}", offset)

    def corrupt(self, message: str, offset: int | None = None) -> CorruptStructure:
        """Return an error about this filesystem, to be raised."""
        return CorruptStructure(message, where=self.name, offset=offset)


def read_superblock(device: BlockDevice, volume: str) -> xfs.Superblock:
    """Read and check the primary superblock.

    :raises UnsupportedFormat: it has a feature that is not read
    :raises CorruptStructure: it is damaged
    """
    raw = device.read_at(0, min(device.size, 4 * KIB))
    if len(raw) < xfs.SECTOR or raw[:4] != b"XFSB":
        raise CorruptStructure("there is no XFS superblock", where=volume, offset=0)
    block = xfs.parse_superblock(raw)
    _refuse_unread(block, volume)
    wrong = _contradiction(block)
    if wrong is None and block.has_checksums:
        if block.sector_bytes > len(raw):
            raw = device.read_at(0, block.sector_bytes)
        if not xfs.is_superblock_checksum_right(raw[: block.sector_bytes]):
            wrong = "its checksum is wrong"
    if wrong is not None:
        raise CorruptStructure(f"the XFS superblock is damaged: {wrong}", where=volume, offset=0)
    return block


def _refuse_unread(block: xfs.Superblock, volume: str) -> None:
    number = block.version & 0xF
    unread: list[str] = []
    if number not in {4, 5}:
        raise UnsupportedFormat(f"XFS version {number} is not read; versions 4 and 5 are", where=volume)
    if not block.has_checksums:
        if not block.version & xfs.VERSION_DIRECTORY_2:
            unread.append("directories of version 1")
        if block.version & xfs.VERSION_SHARED:
            unread.append("shared use")
        if block.version & xfs.VERSION_MORE and block.features2 & ~xfs.FEATURES2_READ:
            unread.append(f"unknown features {block.features2 & ~xfs.FEATURES2_READ:#x}")
    unknown = block.incompat & ~xfs.INCOMPAT_READ
    for bit in range(32):
        if unknown >> bit & 1:
            name = xfs.INCOMPAT.get(1 << bit, "unknown")
            unread.append(f"the incompatible feature {1 << bit:#x} ({name})")
    if unread:
        advice = "; it has to be repaired first (xfs_repair)" if unknown & xfs.INCOMPAT_NEEDS_REPAIR else ""
        raise UnsupportedFormat(f"XFS with {' and '.join(unread)} is not read{advice}", where=volume)


def _contradiction(block: xfs.Superblock) -> str | None:
    """Return what of the geometry cannot be, None when all fits (`xfs_validate_sb_common` in the kernel)."""
    sizes = (
        (block.sector_bytes, block.sector_log, 9, 15, "sector size"),
        (block.block_bytes, block.block_log, 9, 16, "block size"),
        (block.inode_bytes, block.inode_log, 8, 11, "inode size"),
    )
    for size, log, least, most, what in sizes:
        if not least <= log <= most or size != 1 << log:
            return f"its {what} cannot be"
    least_log = 9 if block.has_checksums else 8
    if block.inode_log < least_log or block.inodes_per_block_log != block.block_log - block.inode_log:
        return "its inode size cannot be"
    if block.directory_block_log > 16 - block.block_log:
        return "its directory block size cannot be"
    if block.group_blocks < 2 or block.group_blocks_log != (block.group_blocks - 1).bit_length():
        return "its allocation group size cannot be"
    last = block.blocks - (block.groups - 1) * block.group_blocks
    if not block.groups or not 0 < last <= block.group_blocks:
        return "its size and its allocation groups do not fit together"
    if block.is_in_progress:
        return "the program that makes or copies it did not finish"
    return None
