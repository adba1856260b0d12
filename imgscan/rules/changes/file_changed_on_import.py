"""A file of the system will be changed by the importer.

What it checks
--------------
One answer for each file: `/etc/fstab`, every file of network configuration with a fixed IPv4 address, and the boot
menu. For each line it says what the vendor's documentation lets expect: kept, rewritten to a UUID (which one), `nofail`
added, commented out, disabled, or replaced by DHCP. Of the boot menu the default entry and the timeout may be set anew,
whatever it holds: that is to be looked at after the import.

Why it matters
--------------
A changed line is no error, but the imported machine behaves otherwise than the original: volumes are missing without a
message, shares are not mounted, addresses are others. The importer keeps each original beside the changed file, under
another name.

How to fix
----------
Make the changes yourself before the export: UUIDs in place of device names, no network filesystems, DHCP. After the
import look at the lines that are named here; correct names of disks and remove `nofail` where it does not belong.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, AtPath, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, manual, passed
from imgscan.model.system import Mount, System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.interfaces import leaves_the_machine, name_of
from imgscan.rules.mount_lines import listed, place_of

MENUS = 8
"""Files of boot menus that are named."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`types` are the filesystems whose lines are disabled, as the third field of fstab names them."""

    types: tuple[str, ...]


class _Line(msgspec.Struct, frozen=True):
    """What becomes of a line; `becomes` is None when it is kept."""

    place: str
    becomes: str | None
    evidence: tuple[Evidence, ...]


def check(machine: MachineFacts, system: System, params: Params) -> tuple[Result | UnreadFact, ...]:
    """Answer for each file by itself; one that was not read is open."""
    answers: list[Result | UnreadFact] = []
    asks: tuple[Callable[[], list[Result | UnreadFact]], ...] = (
        lambda: _mount_table(machine, system, params),
        lambda: _network(system),
        lambda: _boot_menu(system),
    )
    for ask in asks:
        try:
            answers += ask()
        except UnreadFact as signal:
            answers.append(signal)
    if not any(isinstance(answer, UnreadFact) or answer.outcome == "fail" for answer in answers):
        where = system.mounts.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
        answers.insert(0, passed("no line of /etc/fstab or of the network's configuration will be changed", *where))
    return tuple(answers)


def _mount_table(machine: MachineFacts, system: System, params: Params) -> list[Result | UnreadFact]:
    lines = [
        _Line(place_of(mount).removeprefix("fstab "), _becomes(machine, mount, params), mount.evidence)
        for mount in system.mounts.get()
    ]
    changed = [line for line in lines if line.becomes is not None]
    if not changed:
        return []
    kept = len(lines) - len(changed)
    said = listed([f"{line.place} {line.becomes}" for line in changed])
    said += f"; {kept} other line{'s' if kept != 1 else ''} kept" if kept else ""
    evidence = tuple(piece for line in changed for piece in line.evidence) or system.mounts.evidence
    return [failed(f"/etc/fstab: {said}", *(evidence or (AtOffset(system.root, 0, 0, "installed system"),)))]


def _becomes(machine: MachineFacts, mount: Mount, params: Params) -> str | None:
    """Say what becomes of a line of fstab."""
    if mount.flaw is not None:
        return f"is commented out ({mount.flaw})"
    if mount.type in params.types or mount.how == "network":
        return "is disabled (a network filesystem)"
    if mount.how not in {"device-name", "hardware-name"}:
        return None
    uuid = _uuid_of(machine, mount.volume)
    return f"is rewritten to UUID={uuid}" if uuid else "gets nofail (no UUID was found for it)"


def _uuid_of(machine: MachineFacts, name: str | None) -> str | None:
    volume = next((volume for volume in machine.volumes if volume.name == name), None)
    return volume.uuid.get() if volume is not None and volume.uuid is not None else None


def _network(system: System) -> list[Result | UnreadFact]:
    answers: list[Result | UnreadFact] = []
    for file in system.network.get():
        if not isinstance(file.evidence, AtPath):
            continue
        try:
            interfaces = file.interfaces.get()
        except UnreadFact as signal:
            answers.append(signal)
            continue
        fixed: dict[tuple[str, str], list[tuple[AtPath, str]]] = {}  # by file: a drop-in has its own lines
        for interface in interfaces:
            for address in interface.addresses if interface.kind != "loopback" else ():
                at = address.evidence
                if isinstance(at, AtPath) and not address.is_ipv6 and leaves_the_machine(address):
                    said = f"line {at.line} ({address.text}) of {name_of(interface)} is replaced by DHCP"
                    fixed.setdefault((at.volume, at.path), []).append((at, said))
        for (_, path), lines in fixed.items():
            answers.append(failed(f"{path}: {listed([said for _, said in lines])}", *(at for at, _ in lines)))
    return answers


def _boot_menu(system: System) -> list[Result | UnreadFact]:
    """Name each file of the boot menu with its default entry."""
    files: dict[tuple[str, str], str] = {}
    places: dict[tuple[str, str], AtPath] = {}
    for entry in system.menu.get():
        place = next((piece for piece in entry.evidence if isinstance(piece, AtPath)), None)
        if place is None:
            continue
        key = (place.volume, place.path)
        if key not in files and len(files) >= MENUS:
            break
        if entry.default or key not in files:
            files[key] = f"now {entry.title}" if entry.default else ""
            places[key] = place
    return [
        manual(
            f"{path}: the default entry{f' ({now})' if now else ''} and the timeout may be set anew",
            places[volume, path],
        )
        for (volume, path), now in files.items()
    ]


RULE = Rule(
    name="file-changed-on-import",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.mounts", "systems.network", "systems.menu", "volumes.uuid"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
