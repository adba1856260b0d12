"""The host-file policy: the only place where a name from an image, or from the user, becomes an open file.

A path that the user typed may be a link or a block device. A name that an image gives is looked up as a bare name in
the image's own folder (extents), or by its last component there and in the folders the user allowed (parents); only
regular files are opened, read-only, without following links.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.errors import AccessRefused, ImageError, MissingPart, ReadFailed, UsageError
from imgscan.model.text import shown


class HostFiles(Protocol):
    """The files that one image may refer to.

    A worker without file access asks its supervisor behind the same protocol.
    """

    def extent(self, name: str) -> FileDevice:
        """Open a file of the image's own folder by its bare name.

        :raises AccessRefused: the name holds a folder, or is no regular file, or may not be read
        :raises MissingPart: there is no such file
        """
        ...

    def parents(self, hint: str) -> list[tuple[FileDevice, HostFiles]]:
        r"""Open the candidates for a parent, each with the files that it may itself refer to.

        The last component of `hint` after ``/`` or ``\\`` is looked up in the own folder, then in the search folders.
        The list is empty when there is none; the caller checks the identity. A candidate that may not be read is
        left out only when another can be.

        :raises AccessRefused: candidates exist, and none may be opened
        """
        ...


class LocalHostFiles:
    """`HostFiles` on the local file system. Keeps what it opened, and closes it all in `close`."""

    def __init__(
        self, folder: Path, search: tuple[Path, ...], counter: IoCounter, opened: list[FileDevice] | None = None
    ) -> None:
        self._folder = folder
        self._search = search
        self._counter = counter
        self._opened: list[FileDevice] = [] if opened is None else opened

    def extent(self, name: str) -> FileDevice:
        """Open a file of the own folder by its bare name."""
        if "/" in name or "\\" in name or name in {"", ".", ".."} or "\0" in name:
            raise AccessRefused(f"the image names {shown(name)!r}, which is not a bare file name; it was not opened")
        return self._open(self._folder, name)

    def parents(self, hint: str) -> list[tuple[FileDevice, HostFiles]]:
        """Open the candidates for a parent."""
        name = hint.replace("\\", "/").rsplit("/", 1)[-1]
        if name in {"", ".", ".."} or "\0" in name:
            return []
        found: list[tuple[FileDevice, HostFiles]] = []
        refused: ImageError | None = None
        for folder in dict.fromkeys((self._folder, *self._search)):
            try:
                device = self._open(folder, name)
            except MissingPart:
                continue
            except ImageError as error:
                refused = error
                continue
            found.append((device, LocalHostFiles(folder, self._search, self._counter, self._opened)))
        if not found and refused is not None:
            raise refused
        return found

    def _open(self, folder: Path, name: str) -> FileDevice:
        # O_NONBLOCK: opening a FIFO must not wait; it has no effect on regular files.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if not stat.S_ISREG(info.st_mode):
                    raise AccessRefused("it is not a regular file; it was not opened", where=shown(name))
                descriptor = os.open(name, flags, dir_fd=directory)
            finally:
                os.close(directory)
        except FileNotFoundError as error:
            raise MissingPart("there is no such file beside the image", where=shown(name)) from error
        except (OSError, UnicodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "the name cannot be a file name"
            raise AccessRefused(f"it may not be opened: {reason}", where=shown(name)) from error
        return self._keep(descriptor, name)

    def _keep(self, descriptor: int, name: str) -> FileDevice:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            os.close(descriptor)
            raise AccessRefused("it is not a regular file; it was not opened", where=shown(name))
        device = FileDevice(descriptor, name, info.st_size, FileIdentity(info.st_dev, info.st_ino), self._counter)
        self._opened.append(device)
        return device

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened through this object, the given one included."""
        return frozenset(device.identity for device in self._opened)

    def close(self) -> None:
        """Close every file that was opened through this object."""
        while self._opened:
            self._opened.pop().close()


def open_given(path: Path, search: tuple[Path, ...], counter: IoCounter) -> tuple[FileDevice, LocalHostFiles]:
    """Open a path that the user typed (it may be a link, or a block device), with the files it may refer to.

    The own folder is that of the file itself, after links.

    :raises UsageError: there is no such file, or it is a folder or another thing that is no image
    :raises AccessRefused: it may not be read
    """
    where = str(path)
    try:
        real = path.resolve(strict=True)
        info = real.stat()
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISBLK(info.st_mode)):
            what = "a folder" if stat.S_ISDIR(info.st_mode) else "neither a file nor a block device"
            raise UsageError(f"it is {what}; give the disk image's path", where=where)
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise UsageError("there is no such file; check the path", where=where) from error
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AccessRefused(f"it cannot be opened: {reason}", where=where) from error
    host = LocalHostFiles(real.parent, search, counter)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
    except OSError as error:
        os.close(descriptor)
        raise ReadFailed(f"its size cannot be read: {error.strerror}", where=where) from error
    identity = FileIdentity(info.st_rdev if stat.S_ISBLK(info.st_mode) else info.st_dev, info.st_ino)
    device = FileDevice(descriptor, real.name, size, identity, counter)
    host._opened.append(device)  # noqa: SLF001 - same module: the given file is closed with the others
    return device, host
