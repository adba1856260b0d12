"""A configuration file of the guest with the place it was read from, so that each line can be evidence."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import MIB
from imgscan.errors import LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath
from imgscan.model.text import shown

CONFIG_BYTES: Final = 1 * MIB
"""A configuration file of a service or firewall."""
CONFIG_FILES: Final = 1024
"""Files of one folder of configuration."""
CONFIGS_BYTES: Final = 4 * MIB
"""What is read together for one question."""
PATTERNS: Final = 256
"""Paths and patterns that the files of one configuration name."""
_WILDCARDS: Final = frozenset("*?[")


class ConfigFile(msgspec.Struct, frozen=True):
    """`path` is where it was asked for, `place` where that led to."""

    path: str
    place: Location
    text: str

    def at(self, line: int = 0) -> AtPath:
        """Return a line as evidence, counted from 1; 0 is the whole file."""
        return self.place.evidence(line)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the lines without blanks around them, with their numbers from 1."""
        for number, line in enumerate(self.text.split("\n"), 1):
            yield number, line.strip()

    def joined_lines(self, glue: str = "", comments: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
        """Yield the lines, those that end with a backslash joined with the next, by the number of the first.

        Lines that begin with one of `comments` are left out, also between joined ones.
        """
        pieces: list[str] = []
        first = 0
        for number, line in self.lines():
            if comments and line.startswith(comments):
                continue
            first = first if pieces else number
            pieces.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                yield first, glue.join(pieces)
                pieces = []
        if pieces:
            yield first, glue.join(pieces)


class Line(msgspec.Struct, frozen=True):
    """A line of a file, or a part of it that says one thing."""

    text: str
    file: ConfigFile
    number: int

    @property
    def where(self) -> AtPath:
        """The line as evidence."""
        return self.file.at(self.number)


def read_config(tree: GuestTree, path: str) -> ConfigFile | None:
    """Return a file, None when it is not there.

    :raises ImageError: it cannot be read, or is no text
    """
    place = tree.find(path)
    return None if place is None else _config_at(path, place)


def is_empty_device(place: Location) -> bool:
    """Whether a path leads to /dev/null, by which a file of a package is switched off: programs read nothing there."""
    return place.path == "/dev/null" and place.entry.kind == "device"


def _config_at(path: str, place: Location) -> ConfigFile:
    if is_empty_device(place):
        return ConfigFile(path, place, "")
    if place.entry.kind != "file":
        raise MissingPart(f"{shown(path)} is a {place.entry.kind}, not a file", where=place.filesystem.volume)
    return ConfigFile(path, place, read_text(place, CONFIG_BYTES))


def first_config(tree: GuestTree, *paths: str) -> ConfigFile | None:
    """Return the first file that is there; raises as `read_config`."""
    for path in paths:
        found = read_config(tree, path)
        if found is not None:
            return found
    return None


def names_in(tree: GuestTree, folder: str) -> list[str]:
    """Return the names in a folder in the order of their bytes; empty when there is no such folder.

    :raises LimitExceeded: there are more than `CONFIG_FILES`
    :raises ImageError: it cannot be read
    """
    place = tree.find(folder)
    if place is None or place.entry.kind != "directory":
        return []
    names: list[str] = []
    for entry in tree.list(folder):
        if len(names) >= CONFIG_FILES:
            raise LimitExceeded(f"{shown(folder)} has more than {CONFIG_FILES} entries", where=place.filesystem.volume)
        names.append(entry.name)
    return sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


class Configs:
    """The files of one configuration: what is read of them together is limited, for links can make one file many."""

    def __init__(self, tree: GuestTree) -> None:
        self.tree = tree
        self._names: dict[str, list[str]] = {}
        self._left = CONFIGS_BYTES
        self._patterns = 0

    def read(self, path: str) -> ConfigFile | None:
        """Return a file, None when it is not there.

        :raises LimitExceeded: it and those before it are larger than `CONFIGS_BYTES`
        :raises ImageError: it cannot be read, or is no text
        """
        place = self.tree.find(path)
        if place is None:
            return None
        self._left -= place.entry.size
        if self._left < 0:
            raise LimitExceeded(f"it and the files beside it are larger than {CONFIGS_BYTES} bytes", where=shown(path))
        return _config_at(path, place)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, which is read once; as `names_in`."""
        if folder not in self._names:
            self._names[folder] = names_in(self.tree, folder)
        return self._names[folder]

    def matching(self, pattern: str) -> list[str]:
        """Return the paths that a pattern of glob(7) means, in the order of their names; a plain path is its own.

        :raises UnsupportedFormat: its folders are a pattern too
        :raises LimitExceeded: more than `PATTERNS` were asked for
        """
        self._patterns += 1
        if self._patterns > PATTERNS:
            raise LimitExceeded(
                f"the configuration names more than {PATTERNS} files and patterns", where=shown(pattern)
            )
        folder, _, name = pattern.rpartition("/")
        if _WILDCARDS & set(folder) or "\\" in pattern:
            raise UnsupportedFormat("the pattern is not followed", where=shown(pattern))
        if not _WILDCARDS & set(name):
            return [pattern]
        matches = re.compile(fnmatch.translate(name)).match
        return [
            f"{folder}/{each}"
            for each in self.names(folder)
            if matches(each) and (not each.startswith(".") or name.startswith("."))
        ]
