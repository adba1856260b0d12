"""The boot menu as one installed Windows sees it: which entries start it, and which start something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.errors import ImageError
from imgscan.guests.windows.bcd import read_bcd
from imgscan.guests.windows.boot_entry import BootEntry
from imgscan.guests.windows.boot_ini import read_boot_ini
from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.partitions import Partitions
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import MenuEntry, MenuEntryKind, Reference
from imgscan.model.windows import BootOptions

_STORES: Final = ("/Boot/BCD", "/EFI/Microsoft/Boot/BCD")
_BOOT_INI: Final = "/boot.ini"
_NT5_LOADER: Final = "/ntldr"
_BOOT_MANAGERS: Final = ("/bootmgr", "/EFI/Microsoft/Boot/bootmgfw.efi")
_FILESYSTEMS: Final = {"ntfs", "vfat", "exfat"}
"""What Windows' loaders read."""


class OwnSystem(msgspec.Struct, frozen=True):
    """Whose menu it is: `directory` is the Windows folder, `is_nt5` whether NTLDR starts it (None: not known)."""

    volume: str
    directory: str
    is_nt5: bool | None


class WindowsBoot(msgspec.Struct, frozen=True):
    """Facts of `System` with the same names, and what they had to do without."""

    menu: Fact[tuple[MenuEntry, ...]]
    references: Fact[tuple[Reference, ...]]
    bootloader: Fact[str | None]
    options: Fact[BootOptions | None]
    unread: tuple[UnreadPlace, ...]


class _Found(msgspec.Struct):
    """What the volumes hold."""

    entries: list[BootEntry] = msgspec.field(default_factory=list)
    menus: list[Evidence] = msgspec.field(default_factory=list)
    looked: list[Evidence] = msgspec.field(default_factory=list)
    failed: list[tuple[ImageError, AtPath]] = msgspec.field(default_factory=list)
    unread: list[UnreadPlace] = msgspec.field(default_factory=list)
    managers: list[Evidence] = msgspec.field(default_factory=list)
    nt5_loaders: list[Evidence] = msgspec.field(default_factory=list)


def read_boot(own: OwnSystem, filesystems: Mapping[str, FileSystem], partitions: Partitions) -> WindowsBoot:
    """Search all volumes that a loader of Windows can read for stores, boot.ini and loaders.

    A menu that cannot be read is an entry of unknown kind when another one was read; else the menu is unread.
    """
    found = _Found()
    for volume, filesystem in filesystems.items():
        if filesystem.type in _FILESYSTEMS:
            _search(found, volume, GuestTree({"/": filesystem}), partitions)
    return WindowsBoot(
        _menu(own, found), _references(own, found), _bootloader(own, found), _options(own, found), tuple(found.unread)
    )


def _search(found: _Found, volume: str, tree: GuestTree, partitions: Partitions) -> None:
    shows_ntldr: bool | None = None
    for path in _STORES:
        place = _look(found, volume, tree, path)
        if place is None:
            continue
        store = HiveFile(tree, place.path)
        try:
            bcd = read_bcd(store, partitions)
        except ImageError as error:
            found.failed.append((error, place.evidence()))
            continue
        found.entries.extend(bcd.entries)
        found.menus.append(place.evidence())
        found.unread.extend(store.left_out)
        shows_ntldr = bool(shows_ntldr) or bcd.shows_ntldr
    for path in _BOOT_MANAGERS:
        place = _look(found, volume, tree, path)
        if place is not None:
            found.managers.append(place.evidence())
    loader = _look(found, volume, tree, _NT5_LOADER)
    if loader is None:
        return
    found.nt5_loaders.append(loader.evidence())
    # where a store was put in front of NTLDR, boot.ini is only used when the store offers it
    place = _look(found, volume, tree, _BOOT_INI) if shows_ntldr is not False else None
    if place is None:
        return
    try:
        found.entries.extend(read_boot_ini(place, partitions))
        found.menus.append(place.evidence())
    except ImageError as error:
        found.failed.append((error, place.evidence()))


def _look(found: _Found, volume: str, tree: GuestTree, path: str) -> Location | None:
    where = AtPath(volume, path)
    try:
        place = tree.find(path)
    except ImageError as error:
        found.failed.append((error, where))
        return None
    if place is None:
        found.looked.append(where)
    return place


def _menu(own: OwnSystem, found: _Found) -> Fact[tuple[MenuEntry, ...]]:
    if found.failed and not found.menus:
        return unread_because(found.failed[0][0], *(where for _, where in found.failed))
    entries = [
        MenuEntry(
            title=entry.title,
            kind=_kind(own, entry),
            target=entry.target,
            default=entry.default,
            evidence=entry.evidence,
        )
        for entry in found.entries
    ]
    entries.extend(
        MenuEntry(title=where.path, kind="unknown", target=f"cannot be read: {error.message}", evidence=(where,))
        for error, where in found.failed
    )
    return known(tuple(entries), *(found.menus or found.looked))


def _kind(own: OwnSystem, entry: BootEntry) -> MenuEntryKind:
    if entry.meaning == "windows-nt5":
        return "unknown" if own.is_nt5 is None else "own" if own.is_nt5 else "other-system"
    if entry.meaning != "windows":
        return entry.meaning
    is_own_folder = entry.directory is None or entry.directory.lower() == own.directory.lower()
    if entry.anywhere:
        return "own" if is_own_folder else "unknown"
    if entry.root is None or entry.root.volume is None:
        return "unknown"
    return "own" if is_own_folder and entry.root.volume == own.volume else "other-system"


def _references(own: OwnSystem, found: _Found) -> Fact[tuple[Reference, ...]]:
    """Return where the entries that start this system say that it lies; those of the default entry when none does."""
    if found.failed and not found.menus:
        return unread_because(found.failed[0][0], *(where for _, where in found.failed))
    entries: Sequence[BootEntry] = [entry for entry in found.entries if _kind(own, entry) == "own"]
    if not entries:
        entries = [entry for entry in found.entries if entry.default and _kind(own, entry) == "unknown"]
    references: dict[tuple[str, str], Reference] = {}
    for entry in entries:
        for role, partition in (("root", entry.root), ("boot", entry.device)):
            if partition is not None and (role, partition.source) not in references:
                references[role, partition.source] = Reference(
                    role="root" if role == "root" else "boot",
                    source=partition.source,
                    volume=partition.volume,
                    evidence=entry.evidence,
                )
    return known(tuple(references.values()), *(found.menus or found.looked))


def _options(own: OwnSystem, found: _Found) -> Fact[BootOptions | None]:
    """Return how the system is started: by the default entry where that is its own, else by its first one."""
    if found.failed and not found.menus:
        return unread_because(found.failed[0][0], *(where for _, where in found.failed))
    entries = [entry for entry in found.entries if _kind(own, entry) == "own" and entry.options is not None]
    chosen = next((entry.options for entry in entries if entry.default), entries[0].options if entries else None)
    return chosen.map(lambda options: options) if chosen is not None else known(None, *(found.menus or found.looked))


def _bootloader(own: OwnSystem, found: _Found) -> Fact[str | None]:
    """Return what starts the system: NTLDR up to Windows Server 2003, else the boot manager."""
    if own.is_nt5 and found.nt5_loaders:
        return known("ntldr", *found.nt5_loaders)
    if found.managers:
        return known("windows-boot-manager", *found.managers)
    if found.nt5_loaders and own.is_nt5 is None:
        return known("ntldr", *found.nt5_loaders)
    if found.failed:
        return unread_because(found.failed[0][0], *(where for _, where in found.failed))
    return known(None, *found.looked)
