"""A configuration file of the guest with the place it was read from, so that each line can be evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import MIB
from imgscan.errors import LimitExceeded, MissingPart
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath
from imgscan.model.text import shown

CONFIG_BYTES: Final = 1 * MIB
"""A configuration file of a service or firewall."""
CONFIG_FILES: Final = 1024
"""Files of one folder of configuration."""


class ConfigFile(NamedTuple):
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


def read_config(tree: GuestTree, path: str) -> ConfigFile | None:
    """Return a file, None when it is not there.

    :raises ImageError: it cannot be read, or is no text
    """
    place = tree.find(path)
    if place is None:
        return None
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
