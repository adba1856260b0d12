"""Small filesystems for tests, made without loop devices: mke2fs -d, mkfs.vfat with mcopy, a kept NTFS."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest
from tools import FIXTURES, require_tool

from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.host_files import open_given
from imgscan.errors import ImageError, TruncatedRead


def make_ext(tree: Path, image: Path, type_: str = "ext4", size: str = "16M", *options: str) -> Path:
    """Make an ext filesystem with the content of a folder."""
    run("mke2fs", "-q", "-F", "-t", type_, *options, "-d", str(tree), str(image), size)
    return image


def make_fat(tree: Path, image: Path, mebibytes: int = 16, *options: str) -> Path:
    """Make a FAT filesystem with the content of a folder."""
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    run("mkfs.vfat", *options, str(image))
    for entry in sorted(tree.iterdir()):
        run("mcopy", "-s", "-i", str(image), str(entry), "::/")
    return image


def kept_ntfs(image: Path) -> Path:
    """Unpack the NTFS of tests/fixtures/filesystems."""
    image.write_bytes(lzma.decompress((FIXTURES / "filesystems" / "ntfs.img.xz").read_bytes()))
    return image


def run(tool: str, *arguments: str) -> str:
    """Run a foreign tool and return what it prints; skips the test where it is not installed."""
    result = subprocess.run([require_tool(tool), *arguments], check=True, capture_output=True, text=True)
    return result.stdout


def open_file(image: Path) -> tuple[FileDevice, IoCounter]:
    """Open a host file as a device, and the counter of its reads."""
    counter = IoCounter()
    device, _ = open_given(image, (), counter)
    return device, counter


class Unreadable:
    """A device of which some bytes cannot be read."""

    sector_size = 512

    def __init__(self, below: BlockDevice, start: int, length: int) -> None:
        self._below = below
        self._start = start
        self._end = start + length
        self.name = below.name
        self.size = below.size

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < self._end and offset + length > self._start:
            raise TruncatedRead("the bytes are not there", where=self.name, offset=self._start)
        return self._below.read_at(offset, length)


def names_until_damage(filesystem: FileSystem, directory: int) -> set[str]:
    """Return the names that a damaged directory gives before its error, which must come."""
    names: set[str] = set()

    def read_all() -> None:
        names.update(entry.name for entry in filesystem.list(directory))

    with pytest.raises(ImageError):
        read_all()
    return names
