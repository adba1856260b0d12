"""Small filesystems for tests, made without loop devices: mke2fs -d, mkfs.vfat with mcopy, a kept NTFS."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

from tools import FIXTURES, require_tool

from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice
from imgscan.devices.host_files import open_given


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
