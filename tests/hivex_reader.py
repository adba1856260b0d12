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


def read_hive(path: Path, *, damaged: bool = False) -> Iterator[HivexKey]:
    """Yield all keys that hivex reads, each before those below; `damaged`: it passes over what it cannot read."""
    library = ctypes.CDLL("libhivex.so.0")
    c_handle, c_node = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
        ("open", c_handle, [ctypes.c_char_p, ctypes.c_int]),
        ("close", ctypes.c_int, [c_handle]),
        ("root", c_node, [c_handle]),
        ("node_name", ctypes.c_char_p, [c_handle, c_node]),
        ("node_children", ctypes.POINTER(c_node), [c_handle, c_node]),
        ("node_values", ctypes.POINTER(c_node), [c_handle, c_node]),
        ("value_key", ctypes.c_char_p, [c_handle, c_node]),
        ("value_value", ctypes.c_void_p, [c_handle, c_node, ctypes.c_void_p, ctypes.c_void_p]),
    ):
        function = getattr(library, f"hivex_{name}")
        function.restype, function.argtypes = result, arguments
    handle = library.hivex_open(str(path).encode(), _UNSAFE if damaged else 0)
    assert handle, "hivex does not open the hive"
    todo: list[tuple[tuple[str, ...], int]] = [((), library.hivex_root(handle))]
    while todo:
        names, node = todo.pop()
        listed = library.hivex_node_values(handle, node)
        values = tuple(_value(library, handle, value) for value in _listed(listed)) if listed else None
        yield HivexKey(names, values)
        for child in _listed(library.hivex_node_children(handle, node)):
            name = library.hivex_node_name(handle, child)
            if name is not None:
                todo.append(((*names, name.decode("utf-8", "surrogatepass")), child))
    library.hivex_close(handle)


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
