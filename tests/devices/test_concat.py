"""Devices one after another: every boundary, zeros, and parts that cannot be read."""

from __future__ import annotations

import random

import pytest

from imgscan.devices.concat import ConcatDevice
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import AccessRefused, MissingPart, TruncatedRead

FIRST, SECOND = bytes(range(1, 101)), bytes(range(101, 151))
WHOLE = FIRST + bytes(30) + SECOND


def three() -> ConcatDevice:
    return ConcatDevice("disk", [(100, MemoryDevice(FIRST)), (30, None), (50, MemoryDevice(SECOND))])


def test_every_range() -> None:
    device = three()
    assert device.size == 180
    chooser = random.Random(1)
    for _ in range(2000):
        at = chooser.randrange(181)
        length = chooser.randrange(181 - at)
        assert device.read_at(at, length) == WHOLE[at : at + length]
    assert device.read_at(0, 180) == WHOLE


def test_parts_of_no_length_hold_nothing() -> None:
    none = MemoryDevice(b"")
    parts = [(0, none), (100, MemoryDevice(FIRST)), (0, none), (0, None), (50, MemoryDevice(SECOND)), (0, none)]
    device = ConcatDevice("disk", parts)
    assert device.read_at(0, 150) == FIRST + SECOND
    assert [device.read_at(at, 1) for at in (0, 99, 100, 149)] == [b"\x01", b"\x64", b"\x65", b"\x96"]
    assert device.read_at(150, 0) == b""


def test_only_as_much_of_a_part_as_is_its_share() -> None:
    device = ConcatDevice("disk", [(10, MemoryDevice(FIRST)), (10, MemoryDevice(SECOND))])
    assert device.read_at(0, 20) == FIRST[:10] + SECOND[:10]
    short = ConcatDevice("disk", [(200, MemoryDevice(FIRST))])
    with pytest.raises(TruncatedRead):
        short.read_at(0, 200)
    assert short.read_at(0, 100) == FIRST


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 181), (180, 1), (181, 0), (5, -1), (1 << 70, 1)])
def test_beyond_the_ends(offset: int, length: int) -> None:
    with pytest.raises(TruncatedRead):
        three().read_at(offset, length)


def test_nothing_at_all() -> None:
    device = ConcatDevice("disk", [])
    assert device.size == 0
    assert device.read_at(0, 0) == b""
    with pytest.raises(TruncatedRead):
        device.read_at(0, 1)


def test_a_part_that_cannot_be_read_raises_why_and_only_there() -> None:
    reason = MissingPart("there is no such file", where="b.vmdk", offset=7)
    device = ConcatDevice("disk", [(100, MemoryDevice(FIRST)), (30, reason), (50, AccessRefused("no"))])
    assert device.read_at(0, 100) == FIRST
    for _ in range(3):
        with pytest.raises(MissingPart, match="there is no such file") as raised:
            device.read_at(99, 2)
        assert (raised.value.where, raised.value.offset) == ("b.vmdk", 7)
        assert raised.value is not reason  # anew each time: tracebacks do not grow
    with pytest.raises(AccessRefused):
        device.read_at(130, 1)
