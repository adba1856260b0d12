"""Devices made of the members of a RAID: mirrors, stripes and stripes with parity, with members that lack data.

The placing of data is that of Linux' md driver (drivers/md/raid0.c, raid5.c, raid10.c), which dm-raid and with it LVM
use too. All sizes, offsets and chunks are in bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice, check_range
from imgscan.errors import ImageError, MissingPart, UnsupportedFormat
from imgscan.volumes import galois

SMALLEST: Final = 4096
"""Down to what a read is halved when no member can answer it whole."""
_ROWS_KEPT: Final = 256


class Source(msgspec.Struct, frozen=True):
    """Where a place of a RAID has its data: `device` from `start` on, as far as `valid` (None: all), without `bad`.

    `bad` are ranges of the device, (start, length) in their order.
    """

    device: BlockDevice
    start: int
    valid: int | None = None
    bad: tuple[tuple[int, int], ...] = ()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes of its data.

        :raises MissingPart: it does not hold all of them
        """
        if self.valid is not None and offset + length > self.valid:
            raise MissingPart(f"it is rebuilt only as far as byte {self.valid}", where=self.device.name, offset=offset)
        at = self.start + offset
        for start, size in self.bad:
            if start < at + length and at < start + size:
                raise MissingPart("the RAID's metadata calls this a bad block", where=self.device.name, offset=at)
        return self.device.read_at(at, length)


class Leg:
    """One place of a RAID and who stands there: a member, also one that is replacing it, or nobody."""

    __slots__ = ("name", "sources")

    def __init__(self, name: str, *sources: Source) -> None:
        self.name = name
        self.sources = sources

    @property
    def is_whole(self) -> bool:
        """Whether one member holds all of its data."""
        return any(source.valid is None for source in self.sources)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes of this place.

        :raises MissingPart: nobody holds all of them
        :raises ImageError: who holds them cannot be read
        """
        lost: ImageError = MissingPart("this member is not there", where=self.name)
        for source in self.sources:
            try:
                return source.read(offset, length)
            except ImageError as error:
                lost = error
        raise lost


class RaidDevice:
    """What the devices here have in common: pieces of at most a chunk, each read by `_piece`."""

    sector_size = 512

    def __init__(self, name: str, size: int, chunk: int) -> None:
        self.name = name
        self.size = size
        self._chunk = chunk

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        pieces = []
        while length:
            take = min(length, self._chunk - offset % self._chunk)
            pieces.append(self._piece(offset, take))
            offset += take
            length -= take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, offset: int, length: int) -> bytes:
        raise NotImplementedError


class MirrorDevice:
    """RAID 1: every leg holds everything; the first that can answers."""

    sector_size = 512

    def __init__(self, name: str, size: int, legs: Sequence[Leg]) -> None:
        self.name = name
        self.size = size
        self._legs = legs

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        return _first_of([(leg, offset) for leg in self._legs], length) if length else b""


def _first_of(copies: Sequence[tuple[Leg, int]], length: int) -> bytes:
    """Return what the first copy that can be read holds; what no copy holds whole comes from several."""
    lost: ImageError | None = None
    for leg, offset in copies:
        try:
            return leg.read(offset, length)
        except ImageError as error:
            lost = lost or error
    if length > SMALLEST and len(copies) > 1:
        half = length // 2 // SMALLEST * SMALLEST or SMALLEST
        rest = [(leg, offset + half) for leg, offset in copies]
        return _first_of(copies, half) + _first_of(rest, length - half)
    raise lost or MissingPart("there is no member at all")


class Zone(msgspec.Struct, frozen=True):
    """A part of a RAID 0 over the members that are long enough for it: `start` in the RAID, `base` in each member."""

    start: int
    base: int
    legs: tuple[int, ...]


def zones(lengths: Sequence[int], chunk: int) -> tuple[tuple[Zone, ...], int]:
    """Return the zones of a RAID 0 of members with these lengths, and its size."""
    lengths = [length // chunk * chunk for length in lengths]
    found: list[Zone] = []
    start = base = 0
    for end in sorted(set(lengths)):
        legs = tuple(index for index, length in enumerate(lengths) if length > base)
        if end > base:
            found.append(Zone(start, base, legs))
            start += (end - base) * len(legs)
            base = end
    return tuple(found), start


class StripedDevice(RaidDevice):
    """RAID 0: chunk by chunk over all legs, and behind the shortest one over those that go on.

    `is_original`: in which order the later zones begin, None when that is not known; they are not read then.
    """

    def __init__(
        self, name: str, legs: Sequence[Leg], lengths: Sequence[int], chunk: int, *, is_original: bool | None = False
    ) -> None:
        self._zones, size = zones(lengths, chunk)
        super().__init__(name, size, chunk)
        self._starts = [zone.start for zone in self._zones]
        self._legs = legs
        self._is_original = is_original

    @property
    def is_ambiguous(self) -> bool:
        """Whether where the later zones begin is not known and makes a difference."""
        return self._is_original is None and any(
            len(zone.legs) > 1 and zone.start // self._chunk % len(zone.legs) for zone in self._zones
        )

    def _piece(self, offset: int, length: int) -> bytes:
        zone = self._zones[bisect_right(self._starts, offset) - 1]
        row = (offset - zone.start) // self._chunk
        first = zone.start // self._chunk
        if self._is_original is None and first % len(zone.legs):
            raise UnsupportedFormat("which layout this RAID 0 has is not written down", where=self.name, offset=offset)
        leg = zone.legs[(row + first if self._is_original else row) % len(zone.legs)]
        at = zone.base + row // len(zone.legs) * self._chunk + offset % self._chunk
        return self._legs[leg].read(at, length)


class TenLayout(msgspec.Struct, frozen=True):
    """How RAID 10 places copies: `near` of them side by side, and `far` times that, `stride` apart.

    `has_offset`: the far copies lie in the very next stripe. `set_size` is how many devices far copies stay within.
    """

    near: int
    far: int
    has_offset: bool
    set_size: int
    stride: int = 0

    @property
    def text(self) -> str:
        """The layout as mdadm writes it: `near=2`, `offset=2`, `near=2, far=2`."""
        parts = [f"near={self.near}"] if self.near > 1 or self.far == 1 else []
        if self.far > 1:
            parts.append(f"{'offset' if self.has_offset else 'far'}={self.far}")
        return ", ".join(parts)


def ten_layout(number: int, devices: int) -> TenLayout | None:
    """Return the layout that a number stands for, None when there is no such layout."""
    near, far, sets = number & 0xFF, number >> 8 & 0xFF, number >> 17
    if not near or not far or near * far > devices or sets > 2:
        return None
    size = devices if sets == 0 else devices // far if sets == 1 else near * far
    return TenLayout(near, far, bool(number >> 16 & 1), size)


class TenDevice(RaidDevice):
    """RAID 10: a chunk lies on several legs; `used` is how much of each leg is in use."""

    def __init__(self, name: str, legs: Sequence[Leg], layout: TenLayout, chunk: int, used: int) -> None:
        rows = used // chunk // layout.far
        chunks = rows * len(legs) // layout.near
        super().__init__(name, chunks * chunk, chunk)
        self._legs = legs
        if layout.has_offset:
            stride = chunk
        else:
            stride = -(-chunks * layout.near * layout.far // len(legs)) // layout.far * chunk
        self._layout = msgspec.structs.replace(layout, stride=stride)

    def has_all_chunks(self, present: Sequence[bool]) -> bool:
        """Whether some leg that is present holds each chunk."""
        period = len(self._legs)
        return all(any(present[leg] for leg, _ in self._copies(number)) for number in range(period))

    def _piece(self, offset: int, length: int) -> bytes:
        number, inside = divmod(offset, self._chunk)
        return _first_of([(self._legs[leg], at + inside) for leg, at in self._copies(number)], length)

    def _copies(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the leg and the place there of each copy of a chunk."""
        layout, devices = self._layout, len(self._legs)
        row, first = divmod(number * layout.near, devices)
        for near in range(layout.near):
            device = first + near
            place = (row * (layout.far if layout.has_offset else 1) + device // devices) * self._chunk
            device %= devices
            for far in range(layout.far):
                yield device, place + far * layout.stride
                device = self._next(device)

    def _next(self, device: int) -> int:
        """Return where the next far copy lies: within the set of devices, of which the last may be larger."""
        devices, size = len(self._legs), self._layout.set_size
        start = device // size * size
        last = (devices // size - 1) * size
        moved = device + self._layout.near
        if devices % size and moved > last:
            return last + (moved - last) % (devices - last)
        return start + (moved - start) % size


class Row(msgspec.Struct, frozen=True):
    """One stripe of a RAID with parity: the legs that hold its data in their order, `p`, and `q` (None at RAID 5).

    `exponents`: what the generator is raised to for each data leg in Q, in the order of `data`.
    """

    data: tuple[int, ...]
    p: int
    q: int | None = None
    exponents: tuple[int, ...] = ()


class ParityLayout(msgspec.Struct, frozen=True):
    """A layout of RAID 4, 5 or 6: its name as mdadm has it, and the row of a stripe among so many legs."""

    name: str
    row: Callable[[int, int], Row]
    parities: int


def parity_layout(level: int, number: int) -> ParityLayout | None:
    """Return the layout that a number stands for at a level, None when there is no such layout."""
    if level == 4:
        return ParityLayout("parity-last", _five("last"), 1)
    if level == 5 and number in _FIVE:
        return ParityLayout(number_name := _FIVE[number], _five(_SHAPES[number_name]), 1)
    if level == 6 and number in _FIVE:
        return ParityLayout(number_name := _FIVE[number], _six(_SHAPES[number_name]), 2)
    if level == 6 and number in _DDF:
        return ParityLayout(_DDF[number], _ddf(number), 2)
    if level == 6 and number - 16 in _FIVE:
        return ParityLayout(f"{_FIVE[number - 16]}-6", _five_and_q(_SHAPES[_FIVE[number - 16]]), 2)
    return None


_FIVE: Final = {
    0: "left-asymmetric",
    1: "right-asymmetric",
    2: "left-symmetric",
    3: "right-symmetric",
    4: "parity-first",
    5: "parity-last",
}
_SHAPES: Final = {name: name.removeprefix("parity-") for name in _FIVE.values()}
_DDF: Final = {8: "ddf-zero-restart", 9: "ddf-N-restart", 10: "ddf-N-continue"}


def _parity_at(shape: str, stripe: int, legs: int) -> int:
    """Return where the (first) parity of a stripe lies."""
    if shape == "first":
        return 0
    if shape == "last":
        return legs - 1
    return legs - 1 - stripe % legs if shape.startswith("left") else stripe % legs


def _five_data(shape: str, p: int, legs: int) -> tuple[int, ...]:
    if shape.endswith("-symmetric"):  # data begins behind the parity and wraps around
        return tuple((p + 1 + index) % legs for index in range(legs - 1))
    return tuple(leg for leg in range(legs) if leg != p)


def _five(shape: str) -> Callable[[int, int], Row]:
    def row(stripe: int, legs: int) -> Row:
        p = _parity_at(shape, stripe, legs)
        return Row(_five_data(shape, p, legs), p)

    return row


def _six(shape: str) -> Callable[[int, int], Row]:
    """Return a layout of RAID 6 where Q lies behind P."""

    def row(stripe: int, legs: int) -> Row:
        p = legs - 2 if shape == "last" else _parity_at(shape, stripe, legs)
        q = (p + 1) % legs
        if shape.endswith("-symmetric"):
            data = tuple((p + 2 + index) % legs for index in range(legs - 2))
        else:
            data = tuple(leg for leg in range(legs) if leg not in {p, q})
        return Row(data, p, q, _from_behind_q(data, q, legs))

    return row


def _from_behind_q(data: tuple[int, ...], q: int, legs: int) -> tuple[int, ...]:
    """Return the exponents where the data legs count from the one behind Q."""
    ring = [leg for leg in ((q + 1 + index) % legs for index in range(legs)) if leg in set(data)]
    return tuple(ring.index(leg) for leg in data)


def _ddf(number: int) -> Callable[[int, int], Row]:
    """Return a layout of SNIA's DDF: the exponents are the numbers of the legs."""

    def row(stripe: int, legs: int) -> Row:
        if number == 8:
            p = stripe % legs
            q = (p + 1) % legs
        elif number == 9:
            p = legs - 1 - (stripe + 1) % legs
            q = (p + 1) % legs
        else:
            p = legs - 1 - stripe % legs
            q = (p - 1) % legs
        if number == 10:
            data = tuple((p + 1 + index) % legs for index in range(legs - 2))
        else:
            data = tuple(leg for leg in range(legs) if leg not in {p, q})
        return Row(data, p, q, data)

    return row


def _five_and_q(shape: str) -> Callable[[int, int], Row]:
    """Return RAID 5 over all legs but the last, which holds Q: what a RAID 5 is while it becomes a RAID 6."""

    def row(stripe: int, legs: int) -> Row:
        p = _parity_at(shape, stripe, legs - 1)
        data = _five_data(shape, p, legs - 1)
        return Row(data, p, legs - 1, _from_behind_q(data, legs - 1, legs))

    return row


class ParityDevice(RaidDevice):
    """RAID 4, 5 and 6; what a leg lacks is computed from the others. `used` is how much of each leg is in use."""

    def __init__(self, name: str, legs: Sequence[Leg], layout: ParityLayout, chunk: int, used: int) -> None:
        self._data_legs = len(legs) - layout.parities
        super().__init__(name, used // chunk * chunk * self._data_legs, chunk)
        self._legs = legs
        self._layout = layout
        self._rows: OrderedDict[int, Row] = OrderedDict()

    def _row(self, stripe: int) -> Row:
        key = stripe % (len(self._legs) * (len(self._legs) - 1))  # the layouts repeat after one or the other
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._layout.row(stripe, len(self._legs))
            if len(self._rows) > _ROWS_KEPT:
                self._rows.popitem(last=False)
        return row

    def _piece(self, offset: int, length: int) -> bytes:
        number, inside = divmod(offset, self._chunk)
        stripe, index = divmod(number, self._data_legs)
        row = self._row(stripe)
        at = stripe * self._chunk + inside
        try:
            return self._legs[row.data[index]].read(at, length)
        except ImageError as error:
            return self._rebuilt(row, index, at, length, error)

    def _rebuilt(self, row: Row, index: int, at: int, length: int, lost: ImageError) -> bytes:
        """Return what a data leg should hold.

        :raises ImageError: the others lack too much
        """
        found: dict[int, bytes] = {}
        missing: list[int] = []
        for other, leg in enumerate(row.data):
            if other != index:
                try:
                    found[other] = self._legs[leg].read(at, length)
                except ImageError:
                    missing.append(other)
                    if len(missing) == self._layout.parities:
                        raise lost from None
        p = self._parity(row.p, at, length)
        if p is not None and not missing:
            return galois.add((p, *found.values()), length)
        q = None if row.q is None else self._parity(row.q, at, length)
        if q is None or (p is None and missing):
            raise lost
        # Without the data that is there, Q is g^x Dx, and g^y Dy more when a second leg is missing.
        powers = [galois.power(exponent) for exponent in row.exponents]
        rest_q = galois.add((q, *(galois.scale(block, powers[other]) for other, block in found.items())), length)
        if not missing:
            return galois.scale(rest_q, galois.inverse(powers[index]))
        # P is Dx + Dy then, so that Dx = (Q + g^y P) / (g^x + g^y).
        rest_p = galois.add((p or b"", *found.values()), length)
        divisor = galois.inverse(powers[index] ^ powers[missing[0]])
        return galois.scale(galois.add((rest_q, galois.scale(rest_p, powers[missing[0]])), length), divisor)

    def _parity(self, leg: int, at: int, length: int) -> bytes | None:
        try:
            return self._legs[leg].read(at, length)
        except ImageError:
            return None


class ReshapingDevice:
    """A RAID that is changing its shape: below `position` it has one shape, from there on the other."""

    sector_size = 512

    def __init__(self, name: str, size: int, position: int, below: BlockDevice, above: BlockDevice) -> None:
        self.name = name
        self.size = size
        self._position = position
        self._below = below
        self._above = above

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        first = max(0, min(length, self._position - offset))
        pieces = []
        if first:
            pieces.append(self._below.read_at(offset, first))
        if first < length:
            pieces.append(self._above.read_at(offset + first, length - first))
        return b"".join(pieces)
