"""The last stages: what boots, which systems are installed, and how they can be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import SYSTEMS
from imgscan.errors import ImageError
from imgscan.guests import boot, systems
from imgscan.model.boot import Boot
from imgscan.model.disk import Disk
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.machine import UnreadPlace, disks_below
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Volume
from imgscan.stages.state import ScanState

Inspector = Callable[
    [systems.FoundSystem, Mapping[str, FileSystem], Sequence[Volume], Sequence[Disk]], systems.Inspected
]


NEVER_A_SYSTEM = frozenset({"swap", "swsuspend", "linux_raid_journal", "iso9660", "udf", "storage_spaces"})
"""Content that cannot be an installed system, even unread."""

ENVIRONMENT = (
    *("network", "dhcp_client", "interface_names"),
    *("products", "hibernated_files", "hardware_traces"),
)
"""The facts of a Linux that are read apart from the system itself."""


def inspect_boot(scan: ScanState) -> Boot:
    """Find out what boots, over all disks."""
    try:
        with scan.parts.reading("boot"):
            return boot.inspect_boot(scan.disks, scan.devices, scan.volumes, scan.filesystems)
    except ImageError as error:
        scan.unread.append(UnreadPlace("boot", error.why, shown(str(error))))
        return Boot(firmware=unread_because(error), disk=unread_because(error))


def inspect_systems(scan: ScanState) -> tuple[list[System], list[GuestTree]]:
    """Find the installed systems on the readable filesystems and ask each who it is."""
    found: list[System] = []
    trees: list[GuestTree] = []
    places: list[systems.FoundSystem] = []
    try:
        with scan.parts.reading("systems"):
            shadows = _shadows(scan)
            searched = {name: each for name, each in scan.filesystems.items() if name not in shadows}
            places = systems.find_systems(searched, scan.unsearched)
    except ImageError as error:
        scan.unsearched.append(UnreadPlace("systems", error.why, shown(str(error))))
    scan.unsearched += [
        UnreadPlace(p.volume, "limit", f"a system beyond the first {SYSTEMS}") for p in places[SYSTEMS:]
    ]
    for place in places[:SYSTEMS]:
        try:
            with scan.parts.reading(f"system {place.volume}"):
                inspected = _inspector(place.family)(place, scan.filesystems, scan.volumes, scan.disks)
        except ImageError as error:
            scan.unsearched.append(UnreadPlace(place.volume, error.why, shown(str(error))))
            continue
        found.append(inspected.system)
        trees.append(inspected.tree)
        scan.unread.extend(inspected.unread)
    scan.unread.extend(scan.unsearched)
    return found, trees


def inspect_access(scan: ScanState, found: Sequence[System], trees: Sequence[GuestTree]) -> list[System]:
    """Ask each system how it can be reached, when all else is known: many files decide, and the guest wrote them."""
    return [_with_access(scan, system, tree) for system, tree in zip(found, trees, strict=True)]


def _with_access(scan: ScanState, system: System, tree: GuestTree) -> System:
    if system.family != "linux":
        return system
    from imgscan.guests.linux import Services, read_access, read_environment  # noqa: PLC0415 - start-up time

    services = Services(tree)
    try:
        with scan.parts.reading(f"environment {system.root}"):
            system = read_environment(system, tree, services)
    except ImageError as error:
        system = msgspec.structs.replace(system, **dict.fromkeys(ENVIRONMENT, unread_because(error)))
    try:
        with scan.parts.reading(f"access {system.root}"):
            return read_access(system, tree, services)
    except ImageError as error:
        return msgspec.structs.replace(
            system,
            ssh_server=unread_because(error),
            ssh_start=unread_because(error),
            ssh_settings=unread_because(error),
            firewalls=unread_because(error),
        )


def _shadows(scan: ScanState) -> frozenset[str]:
    """Return the snapshots whose origin can be read: what is installed there is the same system once more."""
    return frozenset(
        volume.name
        for volume in scan.volumes
        if volume.kind == "snapshot" and volume.metadata.get("origin") in scan.filesystems
    )


def _inspector(family: str) -> Inspector:
    """Return what inspects a family of systems; only the modules of families that are there are loaded."""
    if family == "linux":
        from imgscan.guests.linux import inspect_linux  # noqa: PLC0415 - start-up time

        return inspect_linux
    if family == "windows":
        from imgscan.guests.windows import inspect_windows  # noqa: PLC0415 - start-up time, and construct with it

        return inspect_windows
    return systems.inspect_other


def systems_searched(scan: ScanState, boot_facts: Boot, found: Sequence[System]) -> Fact[tuple[str, ...]]:
    """Say where systems were looked for; unread when one may be hidden in what could not be read.

    That is a volume on a boot disk, or any volume while no system was found. A disk that could not be opened, or
    whose table could not be read, counts like such a volume.
    """
    boot_disks = set(boot_facts.disk.value or ()) if isinstance(boot_facts.disk.value, tuple) else None

    shadows = _shadows(scan)

    names = {volume.name for volume in scan.volumes}

    def matters(name: str) -> bool:
        below = disks_below(name, scan.disks, scan.volumes)
        is_elsewhere = name in names and not below  # it lies on disks that were not given, and those boot nothing
        return not found or boot_disks is None or (not below and not is_elsewhere) or bool(below & boot_disks)

    hidden = [
        _about(disk.name, disk.partitioning)
        for disk in scan.disks
        if not disk.partitioning.is_known and matters(disk.name)
    ]
    for volume in scan.volumes:
        lost = volume.readable if volume.signature.is_known else volume.signature
        if lost is None or lost.is_known or volume.content in NEVER_A_SYSTEM or volume.name in shadows:
            continue
        if matters(volume.name):
            hidden.append(_about(volume.name, lost))
    hidden.extend(
        unread(place.why, f"{place.where}: {place.detail}") for place in scan.unsearched if matters(place.where)
    )
    if hidden:
        return Fact(
            unread=hidden[0].unread,
            detail="; ".join(str(lost.detail) for lost in hidden),
            evidence=tuple(piece for lost in hidden for piece in lost.evidence),
        )
    return known(tuple(sorted(set(scan.filesystems) - shadows)))


def _about(name: str, lost: Fact[bool] | Fact[str] | Fact[str | None]) -> Fact[str]:
    detail = str(lost.detail)
    return Fact(unread=lost.unread, detail=detail if name in detail else f"{name}: {detail}", evidence=lost.evidence)
