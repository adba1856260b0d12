"""Fuzzing XFS: the kept images, of version 5 with checksums and of version 4 without."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

from fuzzing import Recipe, walk_files
from xfs_images import kept

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.filesystems import open_filesystem
from imgscan.layouts import xfs


def make(folder: Path) -> list[list[Path]]:
    """Unpack the kept images."""
    return [[kept(name, folder)] for name in ("xfs-v5", "xfs-v4", "xfs-new", "xfs-dirty")]


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Read everything."""
    return walk_files(open_filesystem(devices[0], "disk0", "xfs"), errors)


def trusting() -> AbstractContextManager[object]:
    """Believe every checksum."""
    return mock.patch.multiple(xfs, is_checksum_right=lambda *_: True, is_superblock_checksum_right=lambda *_: True)


def is_structure(data: bytes) -> bool:
    """Whether it begins as a block of metadata, or has inodes in it."""
    if data[:4] in _MAGICS or data[8:10] in _INDEX_MAGICS:
        return True
    return any(data[at : at + 2] == b"IN" for at in range(0, len(data), 256)) or data[:4] == b"\xfe\xed\xba\xbe"


_MAGICS = {b"XFSB", b"XAGF", b"XDB3", b"XDD3", b"XD2B", b"XD2D", b"BMA3", b"BMAP", b"XSLM", b"x/x/"}
_INDEX_MAGICS = {magic.to_bytes(2, "big") for magic in (0xD2F1, 0xD2FF, 0xFEBE, 0x3DF1, 0x3DFF, 0x3EBE)}
RECIPE = Recipe(make, walk, trusting, is_structure)
