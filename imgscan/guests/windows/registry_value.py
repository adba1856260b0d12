"""A value of a registry key, and what its types mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from imgscan.errors import CorruptStructure
from imgscan.model.text import shown

REG_NONE, REG_SZ, REG_EXPAND_SZ, REG_BINARY, REG_DWORD, REG_DWORD_BIG_ENDIAN = 0, 1, 2, 3, 4, 5
REG_LINK, REG_MULTI_SZ, REG_QWORD = 6, 7, 11

TYPE_NAMES: Final = {
    0: "REG_NONE",
    1: "REG_SZ",
    2: "REG_EXPAND_SZ",
    3: "REG_BINARY",
    4: "REG_DWORD",
    5: "REG_DWORD_BIG_ENDIAN",
    6: "REG_LINK",
    7: "REG_MULTI_SZ",
    8: "REG_RESOURCE_LIST",
    9: "REG_FULL_RESOURCE_DESCRIPTOR",
    10: "REG_RESOURCE_REQUIREMENTS_LIST",
    11: "REG_QWORD",
}

_NUMBERS: Final = {REG_DWORD: 4, REG_DWORD_BIG_ENDIAN: 4, REG_QWORD: 8}
"""The types that are numbers, with their length in bytes."""


class Value:
    """A value; `type` is its number (`TYPE_NAMES`), `size` its data's bytes. The data is read when it is asked for."""

    def __init__(self, name: str, type_: int, size: int, where: str, read: Callable[[], bytes]) -> None:
        self.name = name
        self.type = type_
        self.size = size
        self._where = where
        self._read = read

    @property
    def type_name(self) -> str:
        """The type's name, or its number when it has none."""
        return TYPE_NAMES.get(self.type, f"type {self.type:#x}")

    def data(self) -> bytes:
        """Return the data as stored.

        :raises ImageError: it cannot be read
        """
        return self._read()

    def text(self) -> str:
        """Return a text (REG_SZ, REG_EXPAND_SZ, REG_LINK) up to its first NUL.

        :raises CorruptStructure: it is of another type
        """
        if self.type not in {REG_SZ, REG_EXPAND_SZ, REG_LINK}:
            raise self._unexpected("text")
        return _decoded(self.data()).split("\0", 1)[0]

    def texts(self) -> tuple[str, ...]:
        """Return the texts of a REG_MULTI_SZ, or the one of a REG_SZ, without empty ones.

        :raises CorruptStructure: it is of another type
        """
        if self.type in {REG_SZ, REG_EXPAND_SZ}:
            return tuple(filter(None, (self.text(),)))
        if self.type != REG_MULTI_SZ:
            raise self._unexpected("a list of texts")
        return tuple(filter(None, _decoded(self.data()).split("\0")))

    def number(self) -> int:
        """Return a number (REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_QWORD).

        :raises CorruptStructure: it is of another type, or has the wrong length
        """
        length = _NUMBERS.get(self.type)
        if length is None or self.size != length:
            raise self._unexpected("a number")
        return int.from_bytes(self.data(), "big" if self.type == REG_DWORD_BIG_ENDIAN else "little")

    def content(self) -> str | tuple[str, ...] | int | bytes:
        """Return the data as what its type says, or as bytes where that is no text or number or cannot be one.

        :raises ImageError: it cannot be read
        """
        if self.type in {REG_SZ, REG_EXPAND_SZ, REG_LINK}:
            return self.text()
        if self.type == REG_MULTI_SZ:
            return self.texts()
        if _NUMBERS.get(self.type) == self.size:
            return self.number()
        return self.data()

    def _unexpected(self, wanted: str) -> CorruptStructure:
        return CorruptStructure(
            f"the value {shown(self.name)!r} is {self.type_name} of {self.size} bytes, not {wanted}",
            where=shown(self._where),
        )


def _decoded(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")
