"""Fuzzing JFS: kept filesystems, case-sensitive and not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from unittest import mock

import grub_oracle
import jfs_images
from fuzzing import Oracle, Recipe, walk_files

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.filesystems import open_filesystem

NAMES: Final = 40
"""Names of one directory that are looked at: a mutant is read in a moment."""


def make(folder: Path) -> list[list[Path]]:
    """Unpack the kept images."""
    paths = []
    for label in ("plain", "os2"):
        path = folder / f"{label}.img"
        path.write_bytes(jfs_images.image(label))
        paths.append([path])
    return paths


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Read everything, and ask for a name by the order of the tree."""
    filesystem = open_filesystem(devices[0], "disk0", "jfs")
    list_of = filesystem.list
    try:
        filesystem.lookup(filesystem.root, "names")
    except ImageError as error:
        errors.append(error)
    with mock.patch.object(filesystem, "list", lambda directory: islice(list_of(directory), NAMES)):
        return walk_files(filesystem, errors)


ORACLE = Oracle(
    "GRUB", grub_oracle.files, grub_oracle.files_by_imgscan(lambda devices: open_filesystem(devices[0], "disk0", "jfs"))
)
RECIPE = Recipe(make, walk, oracle=ORACLE)
