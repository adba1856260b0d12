"""MD arrays that mdadm and the kernel made (tests/fixtures/mdraid), and how they are made again.

An array is a tar of its members `m0`, `m1`, ... with what the kernel read of it (`expected`) and what mdadm said
(`detail`, `examine`). All were filled with `pattern()` from its start.
"""

from __future__ import annotations

import os
import struct
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance import environment
from tools import FIXTURES, require_tool

from imgscan.devices.memory import MemoryDevice
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.mdraid import assemble

FOLDER = FIXTURES / "mdraid"
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))


@dataclass(frozen=True)
class Array:
    name: str
    members: tuple[bytes, ...]
    expected: dict[str, str]
    detail: str
    examine: str

    @property
    def size(self) -> int:
        return int(self.expected["size"])

    def assembled(self, *without: int, members: tuple[bytes, ...] | None = None) -> Assembled:
        """Return what imgscan makes of the members, but those left out."""
        there = self.members if members is None else members
        (found,) = assemble([member(index, data) for index, data in enumerate(there) if index not in without])
        return found


def member(index: int, data: bytes) -> Member:
    name = f"disk{index}/p1"
    return Member(name, MemoryDevice(data, name), "linux_raid_member")


def load(name: str, folder: Path = FOLDER) -> Array:
    """Read an array of the fixtures."""
    files: dict[str, bytes] = {}
    with tarfile.open(folder / f"{name}.tar.xz") as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None:
                files[Path(entry.name).name] = content.read()
    pairs = [line.split("=", 1) for line in files["expected"].decode().splitlines()] if "expected" in files else []
    members = [files[f"m{index}"] for index in range(len(files)) if f"m{index}" in files]
    texts = [files.get(text, b"").decode() for text in ("detail", "examine")]
    return Array(name, tuple(members), dict(pairs), *texts)


def pattern(size: int = 12 << 20) -> bytes:
    """Return what arrays are filled with: every sector repeats its number, counted from 1."""
    return b"".join(struct.pack("<Q", number + 1) * 64 for number in range(-(-size // 512)))[:size]


def make(folder: Path = FOLDER) -> list[str]:
    """Make all arrays again, in the appliance of libguestfs (an hour under emulation, on a busy machine)."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "pattern").write_bytes(pattern())
        with (work / "store.img").open("wb") as store:
            store.truncate(1 << 30)
        script = f"""
            run
            mkfs ext4 /dev/sda
            mount /dev/sda /
            upload {FOLDER / "make_arrays.sh"} /make_arrays.sh
            upload {work / "pattern"} /pattern
            debug sh "bash /sysroot/make_arrays.sh /sysroot/pattern /sysroot/out > /sysroot/log 2>&1"
            copy-out /out /log {work}
        """
        order = [require_tool("guestfish"), "-a", str(work / "store.img")]
        subprocess.run(order, input=script, text=True, check=True, env=environment())
        return [pack(path, folder) for path in sorted((work / "out").iterdir())]


def pack(made: Path, folder: Path) -> str:
    """Pack the folder of an array into the fixtures: the same bytes from the same files."""
    for path in made.iterdir():
        if path.name.startswith("m"):
            subprocess.run([require_tool("fallocate"), "--dig-holes", str(path)], check=True)
    order = ["--sparse", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]
    target = folder / f"{made.name}.tar.xz"
    packing = {**os.environ, "XZ_OPT": "-9e"}
    subprocess.run(
        [require_tool("tar"), *order, "-cJf", str(target), "-C", str(made.parent), made.name],
        check=True,
        env=packing,
    )
    return made.name
