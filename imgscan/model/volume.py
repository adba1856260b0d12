"""A volume: anything that can hold a filesystem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from imgscan.model.disk import Problem
from imgscan.model.fact import Fact

VolumeKind = Literal[
    "disk", "partition", "logical-volume", "thin-pool", "snapshot", "raid-array", "encrypted", "spanned"
]


class Free(msgspec.Struct, frozen=True):
    """Free space, as statfs(2) counts it: `bytes` with what only root may use, `available` without.

    `inodes` is None where there are none.
    """

    bytes: int
    available: int
    inodes: int | None

    def usable(self, content: str | None) -> int:
        """Return the bytes that root can write to a filesystem of that type.

        Btrfs keeps nothing for root: what is free and not available lies where no file's content goes, or is a copy.
        """
        return self.available if content == "btrfs" else self.bytes


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """One volume.

    `name` is `disk0` (whole disk), `disk0/p2`, `vg0/root`, ...; `on` names what lies directly below it; `size` is in
    bytes. `content` is the type name that libblkid uses, None when looked and nothing is there; `signature` is the
    same as a fact, with where the magic stands, or why it could not be looked for. `readable` is known True when
    imgscan reads its files, unread with the reason when not, and None when there is no filesystem to read.
    `label`, `uuid` and `free` are None where the content has no such thing. `condition` says how a readable filesystem
    was left (`imgscan.devices.filesystem`: `clean`, or what is wrong); its value is None where the type does not tell.

    Of a volume that a layer made (LVM2, RAID) `problems` are what is wrong with that layer, and `metadata` is what is
    worth showing of it: its UUID, its segments' types, the origin of a snapshot, ... A filesystem on several volumes is
    the first one of them, and lies on the others, whose `metadata` names it (`part_of`).
    """

    name: str
    kind: VolumeKind
    on: tuple[str, ...]
    size: int
    content: str | None
    signature: Fact[str | None]
    label: Fact[str | None] | None = None
    uuid: Fact[str | None] | None = None
    free: Fact[Free] | None = None
    readable: Fact[bool] | None = None
    condition: Fact[str | None] | None = None
    problems: tuple[Problem, ...] = ()
    metadata: dict[str, str] = {}


def whole_names(volumes: Sequence[Volume]) -> dict[str, str]:
    """Return, for each volume that is a further part of a filesystem on several ones, the name by which that goes."""
    return {volume.name: volume.metadata["part_of"] for volume in volumes if "part_of" in volume.metadata}


def mirror_names(volumes: Sequence[Volume]) -> dict[str, str]:
    """Return the mirror that is found, from its first byte on, at the start of each of its members, by member.

    MD 0.90 and 1.0 keep their metadata at the end, so firmware and boot loaders read such a member as if it were
    alone; also the partitions of a mirror of whole disks, as the disk's own (`disk0/p1` is `md/0123abcd/p1`).
    """
    names: dict[str, str] = {}
    for array in volumes:
        facts = array.metadata
        if facts.get("level") == "raid1" and facts.get("metadata_version", "").startswith(("0.90", "1.0")):
            inner = [volume.name for volume in volumes if volume.kind == "partition" and volume.on == (array.name,)]
            for member in array.on:
                names[member] = array.name
                names |= {f"{member}{name.removeprefix(array.name)}": name for name in inner}
    return names
