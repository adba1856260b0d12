"""A real system of system_trees.py as its own tools change it, and what imgscan reads of it.

The tree stays as it is: changes lie in an overlay. Needs root, and a kernel with overlayfs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from folder_filesystem import FolderFileSystem
from system_trees import system_tree

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.linux import Services, inspect_linux, read_access, read_environment
from imgscan.guests.systems import FoundSystem
from imgscan.model.fact import known
from imgscan.model.system import System
from imgscan.model.volume import Volume

IN_GUEST = """
set -eu
tree=$1
shift
mount -t proc proc "$tree/proc"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
exec chroot "$tree" "$@"
"""
"""Runs a program of the guest, in namespaces of its own: no mount and no firewall rule outlives it."""


@dataclass(frozen=True)
class RealSystem:
    """`folder` is the top of the guest's files."""

    folder: Path

    def run(self, *command: str, text: str = "", check: bool = True) -> str:
        """Run a tool of the guest in it, with `text` as its input; return what it printed."""
        done = subprocess.run(
            ["unshare", "--mount", "--net", "sh", "-c", IN_GUEST, "guest", self.folder, *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=1200,  # a busy machine
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    @property
    def tree(self) -> GuestTree:
        return GuestTree({"/": FolderFileSystem(self.folder)})

    def system(self) -> System:
        """Return the facts that imgscan reads of it, but for the costly ones."""
        filesystem = FolderFileSystem(self.folder)
        volume = Volume(
            name=filesystem.volume, kind="partition", on=("disk0",), size=1 << 30, content="ext4",
            signature=known("ext4"), uuid=known(None), label=known(None),
        )  # fmt: skip
        found = inspect_linux(FoundSystem("linux", volume.name), {volume.name: filesystem}, [volume], [])
        services = Services(found.tree)
        return read_access(read_environment(found.system, found.tree, services), found.tree, services)


@contextmanager
def real_system(name: str) -> Iterator[RealSystem]:
    """Yield the system called `name` in system_trees.py, whose changes are forgotten at the end."""
    with TemporaryDirectory(dir=system_tree(name).parent) as folder:
        upper, work, merged = (Path(folder) / each for each in ("upper", "work", "merged"))
        for each in (upper, work, merged):
            each.mkdir()
        options = f"lowerdir={system_tree(name)},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
        try:
            yield RealSystem(merged)
        finally:
            subprocess.run(["umount", "--lazy", merged], check=True)
