"""Btrfs images for tests: kept ones that the kernel made, and what a filesystem reads of one."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import FIXTURES, require_tool

from imgscan.devices.filesystem import FileSystem
from imgscan.errors import TruncatedRead

FOLDER = FIXTURES / "btrfs"
_PIECE = struct.Struct("<QI")
_BLOCK = 4096


class SparseDevice:
    """A device of which only some blocks of 4 KiB are not zeros; `read_bytes` and `reads` count. Writable by tests."""

    sector_size = 512

    def __init__(self, name: str, size: int, blocks: dict[int, bytes]) -> None:
        self.name = name
        self.size = size
        self.blocks = blocks
        self.reads = 0
        self.read_bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise TruncatedRead(f"{length} bytes at {offset} lie beyond the end", where=self.name, offset=offset)
        self.reads += 1
        self.read_bytes += length
        first, last = offset // _BLOCK, -(-(offset + length) // _BLOCK)
        data = b"".join(self.blocks.get(block, bytes(_BLOCK)) for block in range(first, last))
        return data[offset - first * _BLOCK : offset - first * _BLOCK + length]

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes within one block."""
        block, inside = divmod(offset, _BLOCK)
        old = self.blocks.get(block, bytes(_BLOCK))
        assert inside + len(data) <= _BLOCK
        self.blocks[block] = old[:inside] + data + old[inside + len(data) :]

    def copy(self) -> SparseDevice:
        return SparseDevice(self.name, self.size, dict(self.blocks))

    def save(self, path: Path) -> Path:
        with path.open("wb") as file:
            file.truncate(self.size)
            for block, data in self.blocks.items():
                file.seek(block * _BLOCK)
                file.write(data)
        return path


def from_file(path: Path) -> SparseDevice:
    """Load an image; its holes are skipped."""
    blocks: dict[int, bytes] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // _BLOCK * _BLOCK
            except OSError:  # no data any more
                break
            data = os.pread(file.fileno(), _BLOCK, at).ljust(_BLOCK, b"\0")
            if any(data):
                blocks[at // _BLOCK] = data
            at += _BLOCK
    return SparseDevice(path.name, size, blocks)


def pack(devices: list[SparseDevice]) -> bytes:
    """Return the kept form: for each device its size, then number and content of every block; packed by xz."""
    pieces: list[bytes] = []
    for device in devices:
        pieces.append(_PIECE.pack(device.size, 0))
        pieces += [_PIECE.pack(block, len(data)) + data for block, data in sorted(device.blocks.items())]
    return lzma.compress(b"".join(pieces), preset=9)


def kept(name: str) -> list[SparseDevice]:
    """Return the devices of a kept filesystem: `compression`, `raid1`, ..."""
    data = lzma.decompress((FOLDER / f"{name}.sparse.xz").read_bytes())
    devices: list[SparseDevice] = []
    at = 0
    while at < len(data):
        number, length = _PIECE.unpack_from(data, at)
        at += _PIECE.size
        if length:
            devices[-1].blocks[number] = data[at : at + length]
            at += length
        else:
            devices.append(SparseDevice(f"disk{len(devices)}", number, {}))
    return devices


def expected(name: str) -> dict[str, Any]:
    """Return what the kernel read of a kept filesystem when it was made (fixtures/btrfs/README.md)."""
    found: dict[str, Any] = json.loads(lzma.decompress((FOLDER / f"{name}.json.xz").read_bytes()))
    return found


def seen_by_kernel(top: Path) -> dict[str, list[Any]]:
    """Return kind, size and content (hash or target) of everything below a folder, by path."""
    found: dict[str, list[Any]] = {}
    for path in top.rglob("*"):
        info = path.lstat()
        shown = str(path.relative_to(top))
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[shown] = ["file", info.st_size, digest, info.st_nlink]
        elif kind == stat.S_IFLNK:
            found[shown] = ["symlink", info.st_size, str(path.readlink()), info.st_nlink]
        elif kind == stat.S_IFDIR:
            found[shown] = ["directory"]
        else:
            found[shown] = [{stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}.get(kind, "device")]
    return found


def seen(filesystem: FileSystem, root: int | None = None) -> dict[str, list[Any]]:
    """Return the same as imgscan reads it; every name is looked up too."""
    found: dict[str, list[Any]] = {}
    todo = [("", filesystem.root if root is None else root)]
    while todo:
        above, directory = todo.pop()
        for entry in filesystem.list(directory):
            assert filesystem.lookup(directory, entry.name) == entry
            path = above + entry.name
            if entry.kind == "file":
                digest = hashlib.sha256()
                for data in pieces(filesystem, entry.node):
                    digest.update(data)
                found[path] = ["file", entry.size, digest.hexdigest(), entry.links]
            elif entry.kind == "symlink":
                found[path] = ["symlink", entry.size, filesystem.readlink(entry.node), entry.links]
            else:
                found[path] = [entry.kind]
                if entry.kind == "directory":
                    todo.append((f"{path}/", entry.node))
    return found


def pieces(filesystem: FileSystem, node: int, size: int = 1 << 20) -> Iterator[bytes]:
    """Yield a file's content."""
    offset = 0
    while data := filesystem.read(node, offset, size):
        yield data
        offset += len(data)


def make_btrfs(tree: Path, image: Path, *options: str, mebibytes: int = 128) -> Path:
    """Make a Btrfs with the content of a folder: mkfs.btrfs --rootdir."""
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    command = [require_tool("mkfs.btrfs"), "-q", "-f", *options, "--rootdir", str(tree), str(image)]
    subprocess.run(command, check=True, capture_output=True)
    return image
