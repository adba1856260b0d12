"""Fuzzing Btrfs: the kept images, of one device and of several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import grub_oracle
from btrfs_images import kept
from fuzzing import Oracle, Recipe, walk_files

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.filesystems.btrfs import open_btrfs
from imgscan.filesystems.btrfs_checksum import Checksum

_NAMES = ("compression", "shapes", "holes", "subvolumes", "suse", "raid1", "raid5", "raid0", "dup")


def make(folder: Path) -> list[list[Path]]:
    """Unpack the kept images."""
    return [[device.save(folder / f"{name}-{device.name}") for device in kept(name)] for name in _NAMES]


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Read everything of the default subvolume, and where the others are."""
    filesystem = open_btrfs(devices, "disk0")
    digest = walk_files(filesystem, errors, 120)
    try:
        for subvolume in filesystem.subvolumes():
            digest += repr(subvolume)
            digest += repr([entry.name for entry in filesystem.list(subvolume.root)][:50])
            digest += repr(filesystem.subvolume(subvolume.path) == subvolume)
    except ImageError as error:
        errors.append(error)
    return digest


def trusting() -> AbstractContextManager[object]:
    """Believe every checksum."""
    return mock.patch.object(Checksum, "is_right", return_value=True)


def is_structure(data: bytes) -> bool:
    """Whether it is a superblock, or a tree node: generation, owner, count and level are small numbers."""
    if data[64:72] == b"_BHRfS_M":
        return True
    return len(data) >= 4096 and any(data[80:82]) and not any(data[84:88]) and not any(data[98:100]) and data[100] < 8


ORACLE = Oracle("GRUB", grub_oracle.files, grub_oracle.files_by_imgscan(lambda devices: open_btrfs(devices, "disk0")))
RECIPE = Recipe(make, walk, trusting, is_structure, oracle=ORACLE)
