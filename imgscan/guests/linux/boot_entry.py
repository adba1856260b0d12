"""A boot menu as all loaders have it: entries made of commands. GRUB legacy, GRUB 2 and BLS are read into this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from imgscan.devices.limits import KIB

CONFIGURATION_BYTES: Final = 512 * KIB
"""A boot loader's configuration file."""
ENTRIES: Final = 1024
"""Entries and submenus of one boot menu."""


class Command(NamedTuple):
    """A command and its arguments; `line` counts from 1, `is_literal` is whether no variable stands in its words."""

    words: tuple[str, ...]
    line: int
    is_literal: bool = True

    @property
    def name(self) -> str:
        """The command itself."""
        return self.words[0]


@dataclass(slots=True)
class BootEntry:
    """An entry, or a submenu when it has `children`. `id` is what a default may name besides the title."""

    title: str
    line: int
    path: str = ""
    id: str = ""
    classes: frozenset[str] = frozenset()
    commands: list[Command] = field(default_factory=list)
    children: list[BootEntry] | None = None

    def first(self, *names: str) -> Command | None:
        """Return the first command of one of these names."""
        return next((command for command in self.commands if command.name in names), None)


@dataclass(slots=True)
class BootConfiguration:
    """What a configuration file says: `default` is a number, an id or a title, with `>` for entries of submenus."""

    entries: list[BootEntry] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    default: str = "0"

    def leaves(self) -> Iterator[BootEntry]:
        """Yield the entries that start something, those of submenus too."""
        todo = list(reversed(self.entries))
        while todo:
            entry = todo.pop()
            if entry.children is None:
                yield entry
            else:
                todo.extend(reversed(entry.children))

    def default_entry(self) -> BootEntry | None:
        """Return the entry that `default` means, the first one when it means none, as GRUB falls back."""
        level, chosen = self.entries, None
        for part in self.default.replace(">>", "\0").split(">"):
            chosen = _named(level, part.replace("\0", ">").strip())
            if chosen is None:
                break
            level = chosen.children or []
        entry = chosen or (self.entries[0] if self.entries else None)
        while entry is not None and entry.children is not None:
            entry = entry.children[0] if entry.children else None
        return entry


def _named(level: list[BootEntry], name: str) -> BootEntry | None:
    if name.isdecimal() and len(name) < 6:
        return level[int(name)] if int(name) < len(level) else None
    return next((entry for entry in level if name and name in {entry.id, entry.title}), None)
