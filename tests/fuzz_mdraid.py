"""Fuzzing MD RAID: kept arrays of every level, whole ones and such that are in the middle of something."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import grub_oracle
from fuzzing import Oracle, Recipe
from mdraid_arrays import load

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts import mdraid as layout
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.mdraid import assemble

ARRAYS = (
    *("linear-1.2", "raid0-zones-original", "raid1-0.90", "raid1-1.0", "raid1-spare", "raid4-1.2", "raid5-0.90"),
    *("raid5-left-symmetric", "raid6-left-symmetric", "raid6-ddf-N-continue", "raid10-far3-of-5", "raid10-offset2"),
    *("raid5-stale", "raid5-recovering", "raid5-replacing", "raid5-bad-blocks", "raid6-growing", "raid10-growing"),
)
WITHOUT_FIRST = frozenset({"raid4-1.2", "raid5-0.90", "raid6-ddf-N-continue", "raid10-offset2", "raid6-growing"})
"""Those that lack their first member."""
READ = 1 << 20
"""Bytes that are read of an array, at its start and at its end: a hostile one may say that it has petabytes."""


def make(folder: Path) -> list[list[Path]]:
    """Unpack kept arrays."""
    made = []
    for name in ARRAYS:
        paths = []
        for index, data in enumerate(load(name).members):
            path = folder / f"{name}-{index}"
            path.write_bytes(data)
            paths.append(path)
        made.append(paths[1:] if name in WITHOUT_FIRST else paths)
    return made


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Assemble and read."""
    members = [Member(f"disk{index}", device, "linux_raid_member") for index, device in enumerate(devices)]
    digest = hashlib.sha256()
    for found in assemble(members):
        digest.update(repr((found.name, found.size, found.on, sorted(found.metadata.items()))).encode())
        if found.error is not None:
            errors.append(found.error)
        if found.device is None:
            continue
        places = {0, max(0, found.size - READ)}
        for start in sorted(places):
            for at in range(start, min(start + READ, found.size), 64 * 1024):
                try:
                    digest.update(found.device.read_at(at, min(64 * 1024, found.size - at)))
                except ImageError as error:
                    errors.append(error)
    return digest.hexdigest()


def trusting() -> AbstractContextManager[object]:
    """Believe every checksum."""
    return mock.patch.object(layout.MdSuperblock, "is_checksum_good", True)


def is_structure(data: bytes) -> bool:
    """Whether it begins as a superblock; the rest is the array's content."""
    return int.from_bytes(data[:4], "little") == layout.MAGIC


def _assembled(devices: Sequence[BlockDevice]) -> list[tuple[str, Assembled]]:
    """Return the volumes by GRUB's names for them."""
    volumes = assemble([Member(f"disk{n}", device, "linux_raid_member") for n, device in enumerate(devices)])
    names = []
    for volume in volumes:
        name = volume.metadata.get("array_name", "").rpartition(":")[2]
        names.append(f"md/{name or 'md' + volume.metadata.get('preferred_minor', '')}")
    return list(zip(names, volumes, strict=True))


ORACLE = Oracle("GRUB", grub_oracle.volumes, grub_oracle.volumes_by_imgscan(_assembled))
RECIPE = Recipe(make, walk, trusting, is_structure, oracle=ORACLE)
