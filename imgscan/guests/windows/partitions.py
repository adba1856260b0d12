"""Finds the volume that Windows means: by MBR signature and offset, by GPT identifier, or by boot.ini's ARC path."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from imgscan.model.disk import Disk

_EXTENDED: Final = {"0x05", "0x0f", "0x85"}


class PartitionName(msgspec.Struct, frozen=True):
    """A partition as Windows stores it: `source` is `mbr:5cbea03e@1048576` or `gpt:GUID`.

    `volume` is the volume that it is, None when there is none, or several.
    """

    source: str
    volume: str | None


class Partitions:
    """The partitions of all disks."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        self._disks = disks
        self._by_source: dict[str, list[str]] = {}
        for disk in disks:
            table = disk.partition_table
            for partition in table.partitions if table is not None else ():
                source = None
                if table is not None and table.scheme == "gpt":
                    source = f"gpt:{partition.uuid}"
                elif table is not None and table.identifier is not None:
                    source = f"mbr:{table.identifier.removeprefix('0x')}@{partition.start}"
                if source is not None:
                    self._by_source.setdefault(source.lower(), []).append(partition.name)

    @property
    def disk_count(self) -> int:
        """How many disks there are."""
        return len(self._disks)

    def by_mbr(self, signature: int, start: int) -> PartitionName:
        """Return the partition that starts `start` bytes into the disk of this signature."""
        return self._named(f"mbr:{signature:08x}@{start}")

    def by_gpt(self, guid: bytes) -> PartitionName:
        """Return the partition with this identifier: 16 bytes as stored."""
        return self._named(f"gpt:{uuid.UUID(bytes_le=guid)}")

    def by_arc(self, first: str | None, disk: int, number: int) -> str | None:
        """Return the volume of an ARC path: `disk` counts from 0 from the disk `first`, `number` partitions from 1.

        Windows counts primary partitions first, in the order of the table, then logical ones; not the extended one.
        """
        order = sorted(self._disks, key=lambda candidate: candidate.name != first)  # the boot disk comes first
        if first is None or not 0 <= disk < len(order):
            return None
        return _numbered(order[disk], number)

    def disk_of(self, volume: str) -> str | None:
        """Return the name of the disk that a partition or whole-disk volume lies on, None for other volumes."""
        for disk in self._disks:
            table = disk.partition_table
            if volume == disk.name or any(one.name == volume for one in (table.partitions if table else ())):
                return disk.name
        return None

    def by_signature(self, signature: int, number: int) -> str | None:
        """Return the volume of an ARC path that names the disk by its signature."""
        found = [
            disk
            for disk in self._disks
            if disk.partition_table is not None and disk.partition_table.identifier == f"0x{signature:08x}"
        ]
        return _numbered(found[0], number) if len(found) == 1 else None

    def _named(self, source: str) -> PartitionName:
        volumes = self._by_source.get(source, [])
        return PartitionName(source, volumes[0] if len(volumes) == 1 else None)


def _numbered(disk: Disk, number: int) -> str | None:
    table = disk.partition_table
    partitions = sorted(
        (one for one in (table.partitions if table is not None else ()) if one.type.lower() not in _EXTENDED),
        key=lambda one: one.number,
    )
    return partitions[number - 1].name if 0 < number <= len(partitions) else None
