"""Reads hives with libhivex, the foreign reader of these tests, which comes with hivexsh."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_UNSAFE = 8


class HivexKey(NamedTuple):
    """A key: the names from the root on, and its values in the hive's order as name, type and data.

    `values` is None where hivex cannot read them, and a value's data where it cannot read that.
    """

    path: tuple[str, ...]
    values: tuple[tuple[str, int, bytes | None], ...] | None


class HivexFile:
    """A hive as libhivex looks into it, by path."""

    def __init__(self, path: Path, *, damaged: bool = False) -> None:
        """Open it; `damaged`: it passes over what it cannot read."""
        library = self._library = ctypes.CDLL("libhivex.so.0")
        c_handle, c_node = ctypes.c_void_p, ctypes.c_size_t
        for name, result, arguments in (
            ("open", c_handle, [ctypes.c_char_p, ctypes.c_int]),
            ("close", ctypes.c_int, [c_handle]),
            ("root", c_node, [c_handle]),
            ("node_name", ctypes.c_char_p, [c_handle, c_node]),
            ("node_children", ctypes.POINTER(c_node), [c_handle, c_node]),
            ("node_get_child", c_node, [c_handle, c_node, ctypes.c_char_p]),
            ("node_values", ctypes.POINTER(c_node), [c_handle, c_node]),
            ("node_get_value", c_node, [c_handle, c_node, ctypes.c_char_p]),
            ("value_key", ctypes.c_char_p, [c_handle, c_node]),
            ("value_value", ctypes.c_void_p, [c_handle, c_node, ctypes.c_void_p, ctypes.c_void_p]),
        ):
            function = getattr(library, f"hivex_{name}")
            function.restype, function.argtypes = result, arguments
        self._handle = library.hivex_open(str(path).encode(), _UNSAFE if damaged else 0)
        assert self._handle, "hivex does not open the hive"

    def close(self) -> None:
        self._library.hivex_close(self._handle)

    def node(self, path: str) -> int:
        """Return a key, 0 when it is not there."""
        node = int(self._library.hivex_root(self._handle))
        for name in filter(None, path.split("\\")):
            node = node and int(self._library.hivex_node_get_child(self._handle, node, name.encode()) or 0)
        return node

    def value(self, path: str, name: str) -> tuple[int, bytes | None] | None:
        """Return type and data of a value, None when it or its key is not there; the empty name is the default's."""
        node = self.node(path)
        value = node and self._library.hivex_node_get_value(self._handle, node, name.encode())
        return _value(self._library, self._handle, value)[1:] if value else None

    def children(self, path: str) -> list[str]:
        """Return the names of the keys below one."""
        return [name for name, _ in self._named(self.node(path))]

    def walk(self) -> Iterator[HivexKey]:
        """Yield all keys, each before those below."""
        todo: list[tuple[tuple[str, ...], int]] = [((), self._library.hivex_root(self._handle))]
        while todo:
            names, node = todo.pop()
            listed = self._library.hivex_node_values(self._handle, node)
            values = None
            if listed:
                values = tuple(_value(self._library, self._handle, value) for value in _listed(listed))
            yield HivexKey(names, values)
            todo += [((*names, name), child) for name, child in self._named(node)]

    def _named(self, node: int) -> Iterator[tuple[str, int]]:
        for child in _listed(self._library.hivex_node_children(self._handle, node)):
            name = self._library.hivex_node_name(self._handle, child)
            if name is not None:
                yield name.decode("utf-8", "surrogatepass"), child


def read_hive(path: Path, *, damaged: bool = False) -> Iterator[HivexKey]:
    """Yield all keys that hivex reads, each before those below."""
    hive = HivexFile(path, damaged=damaged)
    yield from hive.walk()
    hive.close()


def _listed(pointer: object) -> Iterator[int]:
    index = 0
    while pointer and pointer[index]:  # type: ignore[index] # a C array that ends with 0
        yield pointer[index]  # type: ignore[index]
        index += 1


def _value(library: ctypes.CDLL, handle: int, value: int) -> tuple[str, int, bytes | None]:
    type_, length = ctypes.c_uint(), ctypes.c_size_t()
    data = library.hivex_value_value(handle, value, ctypes.byref(type_), ctypes.byref(length))
    name = library.hivex_value_key(handle, value) or b""
    content = ctypes.string_at(data, length.value) if data else None
    return name.decode("utf-8", "surrogatepass"), type_.value, content
