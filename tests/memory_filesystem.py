"""A filesystem in memory for tests of what reads guests: paths to content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imgscan.devices.filesystem import Entry
from imgscan.errors import ImageError
from imgscan.model.volume import Free


class Link(str):
    """A symbolic link's target, as the content of a path."""

    __slots__ = ()


class Device:
    """A device, as the content of a path."""


Content = str | bytes | ImageError | Device | None


class MemoryFileSystem:
    """`files` maps absolute paths to content: text, bytes, a `Link`, a Device, None for a directory, or an error
    to raise.

    Parents come by themselves. `lookups` counts what was asked.
    """

    def __init__(
        self,
        files: Mapping[str, str | Link]
        | Mapping[str, str | bytes]
        | Mapping[str, str | ImageError]
        | Mapping[str, Content],
        volume: str = "disk0/p1",
        type_: str = "ext4",
    ) -> None:
        self.volume = volume
        self.type = type_
        self.case_sensitive = type_.startswith("ext")
        self.root = 0
        self.lookups = 0
        self._nodes: list[Content] = [None]
        self._children: dict[int, dict[str, int]] = {0: {}}
        for path, content in files.items():
            self.add(path, content)

    def add(self, path: str, content: Content) -> None:
        """Put a file into it."""
        node = 0
        *folders, name = path.strip("/").split("/")
        for folder in folders:
            node = self._child(node, folder, None)
        self._child(node, name, content)

    def _child(self, parent: int, name: str, content: Content) -> int:
        children = self._children[parent]
        if name not in children:
            self._nodes.append(content)
            children[name] = len(self._nodes) - 1
            if content is None:
                self._children[children[name]] = {}
        return children[name]

    def stat(self, node: int) -> Entry:
        return self._entry(node, "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        self.lookups += 1
        for found, node in self._children.get(directory, {}).items():
            if found == name or (not self.case_sensitive and found.casefold() == name.casefold()):
                return self._entry(node, found)
        return None

    def list(self, directory: int) -> Iterator[Entry]:
        for name, node in self._children[directory].items():
            yield self._entry(node, name)

    def read(self, node: int, offset: int, length: int) -> bytes:
        return self._content(node)[offset : offset + length]

    def readlink(self, node: int) -> str:
        return str(self._nodes[node])

    def free(self) -> Free:
        return Free(0, 0, None)

    def free_cost(self) -> int:
        return 0

    def condition(self) -> str | None:
        return None

    def _content(self, node: int) -> bytes:
        content = self._nodes[node]
        assert not isinstance(content, Device)
        if isinstance(content, ImageError):
            raise content
        return content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content or b""

    def _entry(self, node: int, name: str) -> Entry:
        content = self._nodes[node]
        if content is None:
            return Entry(node, name, "directory", 0)
        if isinstance(content, Device):
            return Entry(node, name, "device", 0)
        if isinstance(content, Link):
            return Entry(node, name, "symlink", len(content))
        return Entry(node, name, "file", 4096 if isinstance(content, ImageError) else len(self._content(node)))
