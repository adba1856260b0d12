"""A folder of the host as a guest's filesystem, for tests on the trees of real systems: no disk has to be made."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.model.volume import Free


class FolderFileSystem:
    """Nodes are numbers of paths in the order in which they were first seen; links are not followed."""

    def __init__(self, folder: Path, volume: str = "disk0/p1") -> None:
        self.volume = volume
        self.type = "ext4"
        self.case_sensitive = True
        self.root = 0
        self._paths = [os.fspath(folder)]
        self._nodes = {self._paths[0]: 0}

    def stat(self, node: int) -> Entry:
        return self._entry(self._paths[node], "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        path = f"{self._paths[directory]}/{name}"
        return self._entry(path, name) if os.path.lexists(path) else None

    def list(self, directory: int) -> Iterator[Entry]:
        for name in os.listdir(self._paths[directory]):  # noqa: PTH208 - names, not paths
            yield self._entry(f"{self._paths[directory]}/{name}", name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        with open(self._paths[node], "rb") as file:  # noqa: PTH123 - a string
            file.seek(offset)
            return file.read(length)

    def readlink(self, node: int) -> str:
        return os.readlink(self._paths[node])  # noqa: PTH115 - a string

    def free(self) -> Free:
        return Free(0, 0, None)

    def free_cost(self) -> int:
        return 0

    def condition(self) -> str | None:
        return None

    def _entry(self, path: str, name: str) -> Entry:
        found = os.lstat(path)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
        if path not in self._nodes:
            self._nodes[path] = len(self._paths)
            self._paths.append(path)
        return Entry(self._nodes[path], name, kind, found.st_size, stat.S_IMODE(found.st_mode), found.st_mtime)


_KINDS: dict[int, EntryKind] = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device", stat.S_IFBLK: "device", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}  # fmt: skip
