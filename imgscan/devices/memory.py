"""Bytes in memory as a device: small structures, and tests."""

from __future__ import annotations

from imgscan.devices.device import check_range


class MemoryDevice:
    """A `bytes` object behind the `BlockDevice` protocol."""

    def __init__(self, data: bytes, name: str = "memory", sector_size: int = 512) -> None:
        self._data = data
        self.name = name
        self.size = len(data)
        self.sector_size = sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return self._data[offset : offset + length]
