"""The content of Btrfs files: extents, their checksums and copies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from imgscan.errors import CorruptStructure, ImageError
from imgscan.filesystems.btrfs_checksum import Checksum
from imgscan.filesystems.btrfs_chunks import ChunkMap
from imgscan.filesystems.btrfs_compression import unpack
from imgscan.filesystems.btrfs_tree import Tree
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import Extent

_UNPACKED_KEPT: Final = 16
"""Unpacked extents kept, 128 KiB each at most."""


class FileContents:
    """Reads files' content by subvolume tree and inode."""

    def __init__(self, chunks: ChunkMap, checksum_tree: Tree, checksum: Checksum, sector_size: int) -> None:
        self.volume = chunks.volume
        self._chunks = chunks
        self._checksum_tree = checksum_tree
        self._checksum = checksum
        self._sector = sector_size
        self._unpacked: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()

    def read(self, tree: Tree, inode: int, offset: int, length: int, *, is_checked: bool) -> bytes:
        """Return exactly `length` bytes from `offset`: the caller has cut them at the file's end.

        `is_checked` is whether the file's data has checksums.

        :raises CorruptStructure: a checksum is wrong or missing, or the extents contradict themselves
        :raises ImageError: it cannot be read
        """
        out = bytearray(length)
        end = offset + length
        for extent in self._extents(tree, inode, offset, end):
            start, stop = max(offset, extent.start), min(end, extent.end)
            if start < stop:
                data = self._part(extent, start - extent.start, stop - start, is_checked=is_checked)
                if data is not None:
                    out[start - offset : stop - offset] = data
        return bytes(out)

    def _extents(self, tree: Tree, inode: int, offset: int, end: int) -> Iterator[Extent]:
        """Yield the extents that may hold bytes of a range."""
        found = tree.last_not_above((inode, btrfs.EXTENT_DATA, offset))
        first = found[0] if found is not None and found[0][:2] == (inode, btrfs.EXTENT_DATA) else None
        for key, data in tree.items(
            first or (inode, btrfs.EXTENT_DATA, offset), (inode, btrfs.EXTENT_DATA, max(0, end - 1))
        ):
            try:
                yield btrfs.parse_extent(key[2], data)
            except CorruptStructure as error:
                raise CorruptStructure(f"inode {inode}: {error.message}", where=self.volume) from error

    def _part(self, extent: Extent, offset: int, length: int, *, is_checked: bool) -> bytes | None:
        """Return `length` bytes of an extent from `offset` on, None for zeros."""
        if extent.kind == btrfs.INLINE:
            data = extent.inline
            if extent.compression:
                data = self._unpack(data, extent)
            return data[offset : offset + length].ljust(length, b"\0")
        if not extent.position or extent.kind == btrfs.PREALLOCATED:
            return None
        if not extent.compression:
            return self._stored(extent.position + extent.offset + offset, length, is_checked=is_checked)
        key = (extent.position, extent.stored_size, extent.unpacked_size)
        whole = self._unpacked.get(key)
        if whole is None:
            whole = self._unpack(self._stored(extent.position, extent.stored_size, is_checked=is_checked), extent)
            self._unpacked[key] = whole
            if len(self._unpacked) > _UNPACKED_KEPT:
                self._unpacked.popitem(last=False)
        start = extent.offset + offset
        return whole[start : start + length]

    def _unpack(self, data: bytes, extent: Extent) -> bytes:
        try:
            return unpack(data, extent.compression, extent.unpacked_size, self._sector)
        except CorruptStructure as error:
            raise CorruptStructure(
                f"the extent at logical address {extent.position}: {error.message}", where=self.volume
            ) from error

    def _stored(self, position: int, length: int, *, is_checked: bool) -> bytes:
        """Return stored bytes, of every sector the first copy whose checksum is right."""
        if not is_checked:
            return self._chunks.read_any(position, length)
        sector = self._sector
        before = position % sector
        start, end = position - before, -(-(position + length) // sector) * sector
        sums = self._checksums(start, end)
        try:
            data = self._chunks.read(start, end - start)
            is_right = self._are_right(data, sums)
        except ImageError:
            is_right = False
        if not is_right:
            size = self._checksum.size
            data = b"".join(
                self._sector_of_any_copy(start + index * sector, sums[index * size : index * size + size])
                for index in range((end - start) // sector)
            )
        return data[before : before + length]

    def _are_right(self, data: bytes, sums: bytes) -> bool:
        is_right, size, sector = self._checksum.is_right, self._checksum.size, self._sector
        return all(
            is_right(data[index * sector : (index + 1) * sector], sums[index * size : (index + 1) * size])
            for index in range(len(data) // sector)
        )

    def _sector_of_any_copy(self, position: int, wanted: bytes) -> bytes:
        lost: ImageError | None = None
        for copy in range(self._chunks.copies(position)):
            try:
                data = self._chunks.read(position, self._sector, copy)
            except ImageError as error:
                lost = lost or error
                continue
            if self._checksum.is_right(data, wanted):
                return data
            if lost is None or lost.why == "missing":
                lost = CorruptStructure(
                    f"the {self._checksum.name} checksum of the data at logical address {position} is wrong",
                    where=self.volume,
                )
        raise lost or CorruptStructure(f"nothing is at logical address {position}", where=self.volume)

    def _checksums(self, start: int, end: int) -> bytes:
        """Return the checksums of the sectors of a range."""
        size, sector = self._checksum.size, self._sector
        found = self._checksum_tree.last_not_above((btrfs.CSUM_OBJECT, btrfs.EXTENT_CSUM, start))
        first = (btrfs.CSUM_OBJECT, btrfs.EXTENT_CSUM, start) if found is None else found[0]
        sums = bytearray()
        at = start
        for key, data in self._checksum_tree.items(first, (btrfs.CSUM_OBJECT, btrfs.EXTENT_CSUM, end - 1)):
            if key[:2] != (btrfs.CSUM_OBJECT, btrfs.EXTENT_CSUM) or key[2] % sector or key[2] > at:
                continue
            piece = data[(at - key[2]) // sector * size : (end - key[2]) // sector * size]
            sums += piece[: len(piece) // size * size]
            at = start + len(sums) // size * sector
        if at < end:
            raise CorruptStructure(f"the data at logical address {at} has no checksum", where=self.volume)
        return bytes(sums)
