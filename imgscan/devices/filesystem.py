"""The `FileSystem` protocol: a guest's files by node, without following anything.

Names are `str` decoded from UTF-8 with `surrogateescape` (bytes are never lost). Paths, symbolic links and mounts are
`imgscan.devices.guest_tree`'s: a filesystem only knows nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from imgscan.model.volume import Free

EntryKind = Literal["file", "directory", "symlink", "device", "fifo", "socket", "other"]


class Entry(msgspec.Struct, frozen=True):
    """One name of a directory, or one node; `size` in bytes, `mode` with permission bits only, `mtime` in Unix seconds.

    `name` is empty for a node that was not reached through a name.
    """

    node: int
    name: str
    kind: EntryKind
    size: int
    mode: int = 0
    mtime: float = 0
    uid: int = 0
    gid: int = 0
    links: int = 1


class FileSystem(Protocol):
    """A readable filesystem on a volume. Every method may raise an `ImageError`."""

    volume: str
    """The volume's name, for evidence."""
    type: str
    """The type name that libblkid uses: ext4, ntfs, vfat, exfat, xfs, btrfs, ..."""
    case_sensitive: bool
    root: int
    """The root directory's node."""

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        ...

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory (compared as the filesystem compares), None when it is not there."""
        ...

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory in on-disk order, without `.` and `..`."""
        ...

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        ...

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target, as stored."""
        ...

    def free(self) -> Free:
        """Return the free space."""
        ...

    def free_cost(self) -> int:
        """Return how many bytes `free` reads, about, so that a scan can leave a large bitmap alone."""
        ...

    def condition(self) -> str | None:
        """Return how it was left: `clean`, or what is wrong in a few words; None where that is not known.

        Several things are joined by `; `. What says `replayed` or `unmounted` is about changes that are still to be
        written, what says `damaged` or `errors` about damage (the rules about filesystems go by these words).
        """
        ...


@runtime_checkable
class NamesAlone(Protocol):
    """What a filesystem offers whose directories can be listed without reading the node of every name."""

    def names(self, directory: int) -> Sequence[str]:
        """Return the names in a directory in on-disk order, without `.` and `..`."""
        ...


class Subvolume(msgspec.Struct, frozen=True):
    """A tree of files inside a filesystem that can be mounted by itself (Btrfs).

    `path` leads from the top level to it, without a slash in front, and is empty for the top level itself; `parent` is
    the number of the subvolume that it lies in, None for the top level; `root` is its root directory's node.
    """

    id: int
    path: str
    root: int
    parent: int | None
    is_read_only: bool
    is_snapshot: bool


@runtime_checkable
class SubvolumeFileSystem(FileSystem, Protocol):
    """A filesystem with subvolumes; its `root` is that of the default one, which a mount without options shows."""

    default_subvolume: int
    """Its number."""

    def subvolumes(self) -> Sequence[Subvolume]:
        """Return all subvolumes, the top level first, then by number."""
        ...

    def subvolume(self, wanted: str | int) -> Subvolume | None:
        """Return the subvolume of a path from the top level, or of a number; None when there is none."""
        ...


@runtime_checkable
class SeveralDevices(Protocol):
    """What a filesystem offers that may lie on several devices."""

    missing_devices: int
    """How many of them were not given; reading what lies on them raises `MissingPart`."""
