"""Directories of XFS: names in the inode, in one block, or in many blocks with a hash tree over them.

A lookup goes through the hash tree and reads a few blocks; where that tree is damaged it reads all names instead.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import DIRECTORY_BYTES, DIRECTORY_ENTRIES, KIB, SEARCHED_BYTES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, TruncatedRead
from imgscan.filesystems.xfs_extents import runs
from imgscan.filesystems.xfs_inodes import kind_of
from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs

_CHUNK: Final = 64 * KIB
"""How much of a directory is read at once."""
_MOST_FAILED: Final = 256
"""Reads of one directory that may fail while the others are tried all the same."""
_PAIR: Final = struct.Struct(">2I")
_SAME_HASH_BLOCKS: Final = 256
"""Leaves that may follow each other for names of one hash."""


class _Pairs(msgspec.Struct, frozen=True):
    """Hashes in their order, each with the address of an entry, or with the block of a node or leaf."""

    data: bytes
    start: int
    amount: int

    def at(self, index: int) -> tuple[int, int]:
        """Return hash and address."""
        hashed, address = _PAIR.unpack_from(self.data, self.start + _PAIR.size * index)
        return hashed, address

    def first(self, wanted: int) -> int:
        """Return the index of the first hash that is not smaller, `amount` when all are."""
        return bisect_left(range(self.amount), wanted, key=lambda index: self.at(index)[0])


class Directories:
    """The directories of one filesystem."""

    def __init__(self, volume: XfsVolume) -> None:
        self._volume = volume
        self._has_checksums = volume.superblock.has_checksums
        self._type_bytes = int(volume.superblock.has_file_types)
        self._block_bytes = volume.superblock.directory_block_bytes
        self._per_block = 1 << volume.superblock.directory_block_log
        self._ignores_case = bool(volume.superblock.version & xfs.VERSION_ASCII_CI)
        self._searched = 0

    def names(self, number: int, inode: xfs.Inode) -> Iterator[tuple[int, bytes]]:
        """Yield inode and name of every entry, without `.` and `..`; a damaged block loses only itself.

        :raises ImageError: at the end, when there was damage
        :raises LimitExceeded: it has more entries than any real directory
        """
        self._check(number, inode)
        found = self._in_inode(number, inode) if inode.format == xfs.FORMAT_LOCAL else self._in_blocks(number, inode)
        for count, (node, name) in enumerate(found):
            if count >= DIRECTORY_ENTRIES:
                raise LimitExceeded(f"directory {number} has more than {count} entries", where=self._volume.name)
            if name not in {b".", b".."}:
                yield node, name

    def lookup(self, number: int, inode: xfs.Inode, name: bytes) -> tuple[int, bytes] | None:
        """Return inode and stored name of an entry, None when it is not there.

        :raises LimitExceeded: more was searched for names than any real system makes necessary
        """
        self._check(number, inode)
        wanted = self._folded(name)
        if inode.format != xfs.FORMAT_LOCAL:
            try:
                return self._by_hash(number, inode, wanted)
            except (CorruptStructure, TruncatedRead):
                self._searched += inode.size
        if self._searched > SEARCHED_BYTES:
            raise LimitExceeded(
                f"more than {SEARCHED_BYTES} bytes of directories were searched", where=self._volume.name
            )
        return next((found for found in self.names(number, inode) if self._folded(found[1]) == wanted), None)

    def _folded(self, name: bytes) -> bytes:
        return name.translate(xfs.CASE_FOLDED) if self._ignores_case else name

    def _check(self, number: int, inode: xfs.Inode) -> None:
        if kind_of(inode) != "directory":
            raise self._volume.corrupt(f"inode {number} is a {kind_of(inode)}, not a directory")
        if inode.size > DIRECTORY_BYTES:
            raise LimitExceeded(f"directory {number} is {inode.size} bytes large", where=self._volume.name)
        if inode.format == xfs.FORMAT_LOCAL:
            if inode.size > len(inode.fork):
                raise self._volume.corrupt(f"directory {number} is larger than its inode")
        elif inode.size % self._block_bytes or not inode.size:
            raise self._volume.corrupt(f"directory {number} is {inode.size} bytes large, no whole blocks")

    def _in_inode(self, number: int, inode: xfs.Inode) -> Iterator[tuple[int, bytes]]:
        data = inode.fork[: inode.size]
        if len(data) < 6:
            raise self._volume.corrupt(f"directory {number} is {len(data)} bytes large")
        width = 8 if data[1] else 4
        position = 2 + width
        for _ in range(data[0]):
            end = position + 3 + data[position] if position < len(data) else len(data)
            node_end = end + self._type_bytes + width
            if node_end > len(data) or end == position + 3:
                raise self._volume.corrupt(f"an entry of directory {number} does not fit into its inode")
            yield int.from_bytes(data[node_end - width : node_end], "big"), data[position + 3 : end]
            position = node_end

    def _in_blocks(self, number: int, inode: xfs.Inode) -> Iterator[tuple[int, bytes]]:
        damage: ImageError | None = None
        failed = 0
        step = max(1, _CHUNK // self._block_bytes)
        total = inode.size // self._block_bytes
        todo = [(first, min(step, total - first)) for first in range(0, total, step)][::-1]
        while todo:
            first, count = todo.pop()
            try:
                blocks = self._raw_blocks(number, inode, first * self._per_block, count)
            except (CorruptStructure, TruncatedRead) as error:
                damage, failed = damage or error, failed + 1
                if failed > _MOST_FAILED:
                    break
                if count > 1:  # one of them; the others are read one by one
                    todo += [(index, 1) for index in reversed(range(first, first + count))]
                continue
            for index, (offset, raw) in enumerate(blocks, first):
                if offset is None:
                    continue
                try:
                    self._volume.verify(raw, xfs.DIRECTORY_DATA, offset, number)
                    yield from self._entries(number, index, raw)
                except CorruptStructure as error:
                    damage = damage or error
        if damage is not None:
            raise damage

    def _raw_blocks(self, number: int, inode: xfs.Inode, first: int, count: int) -> list[tuple[int | None, bytes]]:
        """Return place and bytes of directory blocks from the filesystem block `first` on; no place for a hole."""
        size, what = self._volume.superblock.block_bytes, f"directory {number}"
        pieces: list[bytes] = []
        places: dict[int, int] = {}
        for run in runs(self._volume, number, inode, first, count * self._per_block):
            if run.block is None:
                pieces.append(bytes(run.blocks * size))
                continue
            offset = self._volume.offset_of(run.block, run.blocks, what)
            pieces.append(self._volume.device.read_at(offset, run.blocks * size))
            for block in range(
                -(-(run.first - first) // self._per_block) * self._per_block, run.first - first + run.blocks
            ):
                places[block] = offset + (block - run.first + first) * size
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return [
            (places.get(index * self._per_block), data[index * self._block_bytes : (index + 1) * self._block_bytes])
            for index in range(count)
        ]

    def _kept_block(self, number: int, inode: xfs.Inode, block: int, header: xfs.BlockHeader) -> bytes:
        """Return the directory block at a filesystem block of the directory, verified, and keep it."""
        key = ("directory", number, block)
        data = self._volume.kept(key)
        if data is None:
            ((offset, data),) = self._raw_blocks(number, inode, block, 1)
            if offset is None:
                raise self._volume.corrupt(f"directory {number} refers to its block {block}, which is a hole")
            self._volume.verify(data, header, offset, number)
            self._volume.keep(key, data)
        return data

    def _entries(self, number: int, index: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the entries of one block; each carries its own place at its end."""
        end = len(data)
        if data[:4] == xfs.DIRECTORY_BLOCK_MAGIC[self._has_checksums]:
            (hashes,) = struct.unpack_from(">I", data, end - 8)
            end -= 8 + 8 * hashes
        elif data[:4] != xfs.DIRECTORY_DATA_MAGIC[self._has_checksums]:
            raise self._volume.corrupt(f"block {index} of directory {number} has no magic")
        position = xfs.DIRECTORY_DATA_HEADER[self._has_checksums]
        if end < position:
            raise self._volume.corrupt(f"block {index} of directory {number} has more hashes than room")
        while position < end:
            tag, length = struct.unpack_from(">2H", data, position)
            if tag == xfs.DIRECTORY_FREE:
                entry = None
            else:
                entry, length = self._entry(number, index, data, position)
            if length < 8 or length % 8 or position + length > end:
                raise self._volume.corrupt(
                    f"the entry at byte {position} of block {index} of directory {number} has the length {length}"
                )
            if entry is not None:
                yield entry
            position += length

    def _entry(self, number: int, index: int, data: bytes, position: int) -> tuple[tuple[int, bytes], int]:
        """Return inode and name, and the entry's length, of the entry at a place of a block."""
        length = 0
        if position + 16 <= len(data):
            name_end = position + 9 + data[position + 8]
            length = (name_end + self._type_bytes + 2 - position + 7) // 8 * 8
            if name_end > position + 9 and position + length <= len(data):
                (tag,) = struct.unpack_from(">H", data, position + length - 2)
                if tag == position:
                    node = int.from_bytes(data[position : position + 8], "big")
                    return (node, data[position + 9 : name_end]), length
        raise self._volume.corrupt(f"the entry at byte {position} of block {index} of directory {number} is damaged")

    def _by_hash(self, number: int, inode: xfs.Inode, name: bytes) -> tuple[int, bytes] | None:
        """Find a folded name by its hash: in the only block, at whose end the hashes stand, or through the tree."""
        wanted = xfs.name_hash(name)
        first = self._kept_block(number, inode, 0, xfs.DIRECTORY_DATA)
        if first[:4] == xfs.DIRECTORY_BLOCK_MAGIC[self._has_checksums]:
            return self._among(number, inode, self._pairs(number, 0, first), wanted, name)[0]
        block = self._leaf_for(number, inode, wanted)
        for _ in range(_SAME_HASH_BLOCKS):
            if not block:
                return None
            leaf = self._kept_block(number, inode, block, xfs.DIRECTORY_INDEX)
            if struct.unpack_from(">H", leaf, 8)[0] not in xfs.DIRECTORY_LEAF_MAGICS[self._has_checksums]:
                raise self._volume.corrupt(f"block {block} of directory {number} is no leaf of its hash tree")
            found, is_over = self._among(number, inode, self._pairs(number, block, leaf), wanted, name)
            if found is not None or is_over:
                return found
            (block,) = struct.unpack_from(">I", leaf)  # the leaf behind it may go on with the same hash
        raise self._volume.corrupt(f"the hash tree of directory {number} does not end")

    def _among(
        self, number: int, inode: xfs.Inode, pairs: _Pairs, wanted: int, name: bytes
    ) -> tuple[tuple[int, bytes] | None, bool]:
        """Return the entry of a name among hashes and addresses, and whether a larger hash follows."""
        for index in range(pairs.first(wanted), pairs.amount):
            hashed, address = pairs.at(index)
            if hashed != wanted:
                return None, True
            found = self._at_address(number, inode, address)
            if found is not None and self._folded(found[1]) == name:
                return found, True
        return None, False

    def _leaf_for(self, number: int, inode: xfs.Inode, wanted: int) -> int:
        """Return the block of the first leaf that may have a hash, 0 when none has."""
        block = xfs.DIRECTORY_INDEX_START // self._volume.superblock.block_bytes
        above = xfs.DIRECTORY_NODE_DEPTH + 1
        while True:
            node = self._kept_block(number, inode, block, xfs.DIRECTORY_INDEX)
            (magic,) = struct.unpack_from(">H", node, 8)
            if magic != xfs.DIRECTORY_NODE_MAGIC[self._has_checksums]:
                return block
            (level,) = struct.unpack_from(">H", node, xfs.DIRECTORY_INDEX_COUNT[self._has_checksums] + 2)
            if not 0 < level < above:
                raise self._volume.corrupt(
                    f"block {block} of the hash tree of directory {number} has the level {level}"
                )
            above = level
            pairs = self._pairs(number, block, node)
            index = pairs.first(wanted)
            if index >= pairs.amount:
                return 0
            block = pairs.at(index)[1]

    def _pairs(self, number: int, block: int, data: bytes) -> _Pairs:
        """Return the hashes of a block."""
        if block:
            (count,) = struct.unpack_from(">H", data, xfs.DIRECTORY_INDEX_COUNT[self._has_checksums])
            start = xfs.DIRECTORY_INDEX_HEADER[self._has_checksums]
        else:
            (count,) = struct.unpack_from(">I", data, len(data) - 8)
            start = len(data) - 8 - 8 * count
        if start < 0 or start + 8 * count > len(data):
            raise self._volume.corrupt(f"block {block} of directory {number} has {count} hashes")
        return _Pairs(data, start, count)

    def _at_address(self, number: int, inode: xfs.Inode, address: int) -> tuple[int, bytes] | None:
        """Return the entry at an address of the hash tree (in units of 8 bytes), None for that of a deleted one."""
        if not address:
            return None
        index, position = divmod(address * 8, self._block_bytes)
        if address * 8 >= inode.size:
            raise self._volume.corrupt(f"the hash tree of directory {number} refers to an entry beyond its end")
        data = self._kept_block(number, inode, index * self._per_block, xfs.DIRECTORY_DATA)
        return self._entry(number, index, data, position)[0]
