"""A host file, opened read-only, as a `BlockDevice`."""

from __future__ import annotations

import os

import msgspec

from imgscan.devices.counters import IoCounter
from imgscan.devices.device import check_range
from imgscan.errors import ChangedWhileReading, ReadFailed


class FileIdentity(msgspec.Struct, frozen=True):
    """What makes two names the same host file."""

    device: int
    inode: int


class FileDevice:
    """Reads an open file descriptor with pread; owns it, and closes it in `close`.

    `name` is the bare file name; it never holds a folder. The counter sees every read.
    """

    sector_size = 512

    def __init__(
        self,
        descriptor: int,
        name: str,
        size: int,
        identity: FileIdentity,
        counter: IoCounter,
        modified: float | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._modified = modified
        self._counter = counter
        self.name = name
        self.size = size
        self.identity = identity

    def fileno(self) -> int:
        """Return the descriptor, to be passed to a process that reads the same file."""
        return self._descriptor

    @property
    def modified(self) -> float:
        """When the host file was last written, in Unix seconds; a worker, who may not ask the host, was told."""
        return os.fstat(self._descriptor).st_mtime if self._modified is None else self._modified

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        :raises TruncatedRead: the range is not inside the file
        :raises ReadFailed: the host could not read
        :raises ChangedWhileReading: the file became shorter since it was opened
        """
        check_range(self, offset, length)
        try:
            data = os.pread(self._descriptor, length, offset)
            self._counter.count(self.name, offset, data)
            while 0 < len(data) < length:  # the kernel returns at most 2 GiB - 4 KiB at once, and network mounts less
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                self._counter.count(self.name, offset + len(data), more)
                if not more:
                    break
                data += more
        except OSError as error:
            self._counter.failed += 1
            raise ReadFailed(f"reading failed: {error.strerror}", where=self.name, offset=offset) from error
        if len(data) != length:
            raise ChangedWhileReading("the file is shorter than when it was opened", where=self.name, offset=offset)
        return data

    def close(self) -> None:
        """Close the descriptor; reading afterwards fails, and never reads the file that gets its number next."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
