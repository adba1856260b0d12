"""The seam between the batch and where its files are: folders listed and files opened by paths relative to a root.

`LocalSource` is the only one there is. Another (an object store) offers the same protocol.

A path is opened component by component, each through the handle of the folder before it and without following links:
a link that is put in its place while the batch runs leads nowhere, and never outside the root.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, Self

import msgspec

from imgscan.batch.names import split
from imgscan.batch.share import FileStamp
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.host_files import LocalHostFiles
from imgscan.errors import AccessRefused, ImageError, LimitExceeded, MissingPart, ReadFailed, UsageError
from imgscan.model.text import shown

FOLDER_ENTRIES = 1_000_000
"""Names in one folder: a folder with more is left out as a whole, since any part of it would depend on chance."""

ROOT = "."
"""The root's own path."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOCTTY
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW
"""O_NONBLOCK: opening a FIFO must not wait; it has no effect on regular files."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP})
_NAMES_ARE_UTF8 = sys.getfilesystemencoding().lower().replace("-", "") == "utf8"

EntryKind = Literal["file", "folder", "link", "other"]


class Entry(msgspec.Struct, frozen=True):
    """A name in a folder. `stamp` is that of a regular file, None for all else."""

    name: str
    kind: EntryKind
    stamp: FileStamp | None


class Listing(msgspec.Struct, frozen=True):
    """A folder's content, in no order; `lost` are names of which nothing more could be learnt, and why."""

    identity: FileIdentity
    entries: list[Entry]
    lost: list[tuple[str, ImageError]]


class OpenedFile(msgspec.Struct, frozen=True):
    """A regular file, open for reading: `descriptor` is the caller's to close, `stamp` is what it is now."""

    descriptor: int
    stamp: FileStamp


class Source(Protocol):
    """Files below a root, by their relative path; the root is `.`. Every failure is an `ImageError`."""

    def list_folder(self, path: str) -> Listing:
        """List a folder.

        :raises ImageError: it is gone (`MissingPart`), may not be read (`AccessRefused`), could not (`ReadFailed`), or
            has more than `FOLDER_ENTRIES` names (`LimitExceeded`)
        """
        ...

    def stat(self, path: str) -> FileStamp:
        """Return a regular file's stamp.

        :raises ImageError: as for `open_file`
        """
        ...

    def open_file(self, path: str) -> OpenedFile:
        """Open a regular file for reading.

        :raises ImageError: it is gone, may not be read, or is no regular file
        """
        ...

    def open_folder(self, path: str) -> int:
        """Return a handle of a folder, which the caller closes; the host-file policy works with it.

        :raises ImageError: it is gone, or may not be read
        """
        ...


class LocalSource:
    """A folder of the host. Keeps it open until `close`, whatever becomes of its name.

    :raises UsageError: there is no such folder
    """

    def __init__(self, root: str | Path) -> None:
        where = shown(str(root))
        try:
            self._root = os.open(root, _FOLDER)  # the user's own path: it may be a link
        except (NotADirectoryError, FileNotFoundError) as error:
            raise UsageError("there is no such folder; check the path", where=where) from error
        except OSError as error:
            raise UsageError(f"the folder cannot be read: {error.strerror}", where=where) from error
        except ValueError as error:
            raise UsageError("no folder can have that name", where=where) from error

    def list_folder(self, path: str) -> Listing:
        """List a folder."""
        handle = self.open_folder(path)
        try:
            with _meaning(path):
                info = os.fstat(handle)
                entries: list[Entry] = []
                lost: list[tuple[str, ImageError]] = []
                with os.scandir(handle) as found:
                    for entry in found:
                        name = entry.name if _NAMES_ARE_UTF8 else _text(os.fsencode(entry.name))
                        if len(entries) >= FOLDER_ENTRIES:
                            raise LimitExceeded(
                                f"the folder holds more than {FOLDER_ENTRIES} names; none of them was looked at",
                                where=shown(path),
                            )
                        try:
                            entries.append(_entry(entry, name))
                        except OSError as error:
                            lost.append((name, _error(error, name)))
                return Listing(FileIdentity(info.st_dev, info.st_ino), entries, lost)
        finally:
            os.close(handle)

    def stat(self, path: str) -> FileStamp:
        """Return a regular file's stamp."""
        with self._folder_of(path) as (handle, name), _meaning(path):
            return _stamp(_regular(os.stat(name, dir_fd=handle, follow_symlinks=False), path))

    def open_file(self, path: str) -> OpenedFile:
        """Open a regular file for reading."""
        with self._folder_of(path) as (handle, name), _meaning(path):
            # Looked at before it is opened: opening a device or a tape may already do something.
            _regular(os.stat(name, dir_fd=handle, follow_symlinks=False), path)
            descriptor = os.open(name, _FILE, dir_fd=handle)
            try:
                stamp = _stamp(_regular(os.fstat(descriptor), path))  # it may have been exchanged in between
            except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
                os.close(descriptor)
                raise
            return OpenedFile(descriptor, stamp)

    def open_folder(self, path: str) -> int:
        """Return a handle of a folder, which the caller closes."""
        with _meaning(path):
            handle = os.open(".", _FOLDER, dir_fd=self._root)
        if path == ROOT:
            return handle
        try:
            for component in path.split("/"):
                with _meaning(path):
                    below = os.open(_name(component, path), _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = below
        except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
            os.close(handle)
            raise
        return handle

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, bytes]]:
        folder, name = split(path)
        raw = _name(name, path)
        handle = self.open_folder(folder)
        try:
            yield handle, raw
        finally:
            os.close(handle)

    def close(self) -> None:
        """Close the root; nothing can be opened afterwards."""
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _entry(entry: os.DirEntry[str], name: str) -> Entry:
    if entry.is_symlink():
        return Entry(name, "link", None)
    if entry.is_dir(follow_symlinks=False):
        return Entry(name, "folder", None)
    info = entry.stat(follow_symlinks=False)  # what is gone by now says so here, and what was exchanged too
    return Entry(name, "file", _stamp(info)) if stat.S_ISREG(info.st_mode) else Entry(name, "other", None)


def _stamp(info: os.stat_result) -> FileStamp:
    return FileStamp(info.st_size, info.st_mtime_ns, info.st_ino, info.st_dev)


def _regular(info: os.stat_result, path: str) -> os.stat_result:
    if not stat.S_ISREG(info.st_mode):
        raise AccessRefused("it is no regular file; it was not opened", where=shown(path))
    return info


def _name(component: str, path: str) -> bytes:
    """Return a component's bytes; the paths come from listings, but no other kind of name may ever get through."""
    if component in {"", ".", ".."} or "\0" in component or "/" in component:
        raise AccessRefused("it is no path below the root; it was not opened", where=shown(path))
    try:
        return component.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise AccessRefused("no file can have that name", where=shown(path)) from error


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@contextmanager
def _meaning(path: str) -> Iterator[None]:
    """Turn the host's errors into what they mean for a path."""
    try:
        yield
    except OSError as error:
        raise _error(error, path) from error


def _error(error: OSError, path: str) -> ImageError:
    where = shown(path)
    if error.errno in _GONE:
        return MissingPart("it is not there any more", where=where)
    if error.errno in _FORBIDDEN:
        return AccessRefused(f"it may not be read: {error.strerror}", where=where)
    return ReadFailed(f"the host could not read it: {error.strerror}", where=where)


class SourceFolder(msgspec.Struct, frozen=True):
    """A folder of a source, for the host-file policy."""

    source: Source
    path: str

    def open(self) -> int:
        """Return a handle of the folder."""
        return self.source.open_folder(self.path)


class SourceFiles:
    """The given files of one machine on a source: its disks, by their paths, and the files that they may refer to."""

    def __init__(self, source: Source, disks: Sequence[str]) -> None:
        self._source = source
        self._folders = tuple(dict.fromkeys(SourceFolder(source, split(disk)[0]) for disk in disks))
        self._hosts: list[LocalHostFiles] = []

    def open(self, path: str, counter: IoCounter) -> tuple[FileDevice, LocalHostFiles]:
        """Open a disk, with the files that it may refer to."""
        folder, name = split(path)
        opened = self._source.open_file(path)
        host = LocalHostFiles(SourceFolder(self._source, folder), self._folders, counter)
        self._hosts.append(host)
        identity = FileIdentity(opened.stamp.device, opened.stamp.inode)
        return host.keep(opened.descriptor, name, opened.stamp.size, identity), host

    def close(self) -> None:
        """Close every file that was opened."""
        for host in self._hosts:
            host.close()
