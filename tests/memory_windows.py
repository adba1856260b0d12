"""Files in memory behind the `FileSystem` protocol, compared without case as Windows does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from imgscan.devices.filesystem import Entry
from imgscan.errors import CorruptStructure
from imgscan.model.volume import Free


class MemoryFileSystem:
    """`files` by path; reading one of `unreadable` (a file, or a directory's names) raises `CorruptStructure`."""

    case_sensitive = False
    root = 0

    def __init__(
        self,
        files: Mapping[str, bytes],
        volume: str = "disk0/p1",
        type_: str = "ntfs",
        unreadable: tuple[str, ...] = (),
    ) -> None:
        self.volume = volume
        self.type = type_
        self._data: list[bytes | None] = [None]
        self._names: list[dict[str, int]] = [{}]
        self._unreadable: set[int] = set()
        for path, data in files.items():
            node = 0
            parts = path.strip("/").split("/")
            for depth, part in enumerate(parts, 1):
                found = next((n for name, n in self._names[node].items() if name.lower() == part.lower()), None)
                if found is None:
                    found = len(self._data)
                    self._data.append(data if depth == len(parts) else None)
                    self._names.append({})
                    self._names[node][part] = found
                node = found
                if "/" + "/".join(parts[:depth]) in unreadable:
                    self._unreadable.add(node)

    def stat(self, node: int) -> Entry:
        data = self._data[node]
        return Entry(node, "", "directory" if data is None else "file", len(data or b""))

    def lookup(self, directory: int, name: str) -> Entry | None:
        self._check(directory)
        return next((entry for entry in self.list(directory) if entry.name.lower() == name.lower()), None)

    def list(self, directory: int) -> Iterator[Entry]:
        self._check(directory)
        for name, node in self._names[directory].items():
            yield msgspec.structs.replace(self.stat(node), name=name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        self._check(node)
        return (self._data[node] or b"")[offset : offset + length]

    def readlink(self, node: int) -> str:
        raise CorruptStructure(f"{node} is no link", where=self.volume)

    def free(self) -> Free:
        return Free(0, 0, None)

    def free_cost(self) -> int:
        return 0

    def condition(self) -> str | None:
        return None

    def _check(self, node: int) -> None:
        if node in self._unreadable:
            raise CorruptStructure(f"node {node} is damaged", where=self.volume, offset=0)
