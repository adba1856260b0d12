"""Fuzzing XFS: the kept images, of version 5 with checksums and of version 4 without."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import grub_oracle
from fuzzing import Oracle, Recipe, walk_files
from xfs_images import kept

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.filesystems import open_filesystem, xfs_volume
from imgscan.layouts import xfs


def make(folder: Path) -> list[list[Path]]:
    """Unpack the kept images."""
    return [[kept(name, folder)] for name in ("xfs-v5", "xfs-v4", "xfs-new", "xfs-dirty")]


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Read everything, without the pages below: so each structure is a read of its own, and damage meets it."""
    with mock.patch.object(xfs_volume, "CachedDevice", lambda device: device):
        return walk_files(open_filesystem(devices[0], "disk0", "xfs"), errors)


def trusting() -> AbstractContextManager[object]:
    """Believe every checksum."""
    return mock.patch.multiple(xfs, is_checksum_right=lambda *_: True, is_superblock_checksum_right=lambda *_: True)


def is_structure(data: bytes) -> bool:
    """Whether it begins as an inode, a block of metadata, or a record of the log."""
    return data[:4] in _MAGICS or data[:2] == b"IN" or data[8:10] in _INDEX_MAGICS


_MAGICS = {
    *(b"XFSB", b"XAGF", b"XDB3", b"XDD3", b"XD2B", b"XD2D", b"BMA3", b"BMAP", b"XSLM", b"x/x/"),
    xfs.LOG_MAGIC.to_bytes(4, "big"),
}
_INDEX_MAGICS = {magic.to_bytes(2, "big") for magic in (0xD2F1, 0xD2FF, 0xFEBE, 0x3DF1, 0x3DFF, 0x3EBE)}
ORACLE = Oracle(
    "GRUB", grub_oracle.files, grub_oracle.files_by_imgscan(lambda devices: open_filesystem(devices[0], "disk0", "xfs"))
)
RECIPE = Recipe(make, walk, trusting, is_structure, oracle=ORACLE)
