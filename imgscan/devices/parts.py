"""Parts: which piece of a machine is being read, so that a failure takes that piece and nothing else.

A part is a piece that can be left out: ``image 0``, ``partitions disk0``, ``signature disk0/p1``,
``filesystem disk0/p1``, ``layer lvm2``, ``boot``, ``systems``, ``system disk0/p1``, ``environment disk0/p1``,
``access disk0/p1``. Whoever watches is told each part as it begins, and can name the one in which a process died; read
again, that part is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from imgscan.devices.filesystem import Entry, FileSystem, NamesAlone, Subvolume, SubvolumeFileSystem
from imgscan.errors import ERRORS, ImgscanError, LimitExceeded, ParserFailed, Why
from imgscan.model.volume import Free


class Parts:
    """Tells `watch` the part that is being read; those in `left_out` raise instead, with why and detail.

    `failures` are bugs of imgscan's own that were contained, each in one line.
    """

    def __init__(
        self, watch: Callable[[str], None] | None = None, left_out: Mapping[str, tuple[Why, str]] | None = None
    ) -> None:
        self._watch = watch or (lambda _: None)
        self._left_out = left_out or {}
        self._current = ""
        self.failures: list[str] = []

    def reading(self, part: str) -> _Reading:
        """Name the part that a block reads; the inner one counts. A bug in there becomes an error of this part.

        :raises ImageError: the part is left out (as the block begins), or reading it failed (as it ends)
        """
        return _Reading(self, part)

    def begin(self, part: str) -> str:
        """Name the part that is being read from now on; return the one before.

        :raises ImageError: it is left out
        """
        if part in self._left_out:
            why, detail = self._left_out[part]
            raise ERRORS[why](detail)
        outer, self._current = self._current, part
        self._watch(part)
        return outer

    def end(self, outer: str) -> None:
        """Go back to the part before."""
        self._current = outer
        self._watch(outer)


class _Reading:
    """The block that reads a part; no generator, since every look into a filesystem is one."""

    __slots__ = ("_outer", "_part", "_parts")

    def __init__(self, parts: Parts, part: str) -> None:
        self._parts = parts
        self._part = part
        self._outer = ""

    def __enter__(self) -> None:
        self._outer = self._parts.begin(self._part)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._parts.end(self._outer)
        if error is None or isinstance(error, ImgscanError) or not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError):
            raise LimitExceeded("reading it needs more memory than one machine may use") from error
        what = f"{type(error).__name__}: {error}"  # whatever it is, the other parts are still read
        self._parts.failures.append(f"{self._part}: {what}")
        raise ParserFailed(f"imgscan failed at it, please report it: {what}") from error


class WatchedFileSystem:
    """A filesystem whose every call is a part of its own: it is asked long after it was opened."""

    def __init__(self, below: FileSystem, parts: Parts) -> None:
        self._below = below
        self._parts = parts
        self._part = f"filesystem {below.volume}"
        self.volume = below.volume
        self.type = below.type
        self.case_sensitive = below.case_sensitive
        self.root = below.root

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        with self._parts.reading(self._part):
            return self._below.stat(node)

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there."""
        with self._parts.reading(self._part):
            return self._below.lookup(directory, name)

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory; the part is named while the next one is looked for."""
        with self._parts.reading(self._part):
            entries = iter(self._below.list(directory))
        while True:
            with self._parts.reading(self._part):
                entry = next(entries, None)
            if entry is None:
                return
            yield entry

    def names(self, directory: int) -> Sequence[str]:
        """Return the names in a directory, without their nodes where that can be."""
        with self._parts.reading(self._part):
            if isinstance(self._below, NamesAlone):
                return self._below.names(directory)
            return [entry.name for entry in self._below.list(directory)]

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end."""
        with self._parts.reading(self._part):
            return self._below.read(node, offset, length)

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target, as stored."""
        with self._parts.reading(self._part):
            return self._below.readlink(node)

    def free(self) -> Free:
        """Return the free space."""
        with self._parts.reading(self._part):
            return self._below.free()

    def free_cost(self) -> int:
        """Return how many bytes `free` reads, about."""
        with self._parts.reading(self._part):
            return self._below.free_cost()

    def condition(self) -> str | None:
        """Return how it was left."""
        with self._parts.reading(self._part):
            return self._below.condition()


class WatchedSubvolumeFileSystem(WatchedFileSystem):
    """The same of a filesystem with subvolumes."""

    def __init__(self, below: SubvolumeFileSystem, parts: Parts) -> None:
        super().__init__(below, parts)
        self._with_subvolumes = below
        self.default_subvolume = below.default_subvolume

    def subvolumes(self) -> Sequence[Subvolume]:
        """Return all subvolumes, the top level first, then by number."""
        with self._parts.reading(self._part):
            return self._with_subvolumes.subvolumes()

    def subvolume(self, wanted: str | int) -> Subvolume | None:
        """Return the subvolume of a path from the top level, or of a number; None when there is none."""
        with self._parts.reading(self._part):
            return self._with_subvolumes.subvolume(wanted)


def watched(filesystem: FileSystem, parts: Parts) -> WatchedFileSystem:
    """Return a filesystem that tells `parts` of every call."""
    if isinstance(filesystem, SubvolumeFileSystem):
        return WatchedSubvolumeFileSystem(filesystem, parts)
    return WatchedFileSystem(filesystem, parts)
