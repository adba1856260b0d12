"""Every configuration of GRUB that is there, in use or not: an importer that finds several may take the wrong one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree, Location, read_file
from imgscan.devices.limits import EFI_ENTRIES
from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.linux.boot_entry import CONFIGURATION_BYTES, BootConfiguration
from imgscan.guests.linux.grub2 import parse_grub2
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.linux_boot import MenuFile
from imgscan.model.text import shown

_FOLDERS: Final = ("/boot/grub", "/boot/grub2")
_NAMES: Final[Mapping[str, Literal["grub2", "grub-legacy"]]] = {
    "grub.cfg": "grub2",
    "menu.lst": "grub-legacy",
    "grub.conf": "grub-legacy",
}
_ESP_FOLDERS: Final = 64
"""Folders below /EFI that are looked into."""


class ParsedMenu(msgspec.Struct, frozen=True):
    """A configuration that was read as its loader reads it: with grubenv, loader entries and all that it sources."""

    place: Location
    configuration: BootConfiguration


def read_menu_files(
    tree: GuestTree, filesystems: Mapping[str, FileSystem], parsed: Sequence[ParsedMenu]
) -> Fact[tuple[MenuFile, ...]]:
    """Return every grub.cfg, menu.lst and grub.conf on the root, on /boot and on EFI system partitions.

    What a mount hides on the root is looked for too. A file with several names is there once. `parsed` are those that
    were read already. One file that cannot be read makes all of it unread: it may differ.
    """
    known_menus = {(each.place.filesystem.volume, each.place.entry.node): each.configuration for each in parsed}
    found: dict[tuple[str, int], MenuFile] = {}
    try:
        for place, loader in _places(tree, filesystems):
            key = (place.filesystem.volume, place.entry.node)
            if key not in found:
                found[key] = _menu_file(place, loader, known_menus.get(key))
    except ImageError as error:
        return unread_because(error, at_path(tree.resolve("/").filesystem.volume, "/boot"))
    evidence = [piece for menu in found.values() for piece in menu.evidence]
    root = tree.resolve("/")
    nothing = at_path(root.filesystem.volume, f"{root.path_in_volume.rstrip('/')}/boot")
    return known(tuple(found.values()), *(evidence or [nothing]))


def _places(
    tree: GuestTree, filesystems: Mapping[str, FileSystem]
) -> Iterator[tuple[Location, Literal["grub2", "grub-legacy"]]]:
    trees = [tree]
    if any(point == "/boot" or point.startswith("/boot/") for point in tree.mounts):
        trees.append(GuestTree({"/": tree.mounts["/"]}))  # what the mounts hide
    esp = "/boot/efi/EFI"
    for each in trees:
        for folder in (*_FOLDERS, *_below(each, esp)):
            yield from _in_folder(each, folder)
    mounted = {filesystem.volume for filesystem in tree.mounts.values()}
    for name, filesystem in filesystems.items():
        if filesystem.type == "vfat" and name not in mounted:
            other = GuestTree({"/": filesystem})
            for folder in _below(other, "/EFI"):
                yield from _in_folder(other, folder)


def _below(tree: GuestTree, folder: str) -> list[str]:
    place = tree.find(folder)
    if place is None or place.entry.kind != "directory":
        return []
    names: list[str] = []
    for number, entry in enumerate(tree.list(folder)):
        if number >= EFI_ENTRIES:
            raise LimitExceeded(f"{folder} has more than {EFI_ENTRIES} entries", where=place.filesystem.volume)
        if entry.kind == "directory":
            names.append(entry.name)
    return [f"{folder}/{name}" for name in sorted(names)[:_ESP_FOLDERS]]


def _in_folder(tree: GuestTree, folder: str) -> Iterator[tuple[Location, Literal["grub2", "grub-legacy"]]]:
    above = tree.find(folder)
    if above is None or above.entry.kind != "directory":
        return
    for name, loader in _NAMES.items():
        place = tree.find(f"{folder}/{name}")
        if place is not None and place.entry.kind == "file":
            yield place, loader


def _menu_file(
    place: Location, loader: Literal["grub2", "grub-legacy"], configuration: BootConfiguration | None
) -> MenuFile:
    import hashlib  # noqa: PLC0415 - start-up time

    data = read_file(place, CONFIGURATION_BYTES)
    if configuration is None:
        text = read_text(place, CONFIGURATION_BYTES)
        if loader == "grub2":
            configuration = parse_grub2(text, place.path, {}, lambda _: None, lambda _: [])
        else:
            from imgscan.guests.linux.grub_legacy import parse_grub_legacy  # noqa: PLC0415 - start-up time

            configuration = parse_grub_legacy(text, place.path, None)
    return MenuFile(
        volume=place.filesystem.volume,
        path=shown(place.path_in_volume),
        loader=loader,
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        entries=sum(1 for _ in configuration.leaves()),
        default=shown(configuration.once or configuration.default) if configuration.default_is_known else None,
        default_is_there=configuration.default_is_there,
        fallback=None if configuration.fallback is None else shown(configuration.fallback),
        timeout=configuration.timeout,
        in_loader_entries=configuration.has_loader_entries,
        evidence=(place.evidence(),),
    )
