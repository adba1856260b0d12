"""Files of ext2/3/4, NTFS, FAT and exFAT through The Sleuth Kit; the only importer of pytsk3.

TSK finds nodes and reads their content; `ext_filesystem`, `ntfs_filesystem` and `fat_filesystem` build on this.
Directories of ext and NTFS they read themselves, from the content that TSK returns: TSK loads the metadata of every
name that it lists, and keeps deleted ones.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pytsk3

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.devices.limits import DIRECTORY_ENTRIES, SYMLINK_BYTES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, TruncatedRead, UnsupportedFormat
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
NODES_KEPT: Final = 512
"""Nodes whose objects stay in memory."""
_DIRECTORIES_KEPT: Final = 32
_NAMES_KEPT: Final = 4096
"""Directories whose names stay in memory, and how many names one may have for that."""
_TYPES: Final[dict[str, int]] = {
    "ext2": int(pytsk3.TSK_FS_TYPE_EXT_DETECT),
    "ext3": int(pytsk3.TSK_FS_TYPE_EXT_DETECT),
    "ext4": int(pytsk3.TSK_FS_TYPE_EXT_DETECT),
    "ntfs": int(pytsk3.TSK_FS_TYPE_NTFS_DETECT),
    "vfat": int(pytsk3.TSK_FS_TYPE_FAT_DETECT),
    "exfat": int(pytsk3.TSK_FS_TYPE_EXFAT),
}
"""What TSK calls libblkid's types."""


class _Image(pytsk3.Img_Info):  # type: ignore[misc] # pytsk3 has no types
    """A device as TSK reads it. An `ImageError` cannot pass through TSK: it is kept in `error`."""

    def __init__(self, device: BlockDevice) -> None:
        self.device = device
        self._size = device.size  # asked for at every read
        self.error: ImageError | None = None
        super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

    def get_size(self) -> int:
        """Return the size in bytes; called by TSK."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes that TSK asks for, as far as the device goes; called by TSK."""
        try:
            return self.device.read_at(offset, max(0, min(length, self._size - offset)))
        except ImageError as error:
            self.error = error
            raise

    def close(self) -> None:
        """Nothing to close: the device belongs to the caller."""


class TskFileSystem(ABC):
    """What all filesystems that TSK reads have in common; directories as TSK lists them (FAT, exFAT)."""

    case_sensitive = False

    def __init__(self, device: BlockDevice, volume: str, content: str) -> None:
        """Open it.

        :raises ImageError: the volume cannot be read, or what it holds is damaged
        """
        self.volume = volume
        self.type = content
        self._device = device
        self._image = _Image(device)
        self._files: OrderedDict[int, Any] = OrderedDict()
        self._searched: OrderedDict[int, _SearchedDirectory] = OrderedDict()
        with self._translated(f"the {content} filesystem cannot be opened"):
            self._tsk = pytsk3.FS_Info(self._image, 0, _TYPES[content])
            self.root = int(self._tsk.info.root_inum)

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        return self._entry(node, "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there."""
        searched = self._searched.get(directory)
        if searched is None:
            searched = self._searched[directory] = _SearchedDirectory(self._names(directory), self._folded)
            if len(self._searched) > _DIRECTORIES_KEPT:
                self._searched.popitem(last=False)
        else:
            self._searched.move_to_end(directory)
        found = searched.find(self._folded(name))
        if searched.seen > _NAMES_KEPT:
            del self._searched[directory]
        return None if found is None else self._entry(*found)

    def _folded(self, name: str) -> str:
        """Return a name as the filesystem compares it."""
        return name if self.case_sensitive else name.casefold()

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory; one whose node is damaged comes as `other`, with size 0."""
        for node, name in self._names(directory):
            try:
                entry = self._entry(node, name)
            except (CorruptStructure, TruncatedRead):
                entry = Entry(node, name, "other", 0, links=0)
            yield entry

    def names(self, directory: int) -> Sequence[str]:
        """Return the names in a directory alone."""
        return [name for _, name in self._names(directory)]

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
            if len(self._files) > NODES_KEPT:
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


class _SearchedDirectory:
    """A directory's names, as far as they were read when some were looked up: readers ask for many of a few."""

    def __init__(self, names: Iterator[tuple[int, str]], folded: Callable[[str], str]) -> None:
        self._rest: Iterator[tuple[int, str]] | None = names
        self._folded = folded
        self._found: dict[str, tuple[int, str]] = {}
        self._error: ImageError | None = None

    @property
    def seen(self) -> int:
        """How many names are kept."""
        return len(self._found)

    def find(self, wanted: str) -> tuple[int, str] | None:
        """Return the first entry of a folded name, None when there is none; what was read of it before is not lost.

        :raises ImageError: the directory cannot be read, or not on, and the name was not met before
        """
        found = self._found.get(wanted)
        while found is None and self._rest is not None:
            try:
                node, name = next(self._rest)
            except StopIteration:
                self._rest = None
            except ImageError as error:
                self._rest, self._error = None, error
            else:
                folded = self._folded(name)
                self._found.setdefault(folded, (node, name))
                found = (node, name) if folded == wanted else None
        if found is None and self._error is not None:
            raise self._error.with_traceback(None)
        return found


def _reason(error: Exception) -> str:
    """Return TSK's own words without the names of its functions."""
    text = re.sub(r"^\w+: \([\w.]+:\d+\) ", "", str(error)).partition("\n")[0]
    return re.sub(r"\b[a-z0-9]+(_[a-z0-9]+)+: ", "", text)
