"""Stripes, mirrors and RAID of device-mapper as devices. A part that cannot be read is replaced by what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imgscan.devices.concat import Part
from imgscan.devices.device import check_range
from imgscan.errors import ImageError, MissingPart
from imgscan.layouts.dm_raid import parity_place


def read_part(part: Part, offset: int, length: int) -> bytes:
    """Return bytes of a part, or raise the error that stands for it."""
    if part is None:
        return bytes(length)
    if isinstance(part, ImageError):
        raise type(part)(part.message, where=part.where, offset=part.offset)
    return part.read_at(offset, length)


class StripedDevice:
    """Parts in turn, `chunk` bytes of each (striped, raid0)."""

    sector_size = 512

    def __init__(self, name: str, parts: Sequence[Part], chunk: int, size: int) -> None:
        self.name = name
        self.size = size
        self._parts = tuple(parts)
        self._chunk = chunk

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return in_chunks(offset, length, self._chunk, self._read)

    def _read(self, number: int, within: int, length: int) -> bytes:
        row, at = divmod(number, len(self._parts))
        return read_part(self._parts[at], row * self._chunk + within, length)


class MirroredDevice:
    """The same bytes on every part; the first that can be read counts (mirror, raid1).

    Only parts that are in sync are given; `lost` is raised when there is none.
    """

    sector_size = 512

    def __init__(self, name: str, parts: Sequence[Part], size: int, lost: ImageError) -> None:
        self.name = name
        self.size = size
        self._parts = tuple(parts)
        self._lost = lost

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return first_readable(self._parts, offset, length, self._lost)


class Raid10Device:
    """Chunks in turn over the images, each `copies` times on neighbours (near layout)."""

    sector_size = 512

    def __init__(self, name: str, images: Sequence[Part], copies: int, chunk: int, size: int) -> None:
        self.name = name
        self.size = size
        self._images = tuple(images)
        self._copies = copies
        self._chunk = chunk

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return in_chunks(offset, length, self._chunk, self._read)

    def _read(self, number: int, within: int, length: int) -> bytes:
        error: ImageError | None = None
        for copy in range(number * self._copies, (number + 1) * self._copies):
            row, image = divmod(copy, len(self._images))
            try:
                return read_part(self._images[image], row * self._chunk + within, length)
            except ImageError as failed:
                error = error or failed
        raise error or MissingPart("there is no image", where=self.name)


class ParityDevice:
    """RAID 4, 5 and 6: a chunk whose image cannot be read is the XOR of the others in its row.

    RAID 6's second parity is not used: with two images lost, what lies on them is not read. Nor is it without
    `has_parity`: where the parity was never computed for the whole array.
    """

    sector_size = 512

    def __init__(
        self, name: str, images: Sequence[Part], layout: str, chunk: int, size: int, *, has_parity: bool
    ) -> None:
        self.name = name
        self.size = size
        self._has_parity = has_parity
        self._images = tuple(images)
        self._layout = layout
        self._chunk = chunk
        self._in_a_row = len(images) - (2 if layout.startswith("6") else 1)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return in_chunks(offset, length, self._chunk, self._read)

    def _read(self, number: int, within: int, length: int) -> bytes:
        place = parity_place(self._layout, len(self._images), number)
        offset = place.row * self._chunk + within
        try:
            return read_part(self._images[place.image], offset, length)
        except ImageError as lost:
            if not self._has_parity:
                raise
            first = number - number % self._in_a_row
            used = {
                parity_place(self._layout, len(self._images), chunk).image
                for chunk in range(first, first + self._in_a_row)
            }
            total = 0
            for image in sorted((used | {place.parity}) - {place.image}):
                try:
                    total ^= int.from_bytes(read_part(self._images[image], offset, length), "little")
                except ImageError:
                    raise lost from None  # two are lost
            return total.to_bytes(length, "little")


def first_readable(parts: Sequence[Part], offset: int, length: int, lost: ImageError) -> bytes:
    """Return the bytes of the first part that can be read."""
    error = lost
    for number, part in enumerate(parts):
        try:
            return read_part(part, offset, length)
        except ImageError as failed:
            error = error if number else failed
    raise type(error)(error.message, where=error.where, offset=error.offset)


def in_chunks(offset: int, length: int, chunk: int, read: Callable[[int, int, int], bytes]) -> bytes:
    """Join what `read(chunk's number, first byte within it, length)` returns for a range."""
    pieces: list[bytes] = []
    end = offset + length
    while offset < end:
        number, within = divmod(offset, chunk)
        take = min(chunk - within, end - offset)
        pieces.append(read(number, within, take))
        offset += take
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
