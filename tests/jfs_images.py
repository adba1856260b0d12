"""JFS filesystems that the kernel filled (tests/fixtures/jfs), and how they are made again.

`images.xz` holds the filesystems of `LABELS` one after another, each `MEBIBYTES` large; `plain.mounted` is the plain
one as it was while it was mounted. `LABEL.list.xz` is what the kernel read of one (all paths with their attributes),
`LABEL.sums.xz` the sum of every file's content, `LABEL.free` what statfs said.
"""

from __future__ import annotations

import lzma
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from appliance import environment
from tools import FIXTURES, require_tool

FOLDER = FIXTURES / "jfs"
LABELS: Final = ("plain", "plain.mounted", "utf8", "os2", "outer")
MEBIBYTES: Final = 20
FILTERS: Final = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 128 << 20}]


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


class Listing(NamedTuple):
    """All files, the sum of each file's content, and the numbers of statfs (block size, blocks, free, available...)."""

    files: dict[bytes, Listed]
    sums: dict[bytes, str]
    free: tuple[int, ...]


@cache
def _images(folder: Path) -> bytes:
    return lzma.decompress((folder / "images.xz").read_bytes())


def image(label: str, folder: Path = FOLDER) -> bytes:
    """Return the bytes of a filesystem."""
    at = LABELS.index(label) * (MEBIBYTES << 20)
    return _images(folder)[at : at + (MEBIBYTES << 20)]


@cache
def listing(label: str, folder: Path = FOLDER) -> Listing:
    """Return what the kernel read of a filesystem."""
    fields = lzma.decompress((folder / f"{label}.list.xz").read_bytes()).split(b"\0")[:-1]
    files = {}
    for at in range(0, len(fields), 10):
        path, kind, *numbers, target = fields[at : at + 10]
        size, mode, uid, gid, links = (int(number, 8 if index == 1 else 10) for index, number in enumerate(numbers[:5]))
        listed = Listed(path, kind.decode(), size, mode, uid, gid, links, float(numbers[5]), int(numbers[6]), target)
        files[path] = listed
    sums: dict[bytes, str] = {}
    if (folder / f"{label}.sums.xz").exists():
        for line in lzma.decompress((folder / f"{label}.sums.xz").read_bytes()).split(b"\0")[:-1]:
            digest, path = line.split(b"  ./", 1)
            sums[path] = digest.decode()
    return Listing(files, sums, tuple(map(int, (folder / f"{label}.free").read_text().split())))


def make(folder: Path = FOLDER, entries: int = 1500) -> None:
    """Make all filesystems again: mkfs.jfs here, filled in the appliance of libguestfs."""
    made: dict[str, list[str]] = {"plain": [], "utf8": [], "os2": ["-O"], "outer": []}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        made["outer"] = ["-J", f"device={work / 'log.img'}"]
        for label in ("store", "log", *made):
            with (work / f"{label}.img").open("wb") as file:
                file.truncate((1 << 30) if label == "store" else MEBIBYTES << 20)
        subprocess.run([require_tool("mkfs.jfs"), "-q", "-J", "journal_dev", str(work / "log.img")], check=True)
        for label, options in made.items():
            order = [require_tool("mkfs.jfs"), "-q", "-L", label, *options, str(work / f"{label}.img")]
            subprocess.run(order, check=True)
        script = f"""
            run
            mkfs ext4 /dev/sda
            mount /dev/sda /
            upload {FOLDER / "fill_jfs.sh"} /fill_jfs.sh
            debug sh "bash /sysroot/fill_jfs.sh /sysroot/out {entries} > /sysroot/log 2>&1; true"
            copy-out /out /log {work}
        """
        names = ["store", "plain", "utf8", "os2"]  # the kernel finds a journal elsewhere by a device number
        disks = [part for label in names for part in ("--format=raw", "-a", str(work / f"{label}.img"))]
        subprocess.run([require_tool("guestfish"), *disks], input=script, text=True, check=True, env=environment())
        (work / "out" / "plain.mounted").rename(work / "plain.mounted.img")
        pack({label: work / f"{label}.img" for label in LABELS}, work / "out", folder)


def pack(images: dict[str, Path], said: Path, folder: Path) -> None:
    """Pack the filesystems, and what the kernel said of them, into the fixtures."""
    joined = b"".join(images[label].read_bytes() for label in LABELS)
    (folder / "images.xz").write_bytes(lzma.compress(joined, filters=FILTERS))
    for path in said.iterdir():
        if path.suffix == ".free":
            (folder / path.name).write_bytes(path.read_bytes())
        elif path.suffix in {".list", ".sums"}:
            (folder / f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
