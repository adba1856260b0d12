"""The boot menu that the system is configured with: its entries, and the volumes that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from imgscan.devices.guest_tree import GuestTree, Location, decode, read_file
from imgscan.devices.limits import KIB
from imgscan.devices.subvolumes import root_subvolume
from imgscan.errors import ImageError
from imgscan.guests.linux.boot_entry import CONFIGURATION_BYTES, BootConfiguration, BootEntry
from imgscan.guests.linux.bootloader import (
    GRUB2_CONFIGURATIONS,
    GRUB_LEGACY_CONFIGURATIONS,
    SYSLINUX_CONFIGURATIONS,
    esp_grub_configurations,
)
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.grub2 import parse_environment, parse_grub2
from imgscan.guests.linux.grub_files import ParsedMenu
from imgscan.guests.linux.kernel import NamedKernel
from imgscan.guests.linux.menu_kinds import Place, Surroundings, find_boot, judge_entry, loaded
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import MenuEntry, Reference
from imgscan.model.text import shown

_ENVIRONMENT_BYTES: Final = 64 * KIB
_EVIDENCE: Final = 8
"""Places named for one reference: every kernel's entry repeats it."""
_SYSTEMD_BOOT_FOLDERS: Final = ("/boot/loader", "/efi/loader", "/boot/efi/loader")


class BootMenu(msgspec.Struct, frozen=True):
    """The menu's entries, where they and the configuration look for things, and what was left out.

    `kernels` are those that the default entries start, one for each configuration that has entries; `menus` are the
    configurations themselves. `default_lost` is why it could not be told which entry is the default.
    """

    menu: Fact[tuple[MenuEntry, ...]]
    references: Fact[tuple[Reference, ...]]
    left_out: tuple[UnreadPlace, ...] = ()
    kernels: tuple[NamedKernel, ...] = ()
    menus: tuple[ParsedMenu, ...] = ()
    default_lost: ImageError | None = None


class _Found(msgspec.Struct):
    """What the configurations of one system gave."""

    entries: list[MenuEntry] = msgspec.field(default_factory=list)
    references: dict[tuple[Literal["root", "boot"], str], Reference] = msgspec.field(default_factory=dict)
    evidence: list[Evidence] = msgspec.field(default_factory=list)
    left_out: list[UnreadPlace] = msgspec.field(default_factory=list)
    kernels: list[NamedKernel] = msgspec.field(default_factory=list)
    menus: list[ParsedMenu] = msgspec.field(default_factory=list)
    default_lost: ImageError | None = None


def read_boot_menu(
    tree: GuestTree, devices: Devices, root: str, name: str | None, loader: Fact[str | None]
) -> BootMenu:
    """Return the menu of the `loader` that the system on the volume `root` is configured for.

    `name` is the system's id. No configuration is an empty menu; one that cannot be read makes both facts unread.
    """
    if not loader.is_known:
        return BootMenu(loader.map(lambda _: ()), loader.map(lambda _: ()))
    found = _Found()
    try:
        if loader.value == "grub2":
            _read_grub2(tree, devices, root, name, found)
        elif loader.value == "grub-legacy":
            _read_grub_legacy(tree, devices, root, name, found)
        elif loader.value == "systemd-boot":
            _read_systemd_boot(tree, devices, root, name, found)
        elif loader.value in SYSLINUX_CONFIGURATIONS:
            _read_syslinux(tree, devices, root, name, loader.value, found)
        elif loader.value is not None:
            why = f"the menu of {loader.value} is not read by this version"
            return BootMenu(unread("unsupported", why, *loader.evidence), unread("unsupported", why, *loader.evidence))
    except ImageError as error:
        return BootMenu(unread_because(error, *loader.evidence), unread_because(error, *loader.evidence))
    evidence = found.evidence or list(loader.evidence)
    return BootMenu(
        known(tuple(found.entries), *evidence),
        known(tuple(found.references.values()), *evidence),
        tuple(found.left_out),
        tuple(found.kernels),
        tuple(found.menus),
        found.default_lost,
    )


def _surroundings(tree: GuestTree, devices: Devices, root: str, name: str | None, *, is_legacy: bool) -> Surroundings:
    own = {filesystem.volume for filesystem in tree.mounts.values()} | {root}
    boot = tree.mounts.get("/boot")
    loader = {root} | ({boot.volume} if boot is not None else set())
    return Surroundings(devices, root, frozenset(own), frozenset(loader), name, is_legacy, root_subvolume(tree))


def _read_grub2(tree: GuestTree, devices: Devices, root: str, name: str | None, found: _Found) -> None:
    """Read every grub.cfg of the system: the one below /boot, and that of an EFI system partition."""
    about = _surroundings(tree, devices, root, name, is_legacy=False)
    seen: set[tuple[str, int]] = set()
    paths = [*GRUB2_CONFIGURATIONS]
    try:
        paths += esp_grub_configurations(tree)
    except ImageError as error:
        if not any(tree.find(path) for path in paths):
            raise
        found.left_out.append(UnreadPlace("/boot/efi", error.why, shown(str(error))))
    for path in paths:
        place = tree.find(path)
        if place is None or place.entry.kind != "file" or (key := (place.filesystem.volume, place.entry.node)) in seen:
            continue
        seen.add(key)
        folder = path.rpartition("/")[0]
        text = read_text(place, CONFIGURATION_BYTES)
        environment = _grub_environment(tree, folder, found)
        configuration = parse_grub2(
            text,
            path,
            environment or {},
            lambda other, folder=folder: _sourced(tree, folder, other, found),  # type: ignore[misc] # bound now
            lambda variables: _entries(tree, "/boot/loader/entries", variables),
        )
        configuration.default_is_known = environment is not None
        _add(configuration, tree, place, about, found)


def _entries(tree: GuestTree, folder: str, variables: Mapping[str, str]) -> list[BootEntry]:
    from imgscan.guests.linux.loader_entries import read_loader_entries  # noqa: PLC0415 - start-up time

    return read_loader_entries(tree, folder, variables)


def _grub_environment(tree: GuestTree, folder: str, found: _Found) -> dict[str, str] | None:
    """Return the variables of grubenv beside a configuration, None when they cannot be read."""
    place = tree.find(f"{folder}/grubenv")
    if place is None or place.entry.kind != "file":
        return {}
    try:
        return parse_environment(read_file(place, _ENVIRONMENT_BYTES))
    except ImageError as error:  # only which entry is the default is lost
        found.left_out.append(UnreadPlace(place.filesystem.volume, error.why, shown(f"{place.path}: {error}")))
        found.default_lost = error
        return None


def _sourced(tree: GuestTree, folder: str, name: str, found: _Found) -> tuple[str, str] | None:
    """Return a file that grub.cfg sources from beside itself (custom.cfg)."""
    place = tree.find(f"{folder}/{name}") if name else None
    if place is None or place.entry.kind != "file":
        return None
    found.evidence.append(place.evidence())
    return place.path, read_text(place, CONFIGURATION_BYTES)


def _read_grub_legacy(tree: GuestTree, devices: Devices, root: str, name: str | None, found: _Found) -> None:
    about = _surroundings(tree, devices, root, name, is_legacy=True)
    for path in GRUB_LEGACY_CONFIGURATIONS:
        place = tree.find(path)
        if place is not None and place.entry.kind == "file":
            saved = tree.find("/boot/grub/default")
            number = None
            if saved is not None and saved.entry.kind == "file":
                number = decode(read_file(saved, _ENVIRONMENT_BYTES)).partition("\n")[0].strip()
            from imgscan.guests.linux.grub_legacy import parse_grub_legacy  # noqa: PLC0415 - start-up time

            configuration = parse_grub_legacy(read_text(place, CONFIGURATION_BYTES), path, number)
            _add(configuration, tree, place, about, found)
            return


def _read_syslinux(tree: GuestTree, devices: Devices, root: str, name: str | None, loader: str, found: _Found) -> None:
    about = _surroundings(tree, devices, root, name, is_legacy=False)
    for path in SYSLINUX_CONFIGURATIONS[loader]:
        place = tree.find(path)
        if place is not None and place.entry.kind == "file":
            from imgscan.guests.linux.syslinux_menu import parse_syslinux  # noqa: PLC0415 - start-up time

            text = read_text(place, CONFIGURATION_BYTES)
            configuration = parse_syslinux(
                text,
                path,
                lambda other, path=path: _included(tree, path, other, found),  # type: ignore[misc] # bound now
            )
            _add(configuration, tree, place, about, found)
            return


def _included(tree: GuestTree, path: str, name: str, found: _Found) -> tuple[str, str] | None:
    """Return a file that a Syslinux menu includes: beside the menu, or from the top of its volume."""
    folders = ("", "/boot") if name.startswith("/") else (path.rpartition("/")[0],)
    for folder in folders:
        sourced = _sourced(tree, folder, name.lstrip("/"), found)
        if sourced is not None:
            return sourced
    place = tree.resolve(path)
    found.left_out.append(UnreadPlace(place.filesystem.volume, "missing", shown(f"{path} includes {name}, not there")))
    return None


def _read_systemd_boot(tree: GuestTree, devices: Devices, root: str, name: str | None, found: _Found) -> None:
    about = _surroundings(tree, devices, root, name, is_legacy=False)
    for folder in _SYSTEMD_BOOT_FOLDERS:
        place = tree.find(f"{folder}/loader.conf")
        if place is not None and place.entry.kind == "file":
            entries = _entries(tree, f"{folder}/entries", {})
            text = read_text(place, CONFIGURATION_BYTES)
            lines = [line.split() for line in text.split("\n") if line.startswith("default")]
            default = lines[-1][1].removesuffix(".conf") if lines and len(lines[-1]) > 1 else "0"
            _add(BootConfiguration(entries, default=default), tree, place, about, found)
            return


def _add(
    configuration: BootConfiguration, tree: GuestTree, place: Location, about: Surroundings, found: _Found
) -> None:
    """Put what a configuration says into the facts."""
    found.evidence.append(place.evidence())
    found.menus.append(ParsedMenu(place, configuration))
    default = configuration.default_entry() if configuration.default_is_known else None
    has_entries = False
    for entry in configuration.leaves():
        has_entries = True
        judged = judge_entry(entry, about)
        evidence = _evidence(tree, place, entry, entry.line)
        files = loaded(entry)
        menu_entry = MenuEntry(
            title=shown(entry.title),
            kind=judged.kind,
            target=None if judged.target is None else shown(judged.target),
            default=entry is default,
            id=shown(entry.id) if entry.id else None,
            kernel=None if files is None else shown(files.kernel),
            initrds=() if files is None else tuple(map(shown, files.initrds)),
            arguments=None if files is None else shown(" ".join(files.arguments)),
            evidence=(evidence,),
        )
        found.entries.append(menu_entry)
        if files is not None and entry is default and judged.kind in {"own", "recovery", "unknown"}:
            found.kernels.append(
                NamedKernel(files.kernel, _evidence(tree, place, entry, files.line), files.initrds, files.arguments)
            )
        if judged.kind in {"own", "recovery"} or (judged.kind == "unknown" and entry is default):
            _refer("boot", judged.boot, tree, place, entry, found)
            _refer("root", judged.root, tree, place, entry, found)
    if not has_entries:  # a file that only finds the real configuration
        _refer("boot", find_boot(configuration.commands, about), tree, place, None, found)


def _refer(
    role: Literal["root", "boot"],
    named: Place | None,
    tree: GuestTree,
    place: Location,
    entry: BootEntry | None,
    found: _Found,
) -> None:
    if named is None:
        return
    evidence = _evidence(tree, place, entry, named.line)
    key = (role, named.source)
    before = found.references.get(key)
    places = (*(before.evidence if before else ()), evidence)[:_EVIDENCE]
    found.references[key] = Reference(
        role=role, source=shown(named.source), volume=named.resolution.volume, evidence=places
    )


def _evidence(tree: GuestTree, place: Location, entry: BootEntry | None, line: int) -> AtPath:
    """Return the line's place: the configuration itself, or the file that the entry came from."""
    if entry is None or not entry.path or entry.path == place.path:
        return place.evidence(line)
    other = tree.find(entry.path)
    return place.evidence(line) if other is None else other.evidence(line)
