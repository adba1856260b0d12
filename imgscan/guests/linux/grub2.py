"""grub.cfg: the menu of GRUB 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import ENTRIES, BootConfiguration, BootEntry, Command, seconds
from imgscan.guests.linux.grub2_conditions import Conditions
from imgscan.guests.linux.grub2_script import commands

_DEPTH: Final = 64
COMMANDS: Final = 65536
"""Commands of a configuration with all that it sources: one with a thousand entries has twenty thousand."""
_SOURCED_DEPTH: Final = 16
_KEYWORDS: Final = frozenset({"then", "else", "do", "!"})
_CONDITIONS: Final = frozenset({"if", "elif", "while", "until", "for", "fi", "done", "[", "test", "function"})
_OPTIONS_WITH_VALUE: Final = frozenset({"--class", "--users", "--hotkey", "--source", "--id"})


def parse_grub2(
    text: str,
    path: str,
    environment: dict[str, str],
    load: Callable[[str], tuple[str, str] | None],
    loader_entries: Callable[[dict[str, str]], list[BootEntry]],
) -> BootConfiguration:
    """Parse a grub.cfg that lies at `path`.

    `environment` holds grubenv's variables. `load` returns path and text of a file that the script sources from
    beside it, None when there is none; `loader_entries` returns what the command blscfg puts into the menu.

    :raises LimitExceeded: the menu has more entries than `ENTRIES`
    """
    reader = _Reader(environment, load, loader_entries)
    reader.read(text, path)
    return reader.configuration


class _Reader:
    def __init__(
        self,
        environment: dict[str, str],
        load: Callable[[str], tuple[str, str] | None],
        loader_entries: Callable[[dict[str, str]], list[BootEntry]],
    ) -> None:
        self.configuration = BootConfiguration()
        self._variables = dict(environment)
        self._next_entry = environment.get("next_entry")
        self._load = load
        self._loader_entries = loader_entries
        self._sourced: set[str] = set()
        self._count = 0
        self._commands = 0
        self._depth = 0

    def read(self, text: str, path: str) -> None:
        """Add what a script puts into the menu."""
        blocks: list[BootEntry | None] = []  # None: a block that is no entry (a function), or is never reached
        depths: list[int] = []  # of the conditions around each block
        conditions = Conditions()
        for command in commands(text, self._variables, path):
            self._commands += 1
            if self._commands > COMMANDS:
                raise LimitExceeded(f"the menu's script has more than {COMMANDS} commands", where=path)
            if command.name == "}":
                if blocks:
                    blocks.pop()
                    conditions.close(depths.pop())
                continue
            conditions.read(command, path)
            if command.name in _KEYWORDS and len(command.words) > 1:
                command = _unwrapped(command)  # noqa: PLW2901 - the same command
                conditions.read(command, path)
            is_reached = None not in blocks and not conditions.is_dead
            if command.words[-1] == "{":
                if len(blocks) >= _DEPTH:
                    raise LimitExceeded(f"the menu's blocks are nested deeper than {_DEPTH}", where=path)
                is_item = command.name in {"menuentry", "submenu"} and is_reached
                blocks.append(self._item(command, path, _menu_of(blocks)) if is_item else None)
                depths.append(conditions.depth)
            elif command.name not in _CONDITIONS and is_reached:
                self._command(command, blocks[-1] if blocks else None)

    def _item(self, command: Command, path: str, menu: BootEntry | None) -> BootEntry:
        self._count += 1
        if self._count > ENTRIES:
            raise LimitExceeded(f"the menu has more than {ENTRIES} entries", where=path)
        entry = _entry(command, path)
        if menu is None:
            self.configuration.entries.append(entry)
        elif menu.children is not None:
            menu.children.append(entry)
        return entry

    def _command(self, command: Command, block: BootEntry | None) -> None:
        self._set(command, at_top=block is None)
        if block is not None and block.children is None:
            block.commands.append(command)
            return
        if command.name == "blscfg":
            self.configuration.has_loader_entries = True
            entries = self._loader_entries(self._variables)
            self._count += len(entries)
            (self.configuration.entries if block is None else block.children or []).extend(entries)
        elif command.name in {"source", "."} and len(command.words) > 1:
            name = command.words[1].rpartition("/")[2]
            sourced = self._load(name) if name not in self._sourced else None
            self._sourced.add(name)
            if sourced is not None:
                if self._depth >= _SOURCED_DEPTH:
                    raise LimitExceeded(f"files source each other deeper than {_SOURCED_DEPTH}", where=sourced[0])
                self._depth += 1
                self.read(sourced[1], sourced[0])
                self._depth -= 1
        elif block is None:
            self.configuration.commands.append(command)

    def _set(self, command: Command, *, at_top: bool) -> None:
        """Remember a variable; values of unknown variables are not taken for the default."""
        words = command.words[1:] if command.name == "set" else command.words
        name, equals, value = words[0].partition("=") if words else ("", "", "")
        if not equals or not name.isidentifier():
            return
        if at_top:
            self._set_menu(name, value, is_next=not command.is_literal and value == self._next_entry)
        if "${" not in value and len(value) < 4096:
            self._variables[name] = value

    def _set_menu(self, name: str, value: str, *, is_next: bool) -> None:
        """Take what a variable says of the menu; `is_next` is whether it is grubenv's entry for the next start."""
        menu = self.configuration
        if name == "default":
            if is_next and value:
                menu.once = value
            elif value and "${" not in value:
                menu.default, menu.lacks_saved_entry = value, False
            elif "${saved_entry}" in value or not value:
                menu.default, menu.lacks_saved_entry = "0", True
        elif name == "fallback" and value and "${" not in value:
            menu.fallback = value
        elif name == "timeout":
            menu.timeout = seconds(value) if "${" not in value else menu.timeout


def _unwrapped(command: Command) -> Command:
    """Return a command without the keywords in front of it; the last word always stays."""
    most = len(command.words) - 1
    start = next((at for at, word in enumerate(command.words) if word not in _KEYWORDS or at == most), most)
    return msgspec.structs.replace(command, words=command.words[start:])


def _menu_of(blocks: list[BootEntry | None]) -> BootEntry | None:
    return next((block for block in reversed(blocks) if block is not None and block.children is not None), None)


def _entry(command: Command, path: str) -> BootEntry:
    """Return an entry or submenu from its head: title, options, and what may stand for the id."""
    classes: set[str] = set()
    plain: list[str] = []
    given_id = ""
    words = iter(command.words[1:-1])
    for word in words:
        option, equals, value = word.partition("=")
        if option in _OPTIONS_WITH_VALUE:
            value = value if equals else next(words, "")
            if option == "--class":
                classes.add(value.lower())
            elif option == "--id":
                given_id = value
        elif not word.startswith("--") and not re.fullmatch(r"\$\{\w+\}", word):
            plain.append(word)
    title = plain[0] if plain else ""
    return BootEntry(
        title,
        command.line,
        path,
        given_id or (plain[1] if len(plain) > 1 else ""),
        frozenset(classes),
        children=[] if command.name == "submenu" else None,
    )


def parse_environment(data: bytes) -> dict[str, str]:
    """Return the variables of a grubenv block: lines of name=value with escaped backslashes, filled up with `#`."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            found[name] = re.sub(r"\\(.)", r"\1", value)
    return found
