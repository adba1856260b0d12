"""A boot menu as all loaders have it: entries made of commands. GRUB legacy, GRUB 2 and BLS are read into this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import KIB

CONFIGURATION_BYTES: Final = 512 * KIB
"""A boot loader's configuration file."""
ENTRIES: Final = 1024
"""Entries and submenus of one boot menu."""


class Command(msgspec.Struct, frozen=True):
    """A command and its arguments; `line` counts from 1, `is_literal` is whether no variable stands in its words."""

    words: tuple[str, ...]
    line: int
    is_literal: bool = True

    @property
    def name(self) -> str:
        """The command itself."""
        return self.words[0]


class BootEntry(msgspec.Struct):
    """An entry, or a submenu when it has `children`. `id` is what a default may name besides the title."""

    title: str
    line: int
    path: str = ""
    id: str = ""
    classes: frozenset[str] = frozenset()
    commands: list[Command] = msgspec.field(default_factory=list)
    children: list[BootEntry] | None = None

    def first(self, *names: str) -> Command | None:
        """Return the first command of one of these names."""
        return next((command for command in self.commands if command.name in names), None)


class BootConfiguration(msgspec.Struct):
    """What a configuration file says: `default` is a number, an id or a title, with `>` for entries of submenus.

    `once` is a default for the next start only. `lacks_saved_entry` is whether the default is to be the saved entry,
    and none is saved; `has_loader_entries` whether files of /boot/loader/entries are in the menu. `timeout` is in
    seconds, -1 for ever. `default_is_known` is False when a file that may choose the default could not be read.
    """

    entries: list[BootEntry] = msgspec.field(default_factory=list)
    commands: list[Command] = msgspec.field(default_factory=list)
    default: str = "0"
    once: str | None = None
    fallback: str | None = None
    timeout: int | None = None
    lacks_saved_entry: bool = False
    default_is_known: bool = True
    has_loader_entries: bool = False

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
        entry = self._named() or (self.entries[0] if self.entries else None)
        while entry is not None and entry.children is not None:
            entry = entry.children[0] if entry.children else None
        return entry

    @property
    def default_is_there(self) -> bool:
        """Whether the menu has what `default` means."""
        return self._named() is not None and not self.lacks_saved_entry

    def _named(self) -> BootEntry | None:
        """Return the entry or submenu that the default names, None when the menu has no such one."""
        level, chosen = self.entries, None
        for part in (self.once or self.default).replace(">>", "\0").split(">"):
            chosen = _named(level, part.replace("\0", ">").strip())
            if chosen is None:
                break
            level = chosen.children or []
        return chosen


def _named(level: list[BootEntry], name: str) -> BootEntry | None:
    if name.isdecimal() and len(name) < 6:
        return level[int(name)] if int(name) < len(level) else None
    return next((entry for entry in level if name and name in {entry.id, entry.title}), None)


def seconds(text: str) -> int | None:
    """Return a timeout, -1 for ever; None for what is no number."""
    digits = text.strip().removeprefix("-")
    if not digits.isdecimal() or len(digits) > 9:
        return None
    return -1 if text.strip().startswith("-") else int(digits)
