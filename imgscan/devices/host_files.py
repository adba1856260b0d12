"""The host-file policy: the only place where a name from an image, or from the user, becomes an open file.

A path that the user typed may be a link or a block device. A name that an image gives is looked up as a bare name in
the image's own folder (extents), or by its last component there and in the folders the user allowed (parents); only
regular files are opened, read-only, without following links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.errors import AccessRefused, ImageError, MissingPart, ReadFailed, UsageError
from imgscan.model.text import shown

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO must not wait; it has no effect on regular files."""
_NAME_SHOWN = 200
"""Characters of a name from an image that a message shows."""
_HOST_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EINTR})
_NO_SUCH_PATH = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


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

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened through this object, the given one included."""
        ...


class GivenFiles(Protocol):
    """The paths that the user gave, as files; closed by whoever made it."""

    def open(self, path: str, counter: IoCounter) -> tuple[FileDevice, HostFiles]:
        """Open a given path, with the files that it may refer to; raises as `open_given`."""
        ...


class LocalGivenFiles:
    """`GivenFiles` on the local file system.

    Parents are looked up in the folders of all given paths too, and in those of `search`.
    """

    def __init__(self, paths: Sequence[str], search: Sequence[Path] = ()) -> None:
        from pathlib import Path  # noqa: PLC0415 - start-up time: a worker knows no path

        self._search = tuple(dict.fromkeys((*search, *(Path(path).resolve().parent for path in paths))))
        self._hosts: list[LocalHostFiles] = []

    def open(self, path: str, counter: IoCounter) -> tuple[FileDevice, LocalHostFiles]:
        """Open a given path, with the files that it may refer to."""
        from pathlib import Path  # noqa: PLC0415 - the same

        file, host = open_given(Path(path), self._search, counter)
        self._hosts.append(host)
        return file, host

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened, the given ones and those that images named."""
        return frozenset(identity for host in self._hosts for identity in host.identities())

    def close(self) -> None:
        """Close every file that was opened through this object."""
        for host in self._hosts:
            host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Folder(Protocol):
    """A folder that is not known by a path of the host, but below the root of a share. Hashable."""

    def open(self) -> int:
        """Return a handle of the folder, which the caller closes.

        :raises ImageError: it is gone, or may not be read
        """
        ...


class LocalHostFiles:
    """`HostFiles` on the local file system. Keeps what it opened, and closes it all in `close`."""

    def __init__(
        self,
        folder: Path | Folder,
        search: Sequence[Path | Folder],
        counter: IoCounter,
        opened: dict[tuple[FileIdentity, str], FileDevice] | None = None,
    ) -> None:
        self._folder = folder
        self._search = search
        self._counter = counter
        self._opened: dict[tuple[FileIdentity, str], FileDevice] = {} if opened is None else opened

    def extent(self, name: str) -> FileDevice:
        """Open a file of the own folder by its bare name."""
        if "/" in name or "\\" in name or name in {"", ".", ".."} or "\0" in name:
            raise AccessRefused(f"the image names {_named(name)!r}, which is not a bare file name; it was not opened")
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

    def _open(self, folder: Path | Folder, name: str) -> FileDevice:
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            directory = os.open(folder, flags) if isinstance(folder, os.PathLike) else folder.open()
            try:
                # Looked at before it is opened: opening a device or a tape may already do something.
                _require_regular(os.stat(name, dir_fd=directory, follow_symlinks=False), name)
                descriptor = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise _refusal(error, name, "beside the image") from error
        except ValueError as error:  # also UnicodeError: a name that no file can have
            raise AccessRefused("it may not be opened: no file can have that name", where=_named(name)) from error
        try:
            info = os.fstat(descriptor)
            _require_regular(info, name)  # it may have been exchanged in between
        except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
            os.close(descriptor)
            raise
        return self.keep(descriptor, name, info.st_size, FileIdentity(info.st_dev, info.st_ino))

    def keep(self, descriptor: int, name: str, size: int, identity: FileIdentity) -> FileDevice:
        """Own an open descriptor; a file that is open already under that name is not kept twice."""
        before = self._opened.get((identity, name))
        if before is not None:
            os.close(descriptor)
            return before
        device = FileDevice(descriptor, name, size, identity, self._counter)
        self._opened[identity, name] = device
        return device

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened through this object, the given one included."""
        return frozenset(identity for identity, _ in self._opened)

    def close(self) -> None:
        """Close every file that was opened through this object."""
        while self._opened:
            self._opened.popitem()[1].close()


def open_given(path: Path, search: tuple[Path, ...], counter: IoCounter) -> tuple[FileDevice, LocalHostFiles]:
    """Open a path that the user typed (it may be a link, or a block device), with the files it may refer to.

    The own folder is that of the file itself, after links.

    :raises UsageError: there is no such file, or it is a folder or another thing that is no image
    :raises AccessRefused: it may not be read
    """
    where = shown(str(path))
    try:
        real = path.resolve(strict=True)
        _require_openable(real.stat(), where)
        descriptor = os.open(real, _FLAGS)
    except OSError as error:
        if error.errno in _NO_SUCH_PATH:
            raise UsageError("there is no such file; check the path", where=where) from error
        raise AccessRefused(f"it cannot be opened: {error.strerror}", where=where) from error
    except (RuntimeError, ValueError) as error:  # a loop of links before Python 3.13; a NUL in the path
        raise UsageError("there is no such file; check the path", where=where) from error
    try:
        info = os.fstat(descriptor)
        _require_openable(info, where)
        size = os.lseek(descriptor, 0, os.SEEK_END)
    except OSError as error:
        os.close(descriptor)
        raise ReadFailed(f"its size cannot be read: {error.strerror}", where=where) from error
    except UsageError:
        os.close(descriptor)
        raise
    host = LocalHostFiles(real.parent, search, counter)
    identity = FileIdentity(info.st_rdev if stat.S_ISBLK(info.st_mode) else info.st_dev, info.st_ino)
    return host.keep(descriptor, real.name, size, identity), host


def _require_openable(info: os.stat_result, where: str) -> None:
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        raise UsageError(f"it is {_kind(info)}; give the disk image's path", where=where)


def _named(name: str) -> str:
    """Return a name from an image, fit to be shown and cut to a length that a message can have."""
    return shown(name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}...")


def _require_regular(info: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise AccessRefused(f"it is {_kind(info)}, not a regular file; it was not opened", where=_named(name))


def _kind(info: os.stat_result) -> str:
    for is_kind, kind in _KINDS:
        if is_kind(info.st_mode):
            return kind
    return "neither a file nor a block device"


def _refusal(error: OSError, name: str, place: str) -> ImageError:
    """Return what a failed open means: not there, not allowed, or a host that cannot."""
    if isinstance(error, FileNotFoundError):
        return MissingPart(f"there is no such file {place}", where=_named(name))
    if error.errno in _HOST_TROUBLE:
        return ReadFailed(f"the host could not open it: {error.strerror}", where=_named(name))
    return AccessRefused(f"it may not be opened: {error.strerror}", where=_named(name))
