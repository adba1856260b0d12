"""Fuzzing ext2, ext3 and ext4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grub_oracle
from filesystem_images import make_ext
from fuzzing import Oracle, Recipe, walk_files

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.filesystems import open_filesystem


def make(folder: Path) -> list[list[Path]]:
    """Make an ext2, an ext3 and an ext4 filesystem of some files."""
    tree = folder / "tree"
    (tree / "etc").mkdir(parents=True)
    for number in range(60):
        (tree / "etc" / f"file-number-{number}").write_bytes(b"%d\n" % number)
    (tree / "link").symlink_to("etc/file-number-1")
    (tree / "long-link").symlink_to("x/" * 100)
    (tree / "large").write_bytes(b"large" * 20_000)
    return [[make_ext(tree, folder / f"{kind}.img", kind, "2M", "-b", "1024")] for kind in ("ext2", "ext3", "ext4")]


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Read everything."""
    return walk_files(open_filesystem(devices[0], "disk0", "ext4"), errors)


ORACLE = Oracle(
    "GRUB",
    grub_oracle.files,
    grub_oracle.files_by_imgscan(lambda devices: open_filesystem(devices[0], "disk0", "ext4")),
)
RECIPE = Recipe(make, walk, oracle=ORACLE)
