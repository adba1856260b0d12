"""The walk over a share: every regular file, and every path that could not be looked at or was left out.

Folder by folder in natural order, the files of a folder before its subfolders, whatever order the host lists them in.
What is kept in memory is one folder's names, those of the folders still to come, and a number for each folder seen.

- Symbolic links are never followed: what one points to is found where it is, when it is on the share. A link whose
  name is that of an image is told by itself, the others are counted once for their folder.
- A folder that is met again (a bind mount, also one that makes a loop) is told and not walked again.
- Folders in which storage systems keep snapshots and deleted files (`SPECIAL_FOLDERS`) are told and left out.

**Which files are identified**: all that are not empty, whatever their names. A VMDK descriptor or an OVF can be a few
hundred bytes, and an image can have any name or none; the cost is one or two reads for each other file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from imgscan.batch.globs import Globs, States
from imgscan.batch.names import image_suffix, join, natural_key
from imgscan.batch.share import FoundFile, PathProblem
from imgscan.batch.source import ROOT, Entry, Source
from imgscan.errors import ImageError, UsageError
from imgscan.model.text import shown

FOLDER_DEPTH = 128
"""Folders below each other."""
FILES = 10_000_000
"""Files in all."""
SPECIAL_FOLDERS = frozenset(
    {
        *(".snapshot", ".snapshots", "~snapshot", "#snapshot", "@recently-snapshot", ".zfs", ".ckpt"),
        *("$recycle.bin", "recycler", "#recycle", "@recycle", ".trash", ".trashes", "lost+found"),
        *("system volume information", "@eadir", ".@__thumb"),
    }
)
"""Snapshots (NetApp, Isilon, Synology, QNAP, ZFS, Btrfs, EMC), deleted files, and what file servers keep for
themselves; in small letters. They hold what the share holds, or held, a second time."""
SPECIAL_PREFIX = ".trash-"
LINKS_NAMED = 3
"""Links that a folder's note names."""
SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"([0-9]{1,9})([mhdw])", re.ASCII)


class Filters(msgspec.Struct, frozen=True):
    """What the user left out or asked for: patterns (`imgscan.batch.globs`), and whether to walk `SPECIAL_FOLDERS` too.

    With `include`, a file is found when one of these patterns matches it or a folder above it. `exclude` comes first.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    special_folders: bool = False


class _Folder(msgspec.Struct, frozen=True):
    """A folder to list; `included` is None when all of it is, else where the patterns are on their way."""

    path: str
    depth: int
    included: States | None
    excluded: States


def discover(source: Source, filters: Filters | None = None) -> Iterator[FoundFile | PathProblem]:
    """Yield what is on a share, in natural order of the paths; nothing that is wrong with it raises.

    A `PathProblem` that is `not-collected` was left out on purpose, all others could not be looked at.

    :raises UsageError: a pattern is none
    """
    return _Walk(source, filters or Filters()).run()


def needs_identification(file: FoundFile) -> bool:
    """Whether a file's content has to be asked what it is."""
    return file.stamp.size > 0


def newer_than(text: str, now_ns: int) -> int:
    """Return the moment, in nanoseconds since 1970, that `--newer-than` names.

    `text` is a duration before `now_ns` (`90m`, `12h`, `7d`, `2w`), or a date or time of ISO 8601 (`2026-01-31`,
    `2026-01-31T18:00+01:00`), which is in UTC when it does not say otherwise.

    :raises UsageError: it is neither
    """
    duration = _DURATION.fullmatch(text)
    if duration:
        return now_ns - int(duration[1]) * SECONDS[duration[2]] * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{shown(text)!r} is neither a duration (12h, 7d, 2w) nor a date (2026-01-31)") from error
    return since_1970 // timedelta(microseconds=1) * 1000


class _Walk:
    def __init__(self, source: Source, filters: Filters) -> None:
        self._source = source
        self._special = filters.special_folders
        self._include = Globs(filters.include) if filters.include else None
        self._exclude = Globs(filters.exclude)
        self._seen: set[int] = set()
        self._files = 0

    def run(self) -> Iterator[FoundFile | PathProblem]:
        start = None if self._include is None else self._include.start
        todo = [_Folder(ROOT, 0, start, self._exclude.start)]
        while todo:
            folder = todo.pop()
            below: list[_Folder] = []
            for found in self._folder(folder, below):
                if isinstance(found, FoundFile):
                    self._files += 1
                    if self._files > FILES:
                        yield PathProblem(
                            found.path, "limit", f"the share holds more than {FILES} files; the walk ended here"
                        )
                        return
                yield found
            todo.extend(reversed(below))

    def _folder(self, folder: _Folder, below: list[_Folder]) -> Iterator[FoundFile | PathProblem]:
        """Yield a folder's files, and what is told of its other entries; put its subfolders into `below`."""
        try:
            listing = self._source.list_folder(folder.path)
        except ImageError as error:
            yield PathProblem(folder.path, error.why, f"the folder was not looked at: {error.message}")
            return
        identity = listing.identity
        number = identity.device << 64 | identity.inode
        if identity.inode and number in self._seen:
            yield PathProblem(
                folder.path, "not-collected", "this folder was met before under another path (a bind mount, or a loop)"
            )
            return
        self._seen.add(number)
        links: list[str] = []
        for entry in sorted(listing.entries, key=lambda entry: natural_key(entry.name)):
            yield from self._entry(folder, entry, below, links)
        for name, lost in sorted(listing.lost, key=lambda lost: natural_key(lost[0])):
            if self._is_wanted(folder, name):
                yield PathProblem(join(folder.path, name), lost.why, lost.message)
        if links:
            yield _links_problem(folder.path, links)

    def _entry(
        self, folder: _Folder, entry: Entry, below: list[_Folder], links: list[str]
    ) -> Iterator[FoundFile | PathProblem]:
        if entry.kind == "folder":
            yield from self._subfolder(folder, entry.name, below)
        elif not self._is_wanted(folder, entry.name):
            return
        elif entry.stamp is not None:
            yield FoundFile(join(folder.path, entry.name), entry.stamp)
        elif entry.kind != "link":
            yield PathProblem(
                join(folder.path, entry.name), "not-collected", "it is no regular file (a pipe, socket or device)"
            )
        elif image_suffix(entry.name):
            detail = "a symbolic link; links are not followed: what it points to is scanned where it is on the share"
            yield PathProblem(join(folder.path, entry.name), "not-collected", detail)
        else:
            links.append(entry.name)

    def _is_wanted(self, folder: _Folder, name: str) -> bool:
        if folder.excluded and self._exclude.step(folder.excluded, name, folder=False).matched:
            return False
        if self._include is None or folder.included is None:
            return True
        return self._include.step(folder.included, name, folder=False).matched

    def _subfolder(self, folder: _Folder, name: str, below: list[_Folder]) -> Iterator[PathProblem]:
        included, excluded = folder.included, folder.excluded
        if excluded:
            out = self._exclude.step(excluded, name, folder=True)
            if out.matched:
                return
            excluded = out.below
        if self._include is not None and included is not None:
            step = self._include.step(included, name, folder=True)
            if not step.matched and not step.below:
                return
            included = None if step.matched else step.below
        path = join(folder.path, name)
        if not self._special and is_special(name):
            detail = "a folder for snapshots, deleted files or the file server's own use; it was left out"
            yield PathProblem(path, "not-collected", detail)
        elif folder.depth >= FOLDER_DEPTH:
            yield PathProblem(path, "limit", f"the folder is more than {FOLDER_DEPTH} folders deep; it was left out")
        else:
            below.append(_Folder(path, folder.depth + 1, included, excluded))


def is_special(name: str) -> bool:
    """Whether a folder's name is one of those that are left out."""
    small = name.casefold()
    return small in SPECIAL_FOLDERS or small.startswith(SPECIAL_PREFIX)


def _links_problem(folder: str, links: Sequence[str]) -> PathProblem:
    named = ", ".join(shown(name) for name in links[:LINKS_NAMED])
    more = f" and {len(links) - LINKS_NAMED} more" if len(links) > LINKS_NAMED else ""
    return PathProblem(folder, "not-collected", f"symbolic links in this folder, not followed: {named}{more}")
