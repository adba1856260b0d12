"""What every superblock probe takes and returns."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError

FRONT_BYTES = 70 * KIB
"""What is read at once: the superblocks of nearly everything lie within (Btrfs, ReiserFS and GFS2 at 64 KiB)."""


class Superblock(msgspec.Struct, frozen=True):
    """What was recognised. `content` is libblkid's type name; `offset` and `length` are the magic's, in bytes.

    `label` and `uuid` are as blkid prints them, None where there are none; `size` (of the filesystem) and `block_size`
    in bytes, None where they are not looked for; `on_volume` is how much of this volume it uses, where
    it can lie on several.
    """

    content: str
    offset: int
    length: int
    label: str | None = None
    uuid: str | None = None
    size: int | None = None
    block_size: int | None = None
    on_volume: int | None = None


class Window:
    """A volume's bytes for the probes: the front is read once, other places when asked for, each once."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self.size = device.size
        self._pieces: dict[tuple[int, int], bytes] = {}
        self._front: bytes | None = None
        # RAID and DRBD keep their metadata in the last 4 to 12 KiB: one read for all of them
        self._tail = max(min(FRONT_BYTES, self.size), (self.size & ~0xFFF) - 0x2000)

    def at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes, none at all when the range is not inside the volume.

        :raises ImageError: the range is inside, and cannot be read
        """
        if offset < 0 or offset + length > self.size:
            return b""
        if offset + length <= FRONT_BYTES:
            front = self._read_front()
            if offset + length <= len(front):
                return front[offset : offset + length]
        for (start, size), data in self._pieces.items():
            if start <= offset and offset + length <= start + size:
                return data[offset - start : offset - start + length]
        if offset >= self._tail:
            try:
                self._pieces[self._tail, self.size - self._tail] = self._device.read_at(
                    self._tail, self.size - self._tail
                )
            except ImageError:
                pass
            else:
                return self.at(offset, length)
        data = self._device.read_at(offset, length)
        self._pieces[offset, length] = data
        return data

    def _read_front(self) -> bytes:
        if self._front is None:
            try:
                self._front = self._device.read_at(0, min(FRONT_BYTES, self.size))
            except ImageError:  # the volume may be cut short within: then each place is read for itself
                self._front = b""
        return self._front


Probe = Callable[[Window], Superblock | None]


def text(raw: bytes) -> str | None:
    """Return a label: up to the first NUL, without white space at its end, None when nothing is left."""
    label = raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape").rstrip()
    return label or None


def utf16(raw: bytes, encoding: str = "utf-16-le") -> str | None:
    """Return a label in UTF-16, like `text`."""
    label = raw[: len(raw) & ~1].decode(encoding, "surrogatepass").split("\0", 1)[0].rstrip()
    return label or None


def uuid_text(raw: bytes) -> str | None:
    """Return 16 bytes as a UUID in lower case, None when they are all zero."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) if any(raw) else None


def serial_text(raw: bytes) -> str | None:
    """Return a FAT serial number (4 bytes, little-endian) as `1234-ABCD`, None when it is zero."""
    digits = raw[::-1].hex().upper()
    return f"{digits[:4]}-{digits[4:]}" if any(raw) else None
