"""Devices one after another, as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from imgscan.devices.device import BlockDevice, check_range
from imgscan.errors import ImageError

Part = BlockDevice | ImageError | None
"""A device, zeros (None), or the error that says why a part cannot be read; it is raised where its bytes are needed."""


class ConcatDevice:
    """Parts of given sizes in bytes, in their order."""

    sector_size = 512

    def __init__(self, name: str, parts: Sequence[tuple[int, Part]]) -> None:
        self.name = name
        self._starts: list[int] = []
        self._parts = [part for _, part in parts]
        size = 0
        for length, _ in parts:
            self._starts.append(size)
            size += length
        self._ends = [*self._starts[1:], size]
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        pieces: list[bytes] = []
        index = bisect_right(self._starts, offset) - 1
        while length:
            take = min(length, self._ends[index] - offset)
            if take:
                pieces.append(self._read(index, offset - self._starts[index], take))
            offset += take
            length -= take
            index += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, index: int, offset: int, length: int) -> bytes:
        part = self._parts[index]
        if part is None:
            return bytes(length)
        if isinstance(part, ImageError):
            raise type(part)(part.message, where=part.where, offset=part.offset)
        return part.read_at(offset, length)
