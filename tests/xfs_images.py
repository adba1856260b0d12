"""XFS for tests: content that needs every form of directory, extent map and link, and listings to compare.

A listing maps each path to `[kind, size, mode, uid, gid, links, mtime, value]`: the size of files and links only, the
time to a hundredth of a second, as value a link's target or the digest of a file (`digest_of`).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filesystem_images import run
from tools import FIXTURES

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.filesystems import open_filesystem

Listing = dict[str, list[Any]]

FOLDER = FIXTURES / "filesystems"
KEPT = ("xfs-v5", "xfs-v4", "xfs-new", "xfs-dirty")
"""The kept images, made by make_xfs.py there."""
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
WHOLE = 16 * MIB
"""Files up to this size are digested whole, larger ones in places."""
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def fill(root: Path, *, many: int = 3000, extents: int = 600, step: int = 64 * KIB, late: bool = True) -> None:
    """Put the content below a folder: `many` names in the largest directory, a file of `extents` pieces.

    `late` is whether there are times after 2038.
    """
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_bytes(b"ID=debian\n")
    (root / "etc" / ("n" * 255)).write_bytes(b"longest name")
    (root / "etc" / b"na\xffme".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    (root / "etc" / "empty").write_bytes(b"")
    (root / "hard").hardlink_to(root / "etc" / "os-release")
    for name, count in (("none", 0), ("few", 3), ("block", 12), ("leaf", 60), ("many", many)):
        (root / name).mkdir()
        for number in range(count):
            path = root / name / f"a-file-of-number-{number}.conf"
            if number % 10:  # a name costs little, an inode more
                path.hardlink_to(path.with_name(f"a-file-of-number-{number // 100 * 100}.conf"))
            else:
                path.write_bytes(b"%d" % number)
    for number in range(20):  # two names of one hash each time
        (root / "many" / f"a{number:03}a").hardlink_to(root / "etc" / "empty")
        (root / "many" / f"q{number:03}`").hardlink_to(root / "hard")
    below = root
    for number in range(40):
        below /= f"level-{number}"
        below.mkdir()
    (below / "deep").write_bytes(b"deep")
    for length in (1, 59, 100, 155, 156, 157, 335, 336, 337, 500, 967, 968, 969, 1023):
        (root / f"link-of-{length}").symlink_to(("x/" * 512)[: length - 1] + "y")
    with (root / "pieces").open("wb") as file:
        for number in range(extents):
            file.seek(number * step)
            file.write(number.to_bytes(4, "big") * 256)
    with (root / "sparse").open("wb") as file:
        for offset, data in ((0, b"start"), (2 * GIB + 7, b"middle"), (4 * GIB + 14 - 3, b"end")):
            file.seek(offset)
            file.write(data)
    os.mkfifo(root / "fifo")
    os.mknod(root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    (root / "etc" / "empty").chmod(0o4755)
    os.chown(root / "etc" / "empty", 70000, 80000)
    os.utime(root / "etc" / "empty", (-5.25, -5.25))
    os.utime(root / "etc" / "os-release", (2**31 + 5.5, 2**31 + 5.5) if late else (2**31 - 5.5, 2**31 - 5.5))


def change(root: Path, *, reflink: bool = True) -> None:
    """Do on a mounted XFS what only it can do: names that are gone again, unwritten extents, shared blocks."""
    for number in range(0, 200, 7):
        (root / "many" / f"a-file-of-number-{number}.conf").unlink()
    for number in range(3, 60, 5):
        (root / "leaf" / f"a-file-of-number-{number}.conf").rename(root / "leaf" / f"renamed-{number}")
    run("xfs_io", "-f", "-c", "falloc 0 1m", "-c", "pwrite -q -S 0x41 300k 5k", str(root / "unwritten"))
    if reflink:
        run("cp", "--reflink=always", str(root / "pieces"), str(root / "clone"))
        with (root / "clone").open("r+b") as file:
            file.seek(100)
            file.write(b"changed")


def digest_of(read: Callable[[int, int], bytes], size: int) -> str:
    """Return the SHA-256 of a file's content; of the start, the middle and the end, when it is large."""
    digest = hashlib.sha256()
    if size <= WHOLE:
        for offset in range(0, size, MIB):
            digest.update(read(offset, min(MIB, size - offset)))
    else:
        for offset in (0, size // 2, size - 64 * KIB):
            digest.update(read(offset, 64 * KIB))
    return digest.hexdigest()


def listing_of_folder(root: Path) -> Listing:
    """Return what the kernel reads below a folder."""
    found: Listing = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            info = path.lstat()
            kind = _KINDS[stat.S_IFMT(info.st_mode)]
            size, value = 0, ""
            if kind == "symlink":
                size, value = info.st_size, str(path.readlink())
            elif kind == "file":
                descriptor = os.open(path, os.O_RDONLY)
                size = info.st_size
                value = digest_of(lambda offset, length, file=descriptor: os.pread(file, length, offset), size)  # type: ignore[misc]
                os.close(descriptor)
            found[str(path)[len(str(root)) :]] = [
                kind, size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_nlink,
                round(info.st_mtime, 2), value,
            ]  # fmt: skip
    return found


def listing(filesystem: FileSystem, every: int = 1) -> Listing:
    """Return what imgscan reads; every name, or each so many-th of a directory, is looked up too."""
    found: Listing = {}
    todo = [("", filesystem.root)]
    while todo:
        path, directory = todo.pop()
        for index, entry in enumerate(filesystem.list(directory)):
            assert index % every or filesystem.lookup(directory, entry.name) == entry
            size, value = 0, ""
            if entry.kind == "directory":
                todo.append((f"{path}/{entry.name}", entry.node))
            elif entry.kind == "symlink":
                size, value = entry.size, filesystem.readlink(entry.node)
            elif entry.kind == "file":
                node = entry.node
                size = entry.size
                value = digest_of(lambda offset, length, node=node: filesystem.read(node, offset, length), size)  # type: ignore[misc]
            found[f"{path}/{entry.name}"] = [
                entry.kind, size, entry.mode, entry.uid, entry.gid, entry.links, round(entry.mtime, 2), value,
            ]  # fmt: skip
        assert filesystem.lookup(directory, "no-such-name") is None
    return found


def opened(device: BlockDevice) -> FileSystem:
    """Open an XFS."""
    return open_filesystem(device, "disk0", "xfs")


@contextmanager
def mounted(image: Path, point: Path) -> Iterator[Path]:
    """Mount an image through a loop device."""
    point.mkdir(exist_ok=True)
    run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


def kept(name: str, folder: Path) -> Path:
    """Unpack a kept image, sparse."""
    image = folder / f"{name}.img"
    size = 0
    with lzma.open(FOLDER / f"{name}.img.xz") as packed, image.open("wb") as file:
        while piece := packed.read(64 * KIB):
            size += len(piece)
            if piece.count(0) == len(piece):
                file.seek(len(piece), 1)
            else:
                file.write(piece)
        file.truncate(size)
    return image


def kept_facts(name: str) -> dict[str, Any]:
    """Return what the kernel (`files`, `statfs`) and blkid say of a kept image."""
    facts = json.loads(lzma.decompress((FOLDER / f"{name}.json.xz").read_bytes()))
    assert isinstance(facts, dict)
    return facts
