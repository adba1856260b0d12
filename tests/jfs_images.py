"""JFS filesystems that the kernel filled (tests/fixtures/jfs), and how they are made again.

The files are `LABEL.img.xz` with what the kernel read of it in `LABEL.list.xz` (all paths with their attributes),
`LABEL.sums.xz` (of every file's content) and `LABEL.free`.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools import FIXTURES, require_tool

FOLDER = FIXTURES / "jfs"
APPLIANCE = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
LABELS = ("plain", "utf8", "os2", "outer")


class Listed(NamedTuple):
    """A file as the kernel shows it: `kind` is find's letter, `target` of a symbolic link."""

    path: bytes
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: float
    inode: int
    target: bytes


class Kept(NamedTuple):
    """A filesystem: its bytes, all files, the sum of each file's content, and the numbers of statfs."""

    image: bytes
    files: dict[bytes, Listed]
    sums: dict[bytes, str]
    free: tuple[int, ...]


def load(label: str, folder: Path = FOLDER) -> Kept:
    """Read a filesystem of the fixtures."""

    def unpacked(name: str) -> bytes:
        return lzma.decompress((folder / f"{name}.xz").read_bytes())

    fields = unpacked(f"{label}.list").split(b"\0")[:-1]
    files = {}
    for at in range(0, len(fields), 10):
        path, kind, size, mode, uid, gid, links, mtime, inode, target = fields[at : at + 10]
        files[path] = Listed(
            path,
            kind.decode(),
            int(size),
            int(mode, 8),
            int(uid),
            int(gid),
            int(links),
            float(mtime),
            int(inode),
            target,
        )
    lines = [line.split(b"  ./", 1) for line in unpacked(f"{label}.sums").split(b"\0")[:-1]]
    sums = {path: digest.decode() for digest, path in lines}
    free = tuple(map(int, (folder / f"{label}.free").read_text().split()))
    return Kept(unpacked(f"{label}.img"), files, sums, free)


def make(folder: Path = FOLDER, mebibytes: int = 20, entries: int = 1500) -> None:
    """Make all filesystems again: mkfs.jfs here, filled in the appliance of libguestfs."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        made = {"plain": [], "utf8": [], "os2": ["-O"], "outer": ["-J", f"device={work / 'log.img'}"]}
        for label in ("store", "log", *made):
            with (work / f"{label}.img").open("wb") as image:
                image.truncate((1 << 30) if label == "store" else mebibytes << 20)
        subprocess.run([require_tool("mkfs.jfs"), "-q", "-J", "journal_dev", str(work / "log.img")], check=True)
        for label, options in made.items():
            order = [require_tool("mkfs.jfs"), "-q", "-L", label, *options, str(work / f"{label}.img")]
            subprocess.run(order, check=True)
        names = ["store", "log", *made]
        store = "/dev/sda"
        script = f"""
            run
            mkfs ext4 {store}
            mount {store} /
            upload {FOLDER / "fill_jfs.sh"} /fill_jfs.sh
            debug sh "bash -x /sysroot/fill_jfs.sh /sysroot/out {entries} > /sysroot/log 2>&1; true"
            copy-out /out /log {work}
        """
        disks = [part for label in names for part in ("--format=raw", "-a", str(work / f"{label}.img"))]
        environment = {**os.environ, **APPLIANCE}
        subprocess.run([require_tool("guestfish"), *disks], input=script, text=True, check=True, env=environment)
        (folder / "log.txt").write_bytes((work / "log").read_bytes())
        files = {f"{label}.img": work / f"{label}.img" for label in made}
        files |= {path.name: path for path in (work / "out").iterdir()}
        for kept, path in files.items():
            if kept.endswith(".free"):
                (folder / kept).write_bytes(path.read_bytes())
            else:
                (folder / f"{kept}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
