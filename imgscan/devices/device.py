"""The `BlockDevice` protocol: bytes by position."""

from __future__ import annotations

from typing import Protocol

from imgscan.errors import TruncatedRead


class BlockDevice(Protocol):
    """Positional and without seek state, so it can be shared.

    `name` is what messages and evidence call it; `size` is in bytes; `sector_size` is the logical sector in bytes.
    """

    @property
    def name(self) -> str:
        """Name for messages and evidence."""
        ...

    @property
    def size(self) -> int:
        """Size in bytes."""
        ...

    @property
    def sector_size(self) -> int:
        """Logical sector size in bytes: 512 or 4096."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, or raise an `ImageError`."""
        ...


def check_range(device: BlockDevice, offset: int, length: int) -> None:
    """Raise `TruncatedRead` unless ``[offset, offset + length)`` lies inside the device."""
    if offset < 0 or length < 0 or offset + length > device.size:
        raise TruncatedRead(
            f"{length} bytes at offset {offset} lie beyond the end ({device.size} bytes)",
            where=device.name,
            offset=offset,
        )
