r"""The drivers that a Windows starts with, and whether it has those for network devices of targets.

Source: Microsoft, "Specifying driver load order" (`Start`, `Group`), EC2 User Guide, "Troubleshoot PV drivers"
(`StartOverride`, whose value counts instead of `Start` since Windows 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import WINDOWS_DRIVER_NAMES
from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.windows import services
from imgscan.guests.windows.driver_files import DriverFiles
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.storage_classes import Named, read_named_drivers
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown
from imgscan.model.windows import BootDriver, DeviceDriver

_DRIVER_TYPES: Final = frozenset({1, 2, 4, 8})
"""Types of services that are drivers: of the kernel, of a filesystem, of an adapter, a recognizer."""
_STORAGE_GROUPS: Final = frozenset({"scsi miniport", "scsi class", "primary disk"})
_NETWORK: Final = {"ena": re.compile(r"ena"), "ixgbevf": re.compile(r"ixgbevf|vxn[0-9a-z]*")}
"""Services and driver packages of network devices, by the name of the Linux driver for the same device: Amazon's
Elastic Network Adapter, and the virtual function of Intel's 82599 (`vxn65x64.inf`)."""
_STORE: Final = "System32/DriverStore/FileRepository"
_PACKAGE: Final = re.compile(r"([0-9a-z_]+)\.inf_")


class WindowsDrivers(msgspec.Struct, frozen=True):
    """Facts of `System` with the same names."""

    boot_drivers: Fact[tuple[BootDriver, ...]]
    network_drivers: Fact[tuple[DeviceDriver, ...]]


def read_drivers(tree: GuestTree, directory: str, system: SystemHive) -> WindowsDrivers:
    """Read the drivers of the Windows in `directory`; its list of services is read once for both facts."""
    files = DriverFiles(tree, directory)
    try:
        keys = services.listed(system)
        where = system.at(system.control(services.SERVICES))
    except ImageError as error:
        lost = AtPath(system.volume, system.path)
        return WindowsDrivers(unread_because(error, lost), unread_because(error, lost))
    try:
        boot: Fact[tuple[BootDriver, ...]] = known(_boot_drivers(system, keys, files), where)
    except ImageError as error:
        boot = unread_because(error, where)
    try:
        network: Fact[tuple[DeviceDriver, ...]] = known(_network_drivers(tree, directory, system, keys, files), where)
    except ImageError as error:
        network = unread_because(error, where)
    return WindowsDrivers(boot, network)


def _boot_drivers(system: SystemHive, keys: Sequence[Key], files: DriverFiles) -> tuple[BootDriver, ...]:
    named = read_named_drivers(system)
    found: list[BootDriver] = []
    for key in keys:
        reason = named.pop(key.name.lower(), None)
        try:
            driver = _boot_driver(system, key, reason, files)
        except ImageError:
            driver = _unread(system, key, reason)
        if driver is not None:
            found.append(driver)
    found += [_described(None, reason) for reason in named.values()]
    return tuple(found)


def _boot_driver(system: SystemHive, key: Key, reason: Named | None, files: DriverFiles) -> BootDriver | None:
    """Return the driver of a service, None when Windows reaches its disks without it."""
    start = key.value("Start")
    number = start.number() if start is not None else None
    if reason is None and number not in {services.BOOT, services.SYSTEM}:
        return None
    group = key.value("Group")
    group_name = shown(group.text()) if group is not None else None
    if reason is None and number == services.SYSTEM and (group_name or "").lower() not in _STORAGE_GROUPS:
        return None
    kind = key.value("Type")
    if reason is None and (kind is None or kind.number() not in _DRIVER_TYPES):
        return None
    image = key.value("ImagePath")
    path = files.path(image.text() if image is not None else None, key.name)
    evidence: list[Evidence] = [system.at(key.path, start if start is not None else "Start")]
    effective = number
    override = services.override_of(key)
    if override is not None:
        effective = override[1].number()
        evidence.append(system.at(override[0].path, override[1]))
    is_needed = effective in {services.BOOT, services.SYSTEM} or (reason is not None and bool(reason.filters))
    return msgspec.structs.replace(
        _described(key.name, reason),
        start=_start(effective),
        configured=_start(number),
        group=group_name,
        path=shown(path) if path is not None else None,
        file=files.state(path) if is_needed else None,
        evidence=(*evidence, *(reason.evidence if reason is not None else ())),
    )


def _unread(system: SystemHive, key: Key, reason: Named | None) -> BootDriver:
    """Return what is left of a service with a value that cannot be read: it may be a driver, and start."""
    return msgspec.structs.replace(
        _described(key.name, reason),
        start="unread",
        configured="unread",
        group=_group(key),
        file="unread",
        evidence=(system.at(key.path), *(reason.evidence if reason is not None else ())),
    )


def _group(key: Key) -> str | None:
    try:
        group = key.value("Group")
        return shown(group.text()) if group is not None else None
    except ImageError:
        return "unread"


def _described(name: str | None, reason: Named | None) -> BootDriver:
    if reason is None:
        return BootDriver(name=shown(name or ""), start=None, configured=None)
    return BootDriver(
        name=shown(name or reason.name),
        start=None,
        configured=None,
        filters=tuple(reason.filters),
        hardware=tuple(reason.hardware),
        evidence=tuple(reason.evidence),
    )


def _start(number: int | None) -> str | None:
    if number is None:
        return None
    return services.START_NAMES[number] if number < len(services.START_NAMES) else str(number)


def _network_drivers(
    tree: GuestTree, directory: str, system: SystemHive, keys: Sequence[Key], files: DriverFiles
) -> tuple[DeviceDriver, ...]:
    found: dict[str, DeviceDriver] = {}
    for key in keys:
        name = next((name for name, pattern in _NETWORK.items() if pattern.fullmatch(key.name.lower())), None)
        if name is None or (name in found and found[name].state == "installed"):
            continue
        image = key.value("ImagePath")
        state = files.state(files.path(image.text() if image is not None else None, key.name))
        states: dict[str, Literal["installed", "broken", "unread"]] = {"present": "installed", "missing": "broken"}
        evidence = system.at(key.path, image if image is not None else "ImagePath")
        found[name] = DeviceDriver(name=name, state=states.get(state, "unread"), evidence=(evidence,))
    if any(name not in found or found[name].state != "installed" for name in _NETWORK):
        store = f"{directory.rstrip('/')}/{_STORE}"
        for name, folder in _staged(tree, store).items():
            if name not in found or found[name].state != "installed":
                where = AtPath(system.volume, shown(f"{store}/{folder}"))
                found[name] = DeviceDriver(name=name, state="staged", evidence=(where,))
        where = AtPath(system.volume, shown(store))
        for name in _NETWORK:
            found.setdefault(name, DeviceDriver(name=name, state="absent", evidence=(where,)))
    return tuple(found[name] for name in _NETWORK)


def _staged(tree: GuestTree, store: str) -> dict[str, str]:
    """Return the folders of the driver store (since Vista) with these packages.

    :raises ImageError: it cannot be read
    """
    if tree.find(store) is None:
        return {}
    found: dict[str, str] = {}
    folders = tree.names(store)
    if len(folders) > WINDOWS_DRIVER_NAMES:
        raise LimitExceeded(f"the driver store has more than {WINDOWS_DRIVER_NAMES} packages", where=store)
    for folder in folders:
        package = _PACKAGE.match(folder.lower())
        for name, pattern in _NETWORK.items():
            if package is not None and pattern.fullmatch(package[1]):
                found.setdefault(name, folder)
    return found
