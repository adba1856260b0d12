"""A part of a device, as a device: a partition."""

from __future__ import annotations

from imgscan.devices.device import BlockDevice, check_range


class SliceDevice:
    """Bytes ``[start, start + size)`` of `below`; the part beyond its end raises `TruncatedRead` when read."""

    def __init__(self, below: BlockDevice, start: int, size: int, name: str) -> None:
        self._below = below
        self._start = start
        self.name = name
        self.size = size
        self.sector_size = below.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return self._below.read_at(self._start + offset, length)
