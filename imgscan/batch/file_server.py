"""Opens for a worker the files that it asks for, under the host-file policy, and remembers which they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from imgscan.batch.protocol import Answer, Ask, OpenedFile, pack_error, pack_text, unpack_text
from imgscan.batch.share import FileStamp
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.host_files import HostFiles
from imgscan.errors import CorruptStructure, ImgscanError, LimitExceeded, ReadFailed

ASKED: Final = 100_000
"""Questions of one worker; a descriptor of 16384 extents asks less than twice as many."""
PARENTS: Final = 64
"""Candidates for one parent that are passed on."""


class Opener(Protocol):
    """Opens the paths that the user gave (`imgscan.devices.host_files.LocalGivenFiles`)."""

    def open(self, path: str, counter: IoCounter) -> tuple[FileDevice, HostFiles]:
        """Open a given path, with the files that it may refer to."""
        ...

    def close(self) -> None:
        """Close every file."""
        ...


class FileServer:
    """The files of one worker, at most `most`. `opened` are those that it got, with their stamp at that time."""

    def __init__(self, opener: Opener, paths: Sequence[str], most: int) -> None:
        self._opener = opener
        self._paths = paths
        self._most = most
        self._scopes: list[HostFiles] = []
        self._asked = 0
        self._given: dict[int, tuple[FileDevice, HostFiles]] = {}
        self.opened: dict[FileIdentity, tuple[FileDevice, FileStamp]] = {}

    def answer(self, payload: bytes) -> tuple[Answer, list[int]]:
        """Return the answer to a worker's message, and the descriptors that go with it."""
        try:
            ask = msgspec.msgpack.decode(payload, type=Ask)
            self._asked += 1
            if self._asked > ASKED:
                raise LimitExceeded(f"more than {ASKED} files were asked for")
            found = self._found(ask)
            files = tuple(self._opened(device, host) for device, host in found)
            return Answer(files), [device.fileno() for device, _ in found]
        except ImgscanError as error:
            return Answer(error=pack_error(error)), []
        except OSError as error:  # of the folder or the open file itself: a network mount that went away
            return Answer(error=pack_error(ReadFailed(f"the host could not open it: {error.strerror}"))), []
        except (msgspec.MsgspecError, IndexError, ValueError):
            return Answer(error=pack_error(CorruptStructure("a question that makes no sense"))), []

    def _found(self, ask: Ask) -> list[tuple[FileDevice, HostFiles]]:
        if ask.number < 0:
            raise IndexError
        if ask.what == "given":
            if ask.number not in self._given:  # asked again, it is not opened again: descriptors are few
                self._given[ask.number] = self._opener.open(self._paths[ask.number], IoCounter())
            return [self._given[ask.number]]
        host = self._scopes[ask.number]
        if ask.what == "extent":
            return [(host.extent(unpack_text(ask.name)), host)]
        if ask.what == "parents":
            return host.parents(unpack_text(ask.name))[:PARENTS]
        raise ValueError(ask.what)

    def _opened(self, device: FileDevice, host: HostFiles) -> OpenedFile:
        self._scopes.append(host)
        _, stamp = self.opened.setdefault(device.identity, (device, _stamp(device)))
        if len(self.opened) > self._most:
            raise LimitExceeded(f"it is made of more than {self._most} files")
        identity, scope = device.identity, len(self._scopes) - 1
        modified = stamp.mtime_ns / 1e9
        return OpenedFile(pack_text(device.name), device.size, modified, identity.device, identity.inode, scope)

    def changed(self) -> str | None:
        """Return the name of a file that was changed since it was opened, None when all are as they were."""
        return next((device.name for device, before in self.opened.values() if _is_changed(device, before)), None)

    def close(self) -> None:
        """Close every file."""
        self._opener.close()


def _is_changed(device: FileDevice, before: FileStamp) -> bool:
    try:
        return _stamp(device) != before
    except OSError:  # the host does not know it any more
        return True


def _stamp(device: FileDevice) -> FileStamp:
    info = os.fstat(device.fileno())
    return FileStamp(info.st_size, info.st_mtime_ns, info.st_ino, info.st_dev)
