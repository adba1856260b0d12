"""extlinux.conf or syslinux.cfg: the menu of the Syslinux family.

Source: Syslinux wiki, "Config" (directives), "Menu" (MENU LABEL, MENU DEFAULT) and "Comboot/chain.c32". Directives are
in any case; those that only change how the menu looks are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import ENTRIES, BootConfiguration, BootEntry, Command

INCLUDES: Final = 64
"""Files that one menu includes, one inside the other or beside it."""
_STARTS: Final = frozenset({"linux", "kernel", "com32", "boot", "bss", "pxe", "fdimage", "config", "localboot"})
_LOADERS_OF_LINUX: Final = frozenset({"linux.c32", "mboot.c32"})
"""Modules whose first argument is the kernel, or the hypervisor below it."""
_BOOT_SECTOR: Final = re.compile(r"\.(bs|bss|bin|0|com|cbt)$", re.IGNORECASE)

Include = Callable[[str], "tuple[str, str] | None"]
"""Returns path and text of an included file, None when it is not there."""


class _Reader:
    """The menu so far: `options` are those of entries that have none of their own."""

    def __init__(self, include: Include) -> None:
        self.menu = BootConfiguration()
        self.options = ""
        self._include = include
        self._includes = 0

    def read(self, text: str, path: str) -> None:
        in_text = False
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.strip()
            directive, _, value = line.replace("\t", " ").partition(" ")
            directive, value = directive.lower(), value.strip()
            if in_text or directive == "text":
                in_text = directive != "endtext"
                continue
            if directive == "menu":
                directive, _, value = value.partition(" ")
                directive, value = f"menu {directive.lower()}", value.strip()
            if directive in {"include", "menu include"}:
                self._read_included(value.split(" ")[0], path)
            elif directive == "label":
                if len(self.menu.entries) >= ENTRIES:
                    raise LimitExceeded(f"the menu has more than {ENTRIES} entries", where=path)
                self.menu.entries.append(BootEntry(value, number, path, value))
            elif directive == "default" and value:
                self.menu.default = value.split(" ")[0]
            elif self.menu.entries:
                self._read_in_entry(self.menu.entries[-1], directive, value, number)
            elif directive == "append":
                self.options = value

    def _read_in_entry(self, entry: BootEntry, directive: str, value: str, number: int) -> None:
        if directive == "menu label":
            entry.title = value.replace("^", "")  # the letter behind it is the hot key
        elif directive == "menu default":
            self.menu.default = entry.id
        elif directive in _STARTS or directive in {"append", "initrd"}:
            entry.commands.append(Command((directive, value), number))

    def _read_included(self, name: str, path: str) -> None:
        self._includes += 1
        if self._includes > INCLUDES:
            raise LimitExceeded(f"the menu includes more than {INCLUDES} files", where=path)
        found = self._include(name)
        if found is not None:
            self.read(found[1], found[0])


def parse_syslinux(text: str, path: str, include: Include) -> BootConfiguration:
    """Parse a menu that lies at `path`; `include` reads a file that it names.

    :raises LimitExceeded: more entries than `ENTRIES`, or more files than `INCLUDES`
    """
    reader = _Reader(include)
    reader.read(text, path)
    for entry in reader.menu.entries:
        files = [
            Command((command.name, *command.words[1].split(",")), command.line)
            for command in entry.commands
            if command.name == "initrd"
        ]
        entry.commands = [*_as_grub_has_them(entry, reader.options), *files]
    return reader.menu


def _as_grub_has_them(entry: BootEntry, options: str) -> list[Command]:
    """Return what an entry starts as the command that GRUB has for it."""
    start = next((command for command in reversed(entry.commands) if command.name in _STARTS), None)
    append = next((command.words[1] for command in reversed(entry.commands) if command.name == "append"), options)
    words = () if append == "-" else tuple(append.split())
    if start is None:
        # without a directive the label itself is the kernel's name
        return [Command(("linux", entry.id, *words), entry.line)]
    name, value = start.words
    program, *more = value.split() or [""]
    words = (*more, *words)
    if name == "config":
        return [Command(("configfile", program), start.line)]
    if name == "localboot":
        return [Command(("chainloader", f"localboot {value}"), start.line)]
    if name == "com32" or program.lower().endswith(".c32"):
        if program.lower().rpartition("/")[2] == "chain.c32":
            return [Command(("chainloader", program, " ".join(words)), start.line)]
        if program.lower().rpartition("/")[2] in _LOADERS_OF_LINUX:
            return [Command(("linux", *words), start.line)]
        return [Command(("com32", program, *words), start.line)]
    if name in {"boot", "bss", "pxe", "fdimage"} or (name == "kernel" and _BOOT_SECTOR.search(program)):
        return [Command(("chainloader", program), start.line)]
    return [Command(("linux", program, *words), start.line)]
