"""Content of large ext2/3 files without extents, by position.

TSK lists all blocks of such a file before it reads one, holes too, in time that grows with the square of their
number: the sparse /var/log/lastlog of a healthy machine takes it hours.
Source: the Linux kernel's Documentation/filesystems/ext4 (ifork.rst, "Direct/Indirect Block Addressing").
"""

from __future__ import annotations

import struct
from array import array
from collections import OrderedDict
from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure
from imgscan.filesystems.ext import Superblock
from imgscan.filesystems.ext_inode import Inode

_DIRECT: Final = 12
_TABLES_KEPT: Final = 64


class BlockMap:
    """Reads through direct and indirect blocks; the last tables of pointers are kept."""

    def __init__(self, device: BlockDevice, volume: str, superblock: Superblock) -> None:
        self._device = device
        self._volume = volume
        self._size = superblock.block_size
        self._blocks = superblock.blocks
        self._tables: OrderedDict[int, array[int]] = OrderedDict()

    def read(self, inode: Inode, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, fewer only at the file's end; holes are zeros.

        :raises CorruptStructure: a block lies beyond the filesystem's end
        """
        length = min(length, inode.size - offset)
        if length <= 0 or offset < 0:
            return b""
        pointers = struct.unpack("<15I", inode.map)
        first, last = offset // self._size, (offset + length - 1) // self._size
        pieces = []
        for number in range(first, last + 1):
            block = self._block(pointers, number)
            pieces.append(self._device.read_at(block * self._size, self._size) if block else bytes(self._size))
        start = offset - first * self._size
        return b"".join(pieces)[start : start + length]

    def _block(self, pointers: tuple[int, ...], number: int) -> int:
        """Return where a block of a file lies, 0 for a hole."""
        if number < _DIRECT:
            return self._checked(pointers[number])
        number -= _DIRECT
        per_table = self._size // 4
        for level in (1, 2, 3):
            span = per_table**level
            if number < span:
                block = self._checked(pointers[_DIRECT + level - 1])
                while block and level:
                    span //= per_table
                    level -= 1  # noqa: PLW2901 - counts down to the data
                    block = self._checked(self._table(block)[number // span])
                    number %= span
                return block
            number -= span
        raise CorruptStructure("a file is larger than its blocks can reach", where=self._volume)

    def _table(self, block: int) -> array[int]:
        table = self._tables.get(block)
        if table is None:
            table = array("I", self._device.read_at(block * self._size, self._size))
            self._tables[block] = table
            if len(self._tables) > _TABLES_KEPT:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(block)
        return table

    def _checked(self, block: int) -> int:
        if block >= self._blocks:
            raise CorruptStructure(f"a file's block {block} lies beyond the filesystem's end", where=self._volume)
        return block
