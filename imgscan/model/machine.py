"""Everything that was read about one machine; a rule sees this and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from imgscan.errors import Why
from imgscan.model.boot import Boot
from imgscan.model.disk import Disk
from imgscan.model.fact import Fact
from imgscan.model.system import System
from imgscan.model.volume import Volume


class UnreadPlace(msgspec.Struct, frozen=True):
    """A part of the machine that was not read: `where` is a disk, volume or file name."""

    where: str
    why: Why
    detail: str


class StageIo(msgspec.Struct, frozen=True):
    """Reads of host files in one stage, and the bytes they returned."""

    reads: int
    bytes: int


class Io(msgspec.Struct, frozen=True):
    """Reads of host files in all, and by stage of the scan."""

    reads: int
    bytes: int
    stages: dict[str, StageIo]


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one machine.

    `systems_searched` lists the volumes that were searched for an installed system; it is unread when a volume that
    could hold one (on the boot disk, or any while no readable root was found) could not be searched.
    """

    name: str
    disks: tuple[Disk, ...]
    volumes: tuple[Volume, ...]
    boot: Boot
    systems: tuple[System, ...]
    systems_searched: Fact[tuple[str, ...]]
    unread: tuple[UnreadPlace, ...]
    io: Io

    def disk(self, name: str) -> Disk:
        """Return the disk of that name."""
        return next(disk for disk in self.disks if disk.name == name)

    def volume(self, name: str) -> Volume:
        """Return the volume of that name."""
        return next(volume for volume in self.volumes if volume.name == name)

    def disks_below(self, name: str) -> frozenset[str]:
        """Return the names of the disks that a volume (or disk) lies on, through all layers."""
        return disks_below(name, self.disks, self.volumes)


def disks_below(name: str, disks: Iterable[Disk], volumes: Iterable[Volume]) -> frozenset[str]:
    """Return the names of the disks that a volume (or disk) lies on, through all layers."""
    below = {volume.name: volume.on for volume in volumes}
    todo, seen = [name], set[str]()
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.add(place)
            todo.extend(below.get(place, ()))
    return frozenset(seen & {disk.name for disk in disks})


class Tool(msgspec.Struct, frozen=True):
    """Which imgscan wrote a file, with which libraries."""

    name: str
    version: str
    libraries: dict[str, str]


class FactsFile(msgspec.Struct, frozen=True, kw_only=True):
    """What `imgscan inspect --format json` writes and `imgscan judge` reads."""

    schema: str = "imgscan.facts/1"
    tool: Tool
    machine: MachineFacts
