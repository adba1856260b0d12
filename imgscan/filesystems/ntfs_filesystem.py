"""NTFS: content through TSK; directory indices and reparse points by `ntfs`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry
from imgscan.devices.limits import DIRECTORY_BYTES, MIB, SYMLINK_BYTES
from imgscan.errors import CorruptStructure, EncryptedData, LimitExceeded, UnsupportedFormat
from imgscan.filesystems import ntfs, ntfs_log
from imgscan.filesystems.bitmap import clear_bits
from imgscan.filesystems.tsk import NODES_KEPT, TskFileSystem
from imgscan.model.volume import Free

if TYPE_CHECKING:
    from imgscan.filesystems.wof import CompressedFile

_DATA: Final = 0x80
_COMPRESSED_KEPT: Final = 8
"""Compressed files whose last chunks stay in memory."""
_ENCRYPTED: Final = 0x10
"""TSK_FS_ATTR_ENC."""
NTFS_BITMAP_BYTES: Final = 256 * MIB
"""The largest $Bitmap that is counted (8 TiB in 4 KiB clusters)."""


class _Attribute(msgspec.Struct, frozen=True):
    """An NTFS attribute; `flags` are TSK's."""

    type: int
    id: int
    name: bytes
    size: int
    flags: int


class NtfsFileSystem(TskFileSystem):
    """NTFS."""

    def __init__(self, device: BlockDevice, volume: str, content: str) -> None:
        super().__init__(device, volume, content)
        self._attributes_kept: dict[int, tuple[_Attribute, ...]] = {}
        self._compressed: OrderedDict[int, CompressedFile] = OrderedDict()

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, compared without case; found by descending the index."""
        with self._placed(directory):
            found = self._index(directory).find(name)
        return None if found is None else self._entry(found.node, found.name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        reparse = self._reparse_data(node)
        algorithm = ntfs.wof_algorithm(reparse) if reparse is not None else None
        if algorithm is not None:
            return self._read_compressed(node, algorithm, offset, length)
        why = ntfs.why_no_content(reparse) if reparse is not None else None
        if why is not None:
            raise UnsupportedFormat(f"node {node}: {why}", where=self.volume)
        if any(found.flags & _ENCRYPTED for found in self._attributes(node) if found.type == _DATA and not found.name):
            raise EncryptedData(f"node {node} is encrypted by Windows (EFS)", where=self.volume)
        return super().read(node, offset, length)

    def _read_compressed(self, node: int, algorithm: int, offset: int, length: int) -> bytes:
        """Return content that Windows keeps compressed by the system."""
        from imgscan.filesystems import wof  # noqa: PLC0415 - few volumes have such files

        file = self._compressed.get(node)
        if file is None:
            stream = next((a for a in self._attributes(node) if a.type == _DATA and a.name == wof.STREAM), None)
            if stream is None:
                raise CorruptStructure(f"node {node}: its compressed content is not there", where=self.volume)
            size = int(self._file(node).info.meta.size)

            def read(at: int, count: int) -> bytes:
                return self._content(node, at, count, _DATA, stream.id)

            file = self._compressed[node] = wof.CompressedFile(algorithm, size, stream.size, read)
            if len(self._compressed) > _COMPRESSED_KEPT:
                self._compressed.popitem(last=False)
        try:
            return file.read(offset, length)
        except CorruptStructure as error:
            raise CorruptStructure(f"node {node}: {error.message}", where=self.volume) from error

    def readlink(self, node: int) -> str:
        """Return a symbolic link's or junction's target, as stored."""
        target = self._target(node)
        if target is None:
            raise CorruptStructure(f"node {node} is no symbolic link", where=self.volume)
        return target

    def free(self) -> Free:
        """Return the free space."""
        clusters, size = self._clusters(), int(self._tsk.info.block_size)
        if clusters // 8 > NTFS_BITMAP_BYTES:
            raise LimitExceeded(f"its $Bitmap is {clusters // 8} bytes large", where=self.volume)
        free = clear_bits(clusters, lambda offset, length: self._content(ntfs.NODE_BITMAP, offset, length)) * size
        return Free(free, free, None)

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return self._clusters() // 8

    def condition(self) -> str | None:
        """Return how it was left, by the flags of $Volume and by its journal."""
        phrases: list[str] = []
        otherwise = None
        for found in self._attributes(ntfs.NODE_VOLUME):
            if found.type == ntfs.VOLUME_INFORMATION and found.size >= 12:
                otherwise = "clean"
                flags = self._content(ntfs.NODE_VOLUME, 10, 2, ntfs.VOLUME_INFORMATION, found.id)
                if flags[0] & ntfs.VOLUME_IS_DIRTY:
                    phrases.append("not cleanly unmounted")
        try:
            if ntfs_log.is_to_be_replayed(partial(self._content, ntfs_log.NODE_LOGFILE)):
                phrases.append("its journal has to be replayed")
        except (CorruptStructure, UnsupportedFormat) as error:
            if not phrases:
                raise type(error)(error.message, where=error.where or self.volume) from error
        return "; ".join(phrases) or otherwise

    def _clusters(self) -> int:
        return int(self._tsk.info.block_count)

    def _entry(self, node: int, name: str) -> Entry:
        entry = super()._entry(node, name)
        if entry.kind in {"file", "directory"} and self._target(node) is not None:
            return msgspec.structs.replace(entry, kind="symlink")
        return entry

    def _names(self, directory: int) -> Iterator[tuple[int, str]]:
        with self._placed(directory):
            for entry in self._index(directory):
                own = directory == self.root and entry.node < ntfs.FIRST_USER_NODE
                if not entry.is_dos and not own:
                    yield entry.node, entry.name

    def _index(self, directory: int) -> ntfs.DirectoryIndex:
        named = {found.type: found for found in self._attributes(directory) if found.name == b"$I30"}
        root, allocation = named.get(ntfs.INDEX_ROOT), named.get(ntfs.INDEX_ALLOCATION)
        if root is None:
            raise CorruptStructure("it has no directory index", where=self.volume)
        size = allocation.size if allocation else 0
        if max(root.size, size) > DIRECTORY_BYTES:
            raise LimitExceeded(f"directory {directory} is {size} bytes large", where=self.volume)

        def read_block(offset: int, length: int) -> bytes:
            return self._content(directory, offset, length, ntfs.INDEX_ALLOCATION, allocation.id if allocation else 0)

        content = self._content(directory, 0, root.size, ntfs.INDEX_ROOT, root.id)
        return ntfs.DirectoryIndex(content, size, int(self._tsk.info.block_size), read_block)

    def _target(self, node: int) -> str | None:
        """Return where a link leads, None when the node is none."""
        reparse = self._reparse_data(node)
        if reparse is not None:
            return ntfs.link_target(reparse)
        file = self._file(node)
        size = int(file.info.meta.size)
        if not 8 < size <= SYMLINK_BYTES or not self._file_attributes(node) & ntfs.FILE_SYSTEM or size % 2:
            return None
        data = self._content(node, 0, size)
        if not data.startswith(ntfs.INTERIX_LINK):
            return None
        return data[8:].decode("utf-16-le", "surrogatepass")

    def _reparse_data(self, node: int) -> bytes | None:
        for found in self._attributes(node):
            if found.type == ntfs.REPARSE_POINT:
                if found.size > SYMLINK_BYTES:
                    raise LimitExceeded(
                        f"the reparse point of node {node} is {found.size} bytes long", where=self.volume
                    )
                return self._content(node, 0, found.size, ntfs.REPARSE_POINT, found.id)
        return None

    def _file_attributes(self, node: int) -> int:
        """Return the flags of $STANDARD_INFORMATION."""
        for found in self._attributes(node):
            if found.type == ntfs.STANDARD_INFORMATION and found.size >= 36:
                return int.from_bytes(self._content(node, 32, 4, ntfs.STANDARD_INFORMATION, found.id), "little")
        return 0

    def _attributes(self, node: int) -> tuple[_Attribute, ...]:
        """Return the attributes of a record; those of the last ones are kept."""
        found = self._attributes_kept.get(node)
        if found is None:
            file = self._file(node)
            with self._translated(f"the attributes of node {node} cannot be read"):
                found = tuple(
                    _Attribute(
                        int(a.info.type), int(a.info.id), a.info.name or b"", int(a.info.size), int(a.info.flags)
                    )
                    for a in file
                )
            if len(self._attributes_kept) >= NODES_KEPT:
                self._attributes_kept.clear()
            self._attributes_kept[node] = found
        return found

    @contextmanager
    def _placed(self, directory: int) -> Iterator[None]:
        """Say which directory an error of its index is about."""
        try:
            yield
        except (CorruptStructure, LimitExceeded) as error:
            if error.where:
                raise
            raise type(error)(f"directory {directory}: {error.message}", where=self.volume) from error
