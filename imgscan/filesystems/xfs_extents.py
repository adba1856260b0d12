"""Where the content of an XFS inode lies: its extents, in the inode or in a B+tree below it."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.errors import UnsupportedFormat
from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs

_BEYOND: Final = 1 << 54
"""The first block of a file that no extent can have."""


class Run(msgspec.Struct, frozen=True):
    """`blocks` blocks of a file that lie together, at the filesystem's block `block`; None where they are zeros."""

    first: int
    blocks: int
    block: int | None


def runs(volume: XfsVolume, number: int, inode: xfs.Inode, first: int, count: int) -> Iterator[Run]:
    """Yield the runs that make up `count` blocks from block `first` on, in order and without gaps.

    :raises CorruptStructure: the extents are damaged
    """
    at, end = first, first + count
    while at < end:
        records, amount, bound = _records(volume, number, inode, at)
        if bound <= at:
            raise volume.corrupt(f"the extents of inode {number} are not in order")
        for index in range(_first_record(records, amount, at), amount):
            extent = xfs.parse_extent(records, index)
            if extent.first >= end:
                break
            if extent.first > at:
                yield Run(at, extent.first - at, None)
                at = extent.first
            take = min(extent.first + extent.blocks, end) - at
            if take > 0:
                yield Run(at, take, None if extent.is_unwritten else extent.block + at - extent.first)
                at += take
        stop = min(bound, end)
        if stop > at:
            yield Run(at, stop - at, None)
            at = stop


def content(volume: XfsVolume, number: int, inode: xfs.Inode, offset: int, length: int) -> bytes:
    """Return up to `length` bytes of a file from `offset`, fewer only at its end; holes are zeros.

    :raises UnsupportedFormat: it lies in the real-time section
    """
    length = min(length, inode.size - offset)
    if length <= 0 or offset < 0:
        return b""
    if inode.flags & xfs.FLAG_REALTIME:
        raise UnsupportedFormat(f"inode {number} lies in the real-time section, which is not read", where=volume.name)
    size = volume.superblock.block_bytes
    first = offset // size
    pieces = []
    for run in runs(volume, number, inode, first, (offset + length - 1) // size - first + 1):
        start = max(offset, run.first * size)
        end = min(offset + length, (run.first + run.blocks) * size)
        if run.block is None:
            pieces.append(bytes(end - start))
        else:
            place = volume.offset_of(run.block, run.blocks, f"inode {number}")
            pieces.append(volume.device.read_at(place + start - run.first * size, end - start))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _first_record(records: bytes, amount: int, at: int) -> int:
    """Return the index of the record that holds block `at`, or of the next one before it."""
    low, high = 0, amount
    while low < high:
        middle = (low + high) // 2
        if xfs.parse_extent(records, middle).first <= at:
            low = middle + 1
        else:
            high = middle
    return max(0, low - 1)


def _records(volume: XfsVolume, number: int, inode: xfs.Inode, at: int) -> tuple[bytes, int, int]:
    """Return the records around block `at`, their number, and the block from which on others count."""
    if inode.format == xfs.FORMAT_EXTENTS:
        if inode.extents * xfs.EXTENT_BYTES > len(inode.fork):
            raise volume.corrupt(f"inode {number} has {inode.extents} extents, more than it can hold")
        return inode.fork, inode.extents, _BEYOND
    if inode.format != xfs.FORMAT_BTREE:
        raise volume.corrupt(f"inode {number} has no extents (format {inode.format})")
    level, amount = struct.unpack_from(">2H", inode.fork) if len(inode.fork) >= 4 else (0, 0)
    most = (len(inode.fork) - 4) // 16
    if not 0 < level <= xfs.EXTENT_TREE_DEPTH or not 0 < amount <= most:
        raise volume.corrupt(f"the root of the extent tree of inode {number} is damaged")
    node, header, bound = inode.fork, 4, _BEYOND
    has_checksums = volume.superblock.has_checksums
    while level:
        keys = struct.unpack_from(f">{amount}Q", node, header)
        index = bisect_right(keys, at) - 1
        if index < 0:
            return b"", 0, min(keys[0], bound)
        if index + 1 < amount:
            bound = min(bound, keys[index + 1])
        (block,) = struct.unpack_from(">Q", node, header + 8 * (most + index))
        node = volume.tree_block(block, number)
        header = xfs.EXTENT_TREE_HEADER[has_checksums]
        most = (len(node) - header) // 16
        level -= 1
        found, amount = struct.unpack_from(">2H", node, 4)
        magic = node[:4]
        if magic != xfs.EXTENT_TREE_MAGIC[has_checksums] or found != level or not 0 < amount <= most:
            raise volume.corrupt(f"block {block} of the extent tree of inode {number} is damaged")
    return node[header:], amount, bound
