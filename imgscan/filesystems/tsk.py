"""Files of ext2/3/4, NTFS, FAT and exFAT through The Sleuth Kit; the only importer of pytsk3.

TSK finds nodes and reads their content. Directories of ext and NTFS are read by imgscan itself (`ext`, `ntfs`)
from the content that TSK returns: TSK loads the metadata of every name that it lists, and keeps deleted ones.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytsk3

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.devices.limits import DIRECTORY_BYTES, DIRECTORY_ENTRIES, KIB, MIB, SYMLINK_BYTES
from imgscan.errors import CorruptStructure, EncryptedData, ImageError, LimitExceeded, UnsupportedFormat
from imgscan.filesystems import ext, fat, ntfs
from imgscan.filesystems.bitmap import clear_bits
from imgscan.filesystems.ext_block_map import BlockMap
from imgscan.filesystems.ext_inode import Inodes
from imgscan.model.volume import Free

_KINDS: Final[dict[int, EntryKind]] = {
    int(pytsk3.TSK_FS_META_TYPE_REG): "file",
    int(pytsk3.TSK_FS_META_TYPE_DIR): "directory",
    int(pytsk3.TSK_FS_META_TYPE_LNK): "symlink",
    int(pytsk3.TSK_FS_META_TYPE_CHR): "device",
    int(pytsk3.TSK_FS_META_TYPE_BLK): "device",
    int(pytsk3.TSK_FS_META_TYPE_FIFO): "fifo",
    int(pytsk3.TSK_FS_META_TYPE_SOCK): "socket",
}
_ALLOCATED: Final = int(pytsk3.TSK_FS_NAME_FLAG_ALLOC)
_VIRTUAL_DIRECTORY: Final = int(pytsk3.TSK_FS_NAME_TYPE_VIRT_DIR)
_VIRTUAL_NAME: Final = re.compile(
    r"^\$(MBR|FAT[12]|ALLOC_BITMAP|UPCASE_TABLE|TEX_FAT|VOLUME_GUID|ACT)$| \(Volume Label Entry\)$|^\$OrphanFiles$"
)
"""What TSK calls structures of FAT and exFAT that it lists like files."""
_DATA: Final = 0x80
_ENCRYPTED: Final = 0x10
"""TSK_FS_ATTR_ENC."""
_CHUNK: Final = 64 * KIB
NTFS_BITMAP_BYTES: Final = 256 * MIB
"""The largest $Bitmap that is counted (8 TiB in 4 KiB clusters)."""
_NODES_KEPT: Final = 512


class _Attribute(NamedTuple):
    """An NTFS attribute; `flags` are TSK's."""

    type: int
    id: int
    name: bytes
    size: int
    flags: int


class _Image(pytsk3.Img_Info):  # type: ignore[misc] # pytsk3 has no types
    """A device as TSK reads it. An `ImageError` cannot pass through TSK: it is kept in `error`."""

    def __init__(self, device: BlockDevice) -> None:
        self.device = device
        self.error: ImageError | None = None
        super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

    def get_size(self) -> int:
        """Return the size in bytes; called by TSK."""
        return self.device.size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes that TSK asks for, as far as the device goes; called by TSK."""
        try:
            return self.device.read_at(offset, max(0, min(length, self.device.size - offset)))
        except ImageError as error:
            self.error = error
            raise

    def close(self) -> None:
        """Nothing to close: the device belongs to the caller."""


class TskFileSystem(ABC):
    """What all filesystems that TSK reads have in common; directories as TSK lists them (FAT, exFAT)."""

    case_sensitive = False

    def __init__(self, device: BlockDevice, volume: str, content: str, tsk_type: int) -> None:
        """Open it.

        :raises ImageError: the volume cannot be read, or what it holds is damaged
        """
        self.volume = volume
        self.type = content
        self._device = device
        self._image = _Image(device)
        self._attributes_kept: dict[int, tuple[_Attribute, ...]] = {}
        self._files: OrderedDict[int, Any] = OrderedDict()
        with self._translated(f"the {content} filesystem cannot be opened"):
            self._tsk = pytsk3.FS_Info(self._image, 0, tsk_type)
            self.root = int(self._tsk.info.root_inum)

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        return self._entry(node, "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there."""
        wanted = self._folded(name)
        for node, found in self._names(directory):
            if self._folded(found) == wanted:
                return self._entry(node, found)
        return None

    def _folded(self, name: str) -> str:
        """Return a name as the filesystem compares it."""
        return name if self.case_sensitive else name.casefold()

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory; one whose node is damaged comes as `other`, with size 0."""
        for node, name in self._names(directory):
            try:
                entry = self._entry(node, name)
            except CorruptStructure:
                entry = Entry(node, name, "other", 0, links=0)
            yield entry

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        file = self._file(node)
        length = min(length, int(file.info.meta.size) - offset)
        return self._content(node, offset, length) if length > 0 and offset >= 0 else b""

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target, as stored."""
        meta = self._file(node).info.meta
        size = int(meta.size)
        if size > SYMLINK_BYTES:
            raise LimitExceeded(f"the target of symbolic link {node} is {size} bytes long", where=self.volume)
        target = self._content(node, 0, size) if meta.link is None else bytes(meta.link)  # None: not in the inode
        return target.decode("utf-8", "surrogateescape")

    @abstractmethod
    def free(self) -> Free:
        """Return the free space."""

    @abstractmethod
    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""

    def condition(self) -> str | None:
        """Return how it was left; not known here."""
        return None

    def _entry(self, node: int, name: str) -> Entry:
        meta = self._file(node).info.meta
        return Entry(
            node,
            name,
            _KINDS.get(int(meta.type), "other"),
            int(meta.size),
            int(meta.mode) & 0o7777,
            int(meta.mtime) + int(meta.mtime_nano) / 1e9,
            int(meta.uid),
            int(meta.gid),
            int(meta.nlink),
        )

    def _names(self, directory: int) -> Iterator[tuple[int, str]]:
        """Yield node and name of every entry that exists, without `.` and `..`."""
        for node, name in self._listed(directory):
            if name not in {".", ".."} and not _VIRTUAL_NAME.search(name):
                yield node, name

    def _listed(self, directory: int) -> Sequence[tuple[int, str]]:
        """Return the directory as TSK lists it, without deleted entries and the folder of orphans."""
        with self._translated(f"directory {directory} cannot be read"):
            entries = self._tsk.open_dir(inode=directory)
            if entries.size > DIRECTORY_ENTRIES:
                raise LimitExceeded(f"directory {directory} has {entries.size} entries", where=self.volume)
            names = [entry.info.name for entry in entries]
            return [
                (int(name.meta_addr), name.name.decode("utf-8", "surrogateescape"))
                for name in names
                if int(name.flags) & _ALLOCATED and int(name.type) != _VIRTUAL_DIRECTORY
            ]

    def _file(self, node: int) -> Any:
        """Return TSK's object of a node; the last ones are kept."""
        file = self._files.get(node)
        if file is None:
            with self._translated(f"node {node} cannot be read"):
                file = self._tsk.open_meta(inode=node)
            if file.info.meta is None:
                raise CorruptStructure(f"node {node} cannot be read", where=self.volume)
            self._files[node] = file
            if len(self._files) > _NODES_KEPT:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(node)
        return file

    def _content(self, node: int, offset: int, length: int, *attribute: int) -> bytes:
        """Return exactly `length` bytes of a node's content, or of its NTFS attribute of a type and id."""
        file = self._file(node)
        if length == 0:
            return b""
        with self._translated(f"the content of node {node} cannot be read at offset {offset}"):
            data = bytes(file.read_random(offset, length, *attribute))
        if len(data) != length:
            raise CorruptStructure(
                f"the content of node {node} ends after {offset + len(data)} bytes, though its size is larger",
                where=self.volume,
            )
        return data

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn TSK's errors into `CorruptStructure`, and the device's own error back into itself."""
        self._image.error = None
        try:
            yield
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
            if self._image.error is not None:
                raise self._image.error from None
            reason = _reason(error)
            kind = UnsupportedFormat if "not supported" in reason.lower() else CorruptStructure
            raise kind(f"{what}: {reason}", where=self.volume) from error
        if self._image.error is not None:  # TSK went on without the data
            raise self._image.error


def _reason(error: Exception) -> str:
    """Return TSK's own words without the names of its functions."""
    text = re.sub(r"^\w+: \([\w.]+:\d+\) ", "", str(error)).partition("\n")[0]
    return re.sub(r"\b[a-z0-9]+(_[a-z0-9]+)+: ", "", text)


class FatFileSystem(TskFileSystem):
    """FAT12, FAT16, FAT32."""

    def free(self) -> Free:
        """Return the free space."""
        return fat.free_fat(self._device, self.volume)

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return fat.fat_cost(self._device, self.volume)


class ExfatFileSystem(TskFileSystem):
    """ExFAT."""

    def free(self) -> Free:
        """Return the free space."""
        bitmap = next((node for node, name in self._listed(self.root) if name == "$ALLOC_BITMAP"), None)
        if bitmap is None:
            raise CorruptStructure("the exFAT root directory has no allocation bitmap", where=self.volume)
        return fat.free_exfat(self._device, self.volume, lambda offset, length: self._content(bitmap, offset, length))

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return fat.read_exfat_geometry(self._device, self.volume).clusters // 8


class ExtFileSystem(TskFileSystem):
    """Ext2, ext3, ext4."""

    case_sensitive = True

    def __init__(self, device: BlockDevice, volume: str, content: str, tsk_type: int) -> None:
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
        super().__init__(device, volume, content, tsk_type)

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
        damage: CorruptStructure | None = None
        for offset in range(0, size, max(block_size, _CHUNK)):
            chunk = self._content(directory, offset, min(max(block_size, _CHUNK), size - offset))
            for start in range(0, len(chunk), block_size):
                try:
                    for node, name in ext.directory_block(chunk[start : start + block_size]):
                        if name not in {b".", b".."}:
                            yield node, name.decode("utf-8", "surrogateescape")
                except CorruptStructure as error:
                    damage = error
        if damage is not None:
            raise CorruptStructure(f"directory {directory}: {damage.message}", where=self.volume)


class NtfsFileSystem(TskFileSystem):
    """NTFS."""

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, compared without case; found by descending the index."""
        with self._placed(directory):
            found = self._index(directory).find(name)
        return None if found is None else self._entry(found.node, found.name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        tag = self._reparse_tag(node)
        if tag == ntfs.TAG_WOF:
            raise UnsupportedFormat(f"node {node}: Windows keeps it compressed by the system (WOF)", where=self.volume)
        if tag is not None and ntfs.keeps_data_elsewhere(tag):
            raise UnsupportedFormat(
                f"node {node}: its data is kept elsewhere (reparse tag 0x{tag:08x})", where=self.volume
            )
        if any(found.flags & _ENCRYPTED for found in self._attributes(node) if found.type == _DATA and not found.name):
            raise EncryptedData(f"node {node} is encrypted by Windows (EFS)", where=self.volume)
        return super().read(node, offset, length)

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

    def _clusters(self) -> int:
        return int(self._tsk.info.block_count)

    def _entry(self, node: int, name: str) -> Entry:
        entry = super()._entry(node, name)
        if entry.kind in {"file", "directory"} and self._target(node) is not None:
            return entry._replace(kind="symlink")
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

    def _reparse_tag(self, node: int) -> int | None:
        data = self._reparse_data(node)
        return None if data is None else int.from_bytes(data[:4], "little")

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
            if len(self._attributes_kept) >= _NODES_KEPT:
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


_OPENERS: Final[dict[str, tuple[type[TskFileSystem], int]]] = {
    "ext2": (ExtFileSystem, int(pytsk3.TSK_FS_TYPE_EXT_DETECT)),
    "ext3": (ExtFileSystem, int(pytsk3.TSK_FS_TYPE_EXT_DETECT)),
    "ext4": (ExtFileSystem, int(pytsk3.TSK_FS_TYPE_EXT_DETECT)),
    "ntfs": (NtfsFileSystem, int(pytsk3.TSK_FS_TYPE_NTFS_DETECT)),
    "vfat": (FatFileSystem, int(pytsk3.TSK_FS_TYPE_FAT_DETECT)),
    "exfat": (ExfatFileSystem, int(pytsk3.TSK_FS_TYPE_EXFAT)),
}


def open_tsk(device: BlockDevice, volume: str, content: str) -> TskFileSystem:
    """Open ext2, ext3, ext4, ntfs, vfat or exfat (libblkid's names).

    :raises ImageError: the volume cannot be read, or what it holds is damaged
    """
    opener, tsk_type = _OPENERS[content]
    return opener(device, volume, content, tsk_type)
