"""Ext2, ext3 and ext4: content through TSK; superblock, inodes and directories by position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry
from imgscan.devices.limits import DIRECTORY_BYTES, KIB, SEARCHED_BYTES
from imgscan.errors import (
    CorruptStructure,
    EncryptedData,
    ImageError,
    LimitExceeded,
    TruncatedRead,
    UnsupportedFormat,
)
from imgscan.filesystems import ext
from imgscan.filesystems.ext_block_map import BlockMap
from imgscan.filesystems.ext_inode import Inodes
from imgscan.filesystems.tsk import TskFileSystem
from imgscan.model.volume import Free

_CHUNK: Final = 64 * KIB
_MOST_FAILED: Final = 256
"""Reads of one directory that may fail while the others are tried all the same."""


class ExtFileSystem(TskFileSystem):
    """Ext2, ext3, ext4."""

    case_sensitive = True

    def __init__(self, device: BlockDevice, volume: str, content: str) -> None:
        if device.size < ext.SUPERBLOCK_OFFSET + ext.SUPERBLOCK_SIZE:
            raise CorruptStructure(f"the {content} filesystem cannot be opened: it is too small", where=volume)
        try:
            superblock = ext.read_superblock(device, volume)
        except CorruptStructure as error:
            raise CorruptStructure(
                f"the {content} filesystem cannot be opened: {error.message}", where=volume, offset=error.offset
            ) from error
        for feature, is_there in (
            ("clusters (bigalloc)", superblock.cluster_size != superblock.block_size),
            ("scattered group descriptors (meta_bg)", superblock.are_descriptors_scattered),
        ):
            if is_there:
                raise UnsupportedFormat(f"{content} with {feature} is not read by this version", where=volume)
        self._inodes = Inodes(device, volume, superblock)
        self._block_map = BlockMap(device, volume, superblock)
        self._searched_bytes = 0
        super().__init__(device, volume, content)

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there.

        :raises LimitExceeded: more was searched for names than any real system makes necessary
        """
        if directory not in self._searched:
            inode = self._inodes.read(directory)
            self._searched_bytes += inode.size if inode.kind == "directory" else 0
            if self._searched_bytes > SEARCHED_BYTES:
                raise LimitExceeded(f"more than {SEARCHED_BYTES} bytes of directories were searched", where=self.volume)
        return super().lookup(directory, name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        inode = self._inodes.read(node)
        if inode.is_encrypted:
            raise EncryptedData(f"inode {node} is encrypted (fscrypt)", where=self.volume)
        if inode.kind == "file" and self._inodes.has_long_map(inode):
            return self._block_map.read(inode, offset, length)
        return super().read(node, offset, length)

    def free(self) -> Free:
        """Return the free space."""
        return ext.free_space(self._device, self.volume)

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return ext.SUPERBLOCK_SIZE

    def condition(self) -> str | None:
        """Return how it was left."""
        return ext.read_superblock(self._device, self.volume).condition

    def _entry(self, node: int, name: str) -> Entry:
        return self._inodes.read(node).entry(name)

    def _file(self, node: int) -> Any:
        if node not in self._files:
            self._inodes.check_map(self._inodes.read(node))
        return super()._file(node)

    def _names(self, directory: int) -> Iterator[tuple[int, str]]:
        inode = self._inodes.read(directory)
        if inode.kind != "directory":
            raise CorruptStructure(f"inode {directory} is a {inode.kind}, not a directory", where=self.volume)
        if inode.is_encrypted:
            raise EncryptedData(f"directory {directory} is encrypted (fscrypt)", where=self.volume)
        size, block_size = inode.size, int(self._tsk.info.block_size)
        if inode.has_inline_data and size <= ext.SUPERBLOCK_SIZE:  # the entries are in the inode
            yield from super()._names(directory)
            return
        if size % block_size:
            raise CorruptStructure(f"directory {directory} is {size} bytes large, no whole blocks", where=self.volume)
        if size > DIRECTORY_BYTES:
            raise LimitExceeded(f"directory {directory} is {size} bytes large", where=self.volume)
        damage: ImageError | None = None
        failed = 0
        step = max(block_size, _CHUNK)
        todo = [(offset, min(step, size - offset)) for offset in range(0, size, step)][::-1]
        while todo:
            offset, length = todo.pop()
            try:
                chunk = self._content(directory, offset, length)
            except (CorruptStructure, TruncatedRead) as error:
                damage, failed = damage or error, failed + 1
                if failed > _MOST_FAILED:
                    break
                if length > block_size:  # one of its blocks; the others are read one by one
                    todo += [(at, block_size) for at in reversed(range(offset, offset + length, block_size))]
                continue
            for start in range(0, len(chunk), block_size):
                try:
                    for node, name in ext.directory_block(chunk[start : start + block_size]):
                        if name not in {b".", b".."}:
                            yield node, name.decode("utf-8", "surrogateescape")
                except CorruptStructure as error:
                    damage = damage or CorruptStructure(f"directory {directory}: {error.message}", where=self.volume)
        if damage is not None:
            raise damage
