"""Entries of the Boot Loader Specification: /boot/loader/entries/*.conf, for GRUB's blscfg and for systemd-boot.

Source: the UAPI group's Boot Loader Specification, "Type #1 Boot Loader Specification Entries".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from imgscan.devices.guest_tree import GuestTree, decode, read_file
from imgscan.devices.limits import KIB
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import ENTRIES, BootEntry, Command
from imgscan.guests.linux.grub2_script import expand

ENTRY_BYTES: Final = 64 * KIB
_COMMANDS: Final = {"linux": "linux", "initrd": "initrd", "efi": "chainloader"}


def read_loader_entries(tree: GuestTree, folder: str, variables: Mapping[str, str]) -> list[BootEntry]:
    """Return the entries of a folder, the newest version first as the loaders sort them; none when it is not there.

    `variables` are put into the kernel's options (`$kernelopts`).

    :raises ImageError: the folder or an entry cannot be read
    """
    place = tree.find(folder)
    if place is None or place.entry.kind != "directory":
        return []
    names = [entry.name for entry in tree.list(folder) if entry.name.endswith(".conf") and entry.kind == "file"]
    if len(names) > ENTRIES:
        raise LimitExceeded(f"{folder} has {len(names)} entries", where=place.filesystem.volume)
    entries = []
    for name in sorted(names, key=_version_key, reverse=True):
        file = tree.resolve(f"{folder}/{name}")
        text = decode(read_file(file, ENTRY_BYTES))
        entries.append(parse_loader_entry(text, f"{folder}/{name}", name.removesuffix(".conf"), variables))
    return entries


def parse_loader_entry(text: str, path: str, name: str, variables: Mapping[str, str]) -> BootEntry:
    """Parse one entry; `name` is its file name without the ending, by which a default names it."""
    entry = BootEntry(name, 0, path, name)
    options: list[str] = []
    linux = 0
    for number, raw in enumerate(text.split("\n"), 1):
        key, _, value = (
            raw.strip().partition(" ") if "\t" not in raw else raw.strip().replace("\t", " ", 1).partition(" ")
        )
        value = value.strip()
        if key == "title":
            entry.title, entry.line = value, number
        elif key == "options":
            options.extend(expand(value, variables).split())
        elif key in _COMMANDS and value:
            words = tuple(expand(value, variables).split()) if key == "initrd" else (value,)
            entry.commands.append(Command((_COMMANDS[key], *words), number))
            linux = number if key == "linux" else linux
    entry.commands = [
        Command((*command.words, *options), command.line) if command.line == linux else command
        for command in entry.commands
    ]
    return entry


def _version_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort digits as numbers and the rest as text, about as rpm does."""
    return tuple(
        (1, int(part), "") if part.isdecimal() and len(part) < 18 else (0, 0, part) for part in re.split(r"(\d+)", name)
    )
