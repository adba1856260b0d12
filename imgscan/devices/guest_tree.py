"""A guest's files by path: symbolic links and mounts are followed inside the guest, and nowhere else.

No path of the guest ever becomes a path of the host: a tree only asks its filesystems for nodes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from imgscan.devices.filesystem import Entry, FileSystem, NamesAlone
from imgscan.devices.limits import GUEST_FILE_BYTES, PATH_DEPTH, SYMLINKS
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart
from imgscan.model.evidence import AtPath, at_path
from imgscan.model.text import shown

_LOOKUPS_KEPT: Final = 4096
_DIRECTORIES_KEPT: Final = 256
_MADE_FOR_MOUNTS: Final = -1
"""The node of a directory that is on no filesystem: systemd makes it so that something can be mounted below."""


class Unreadable(msgspec.Struct, frozen=True):
    """What is mounted where a filesystem should be that could not be opened; asking for anything below raises."""

    volume: str
    error: ImageError


class Subtree(msgspec.Struct, frozen=True):
    """A part of a filesystem, mounted by itself: `root` is its node, `path` where that lies from the volume's root."""

    filesystem: FileSystem
    root: int
    path: str

    @property
    def volume(self) -> str:
        """The name of the volume."""
        return self.filesystem.volume


class Location(msgspec.Struct, frozen=True):
    """Where a path leads: `path` is the guest path with all links followed (but the last, when it was not).

    `path_in_volume` is the same from the root of the filesystem that it lies on.
    """

    filesystem: FileSystem
    entry: Entry
    path: str
    path_in_volume: str

    def evidence(self, line: int = 0) -> AtPath:
        """Return the evidence that names this file, by volume and path there (`disk0/p1`, `/grub/grub.cfg`)."""
        return at_path(self.filesystem.volume, self.path_in_volume, line)


class Lost(msgspec.Struct, frozen=True):
    """What could not be read of a directory: the name of a mount, or empty for the rest of the directory's entries."""

    name: str
    error: ImageError


class GuestTree:
    r"""The guest's root and what is mounted below it.

    `mounts` maps mount points (`/`, `/boot`, ...) to filesystems or parts of them. `drives` maps drive letters (`C`)
    to mount points, for the targets of Windows links (``\??\C:\Users``).
    """

    def __init__(
        self, mounts: Mapping[str, FileSystem | Subtree | Unreadable], drives: Mapping[str, str] | None = None
    ) -> None:
        self.mounts = {_normal(point): filesystem for point, filesystem in mounts.items()}
        self._points = sorted(self.mounts)
        self._drives = {"C": "/"} if drives is None else dict(drives)
        self._lookups: OrderedDict[tuple[int, int, str], Entry | None] = OrderedDict()
        self._roots: dict[str, Location] = {}
        self._parents: dict[str, tuple[Location, ...]] = {}

    def mount(self, point: str, filesystem: FileSystem | Subtree | Unreadable) -> None:
        """Mount one more; one that was there before is hidden."""
        point = _normal(point)
        if point not in self.mounts:
            insort(self._points, point)
        self.mounts[point] = filesystem
        self._roots.pop(point, None)
        self._parents.clear()
        self._lookups.clear()  # its keys are identities, and what was hidden may be gone

    def find(self, path: str, *, follow: bool = True) -> Location | None:
        """Return where a path leads, None when it is not there (also when a link on the way leads nowhere).

        `follow` is whether a link at the end is followed; those on the way always are. `..` at the root stays there.

        :raises LimitExceeded: too many links or components
        :raises ImageError: a directory or mount on the way cannot be read
        """
        if "\0" in path:
            return None
        directory, _, last = path.rpartition("/")
        parents = self._parents.get(directory)
        if parents is not None and last not in {"", ".", ".."}:
            todo, at = [last], list(parents)
        else:
            todo = [part for part in reversed(path.split("/")) if part not in {"", "."}]
            at = [self._mounted("/")]
        links = 0
        is_first = True
        while todo:
            if len(todo) + len(at) > PATH_DEPTH:
                raise LimitExceeded(f"the path has more than {PATH_DEPTH} components", where=shown(path))
            name = todo.pop()
            if not todo and is_first:
                is_first = False
                if name == last:
                    self._keep_parents(directory, at)
            if name == "..":
                at = at[:-1] or at
                continue
            here = at[-1]
            step = self._step(here, name)
            if step is None:
                return None
            if step.entry.kind == "symlink" and (todo or follow):
                links += 1
                if links > SYMLINKS:
                    raise LimitExceeded(f"more than {SYMLINKS} symbolic links to follow", where=shown(path))
                target = self._target(step)
                if target.startswith("/"):
                    del at[1:]
                todo.extend(part for part in reversed(target.split("/")) if part not in {"", "."})
                continue
            at.append(step)
        return at[-1]

    def _keep_parents(self, directory: str, at: list[Location]) -> None:
        """Remember the way to a directory: readers ask for many files of a few."""
        if len(self._parents) >= _DIRECTORIES_KEPT:
            self._parents.clear()
        self._parents[directory] = tuple(at)

    def resolve(self, path: str, *, follow: bool = True) -> Location:
        """Return where a path leads, as `find`.

        :raises MissingPart: it is not there
        """
        found = self.find(path, follow=follow)
        if found is None:
            raise MissingPart(f"there is no {shown(path)} in the guest", where=self._root_volume())
        return found

    def exists(self, path: str) -> bool:
        """Whether the path leads somewhere."""
        return self.find(path) is not None

    def stat(self, path: str, *, follow: bool = True) -> Entry:
        """Return what is known of a file; raises as `resolve`."""
        return self.resolve(path, follow=follow).entry

    def list(self, path: str) -> Iterator[Entry]:
        """Yield the entries of a directory; one whose name no path can have comes escaped, as `other`.

        :raises MissingPart: there is no such directory
        """
        place = self.resolve(path)
        if place.entry.kind != "directory":
            raise MissingPart(f"{shown(path)} is a {place.entry.kind}, not a directory", where=place.filesystem.volume)
        if place.entry.node != _MADE_FOR_MOUNTS:
            yield from self._entries(place)

    def names(self, path: str) -> Sequence[str]:
        """Return the names in a directory, as stored; by one look at it where the filesystem can do that.

        :raises MissingPart: there is no such directory
        """
        place = self.resolve(path)
        if place.entry.kind == "directory" and isinstance(place.filesystem, NamesAlone):
            return place.filesystem.names(place.entry.node)
        return [entry.name for entry in self.list(path)]

    def below(self, place: Location) -> Iterator[Location | Lost]:
        """Yield what is in a directory that was found, in on-disk order, mounts in place of what they hide.

        What cannot be read is yielded as lost: a mount by its name, and the rest of the directory under an empty name.
        """
        prefix = place.path.rstrip("/")
        mounted = {
            point.removeprefix(f"{prefix}/").partition("/")[0]
            for point in self._points
            if point != "/" and point.startswith(f"{prefix}/")
        }
        try:
            if place.entry.node != _MADE_FOR_MOUNTS:
                for entry in self._entries(place):
                    if entry.name not in mounted:
                        below = f"{place.path_in_volume.rstrip('/')}/{entry.name}"
                        yield Location(place.filesystem, entry, f"{prefix}/{entry.name}", below)
        except ImageError as error:
            yield Lost("", error)
        for name in sorted(mounted):
            try:
                step = self._step(place, name)
            except ImageError as error:
                yield Lost(name, error)
            else:
                if step is not None:
                    yield step

    def _entries(self, place: Location) -> Iterator[Entry]:
        for entry in place.filesystem.list(place.entry.node):
            if "/" in entry.name or "\0" in entry.name:
                name = entry.name.replace("/", "\\x2f").replace("\0", "\\x00")
                yield msgspec.structs.replace(entry, name=name, kind="other")
            else:
                yield entry

    def read(self, path: str, limit: int = GUEST_FILE_BYTES) -> bytes:
        """Return the whole content of a file.

        :raises MissingPart: there is no such file
        :raises LimitExceeded: it is larger than `limit` bytes; nothing is cut silently
        """
        return read_file(self.resolve(path), limit)

    def read_text(self, path: str, limit: int = GUEST_FILE_BYTES) -> str:
        """Return the whole content of a text file, as `read` (UTF-8 with surrogateescape; UTF-16 with its mark)."""
        return decode(self.read(path, limit))

    def readlink(self, path: str) -> str:
        """Return a symbolic link's target, as stored.

        :raises MissingPart: it is no link
        """
        place = self.resolve(path, follow=False)
        if place.entry.kind != "symlink":
            raise MissingPart(f"{shown(path)} is no symbolic link", where=place.filesystem.volume)
        return place.filesystem.readlink(place.entry.node)

    def _root_volume(self) -> str:
        return self.mounts["/"].volume

    def _mounted(self, point: str) -> Location:
        root = self._roots.get(point)
        if root is None:
            root = self._roots[point] = self._root_of(point)
        return root

    def _root_of(self, point: str) -> Location:
        filesystem = self.mounts[point]
        if isinstance(filesystem, Unreadable):
            error = filesystem.error
            raise type(error)(f"{shown(point)} cannot be read: {error.message}", where=error.where, offset=error.offset)
        part = filesystem if isinstance(filesystem, Subtree) else Subtree(filesystem, filesystem.root, "/")
        root = part.filesystem.stat(part.root)
        if root.kind != "directory":
            raise CorruptStructure(f"its root is a {root.kind}, not a directory", where=part.volume)
        return Location(part.filesystem, msgspec.structs.replace(root, name=point.rpartition("/")[2]), point, part.path)

    def _step(self, here: Location, name: str) -> Location | None:
        """Return the entry `name` of a directory, or what is mounted there; None when there is none."""
        if here.entry.kind != "directory":
            return None
        path = f"{here.path.rstrip('/')}/{name}"
        if path in self.mounts:
            return self._mounted(path)
        key = (id(here.filesystem), here.entry.node, name)
        if here.entry.node == _MADE_FOR_MOUNTS:
            entry = None
        elif key in self._lookups:
            self._lookups.move_to_end(key)
            entry = self._lookups[key]
        else:
            entry = self._lookups[key] = here.filesystem.lookup(here.entry.node, name)
            if len(self._lookups) > _LOOKUPS_KEPT:
                self._lookups.popitem(last=False)
        if entry is None:
            at = bisect_left(self._points, f"{path}/")
            is_above_mount = at < len(self._points) and self._points[at].startswith(f"{path}/")
            made = Entry(_MADE_FOR_MOUNTS, name, "directory", 0)
            below = f"{here.path_in_volume.rstrip('/')}/{name}"
            return Location(here.filesystem, made, path, below) if is_above_mount else None
        path = f"{here.path.rstrip('/')}/{entry.name}"
        if path in self.mounts:  # the name differed in case only
            return self._mounted(path)
        return Location(here.filesystem, entry, path, f"{here.path_in_volume.rstrip('/')}/{entry.name}")

    def _target(self, link: Location) -> str:
        r"""Return a link's target as a path of this tree; Windows targets (``\??\C:\Users``) are translated."""
        target = link.filesystem.readlink(link.entry.node)
        if link.filesystem.type != "ntfs" or ("\\" not in target and target[1:2] != ":"):
            return target
        path = target.removeprefix("\\??\\").removeprefix("\\\\?\\")
        if path[1:2] == ":":
            point = self._drives.get(path[0].upper())
            if point is not None:
                return f"{point.rstrip('/')}/{path[2:]}".replace("\\", "/")
        elif path == target:
            return path.replace("\\", "/")
        raise MissingPart(f"{shown(link.path)} leads to {shown(target)}, which is not known", where=self._root_volume())


def read_file(place: Location, limit: int = GUEST_FILE_BYTES) -> bytes:
    """Return the whole content of a file.

    :raises MissingPart: it is no regular file
    :raises LimitExceeded: it is larger than `limit` bytes
    """
    volume = place.filesystem.volume
    if place.entry.kind != "file":
        raise MissingPart(f"{shown(place.path)} is a {place.entry.kind}, not a file", where=volume)
    if place.entry.size > limit:
        raise LimitExceeded(
            f"{shown(place.path)} is {place.entry.size} bytes large; at most {limit} are read", where=volume
        )
    return place.filesystem.read(place.entry.node, 0, place.entry.size)


def decode(data: bytes) -> str:
    """Return text: UTF-8 with surrogateescape, or UTF-16 when it begins with that byte order mark."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _normal(point: str) -> str:
    """Return a mount point as a tree names it: absolute, without doubled or trailing slashes."""
    return "/" + "/".join(part for part in point.split("/") if part not in {"", "."})
