"""Logical volumes as a Linux kernel reads them: every byte of every kind of volume, also with disks missing.

The disks and checksums are those of lvm2_appliance.py; the long test makes them anew.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import lvm2_appliance
import pytest
from tools import requires_tool

from imgscan.devices.device import BlockDevice
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError, MissingPart, UnsupportedFormat
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.lvm2 import assemble

SETS = sorted(path.name.partition(".")[0] for path in lvm2_appliance.FIXTURES.glob("*.tar.xz"))
UNREAD = {"vgcache/wb": "writeback", "vgcache/wc": "writecache"}
"""Volumes whose cache may hold newer data: what the message says instead."""
NO_PARITY = {"r0", "r0m"}
ALONE = {"mcore"}
"""Mirrors without a log on disk are read from their first image only."""
STALE = "vgraid/r1stale"


@cache
def unpacked(name: str) -> tuple[dict[str, bytes], dict[str, str]]:
    return lvm2_appliance.unpack(name)


def volumes(disks: Mapping[str, bytes], without: tuple[str, ...] = ()) -> dict[str, Assembled]:
    members = [
        Member(name, MemoryDevice(data, name), "LVM2_member") for name, data in disks.items() if name not in without
    ]
    return {volume.name: volume for volume in assemble(members)}


@cache
def whole(name: str) -> bytes:
    """What the kernel reads of a volume of the set `raid`."""
    disks, sums = unpacked("raid")
    device = volumes(disks)[name].device
    assert device is not None
    data = device.read_at(0, device.size)
    assert hashlib.sha256(data).hexdigest() == sums[name]
    return data


def digest(device: BlockDevice) -> str:
    found = hashlib.sha256()
    for offset in range(0, device.size, 1 << 20):
        found.update(device.read_at(offset, min(1 << 20, device.size - offset)))
    return found.hexdigest()


def check(disks: Mapping[str, bytes], sums: Mapping[str, str]) -> None:
    found = volumes(disks)
    for name, expected in sums.items():
        volume = found[name]
        if name in UNREAD:
            assert volume.device is None
            assert isinstance(volume.error, UnsupportedFormat)
            assert UNREAD[name] in str(volume.error)
        else:
            assert volume.error is None
            assert volume.device is not None
            assert (digest(volume.device), volume.size) == (expected, volume.device.size), name


@pytest.mark.parametrize("name", SETS)
def test_every_byte(name: str) -> None:
    check(*unpacked(name))


@pytest.mark.parametrize("name", SETS)
def test_any_range(name: str) -> None:
    disks, sums = unpacked(name)
    chooser = random.Random(7)
    for volume in volumes(disks).values():
        if volume.name not in sums or volume.device is None:
            continue
        whole = volume.device.read_at(0, volume.size)
        for _ in range(40):
            offset = chooser.randrange(volume.size)
            length = min(chooser.choice((1, 512, 5000, 70000)), volume.size - offset)
            assert volume.device.read_at(offset, length) == whole[offset : offset + length]


def test_the_sets_are_all_there() -> None:
    assert sorted(lvm2_appliance.SETS) == SETS


def _lost_at_most(disks: Mapping[str, bytes], count: int) -> list[tuple[str, ...]]:
    return [lost for number in range(1, count + 1) for lost in itertools.combinations(disks, number)]


@pytest.mark.parametrize(("name", "most"), [("plain", 1), ("raid", 1), pytest.param("raid", 3, marks=pytest.mark.long)])
def test_without_some_disks_it_is_the_same_or_an_error(name: str, most: int) -> None:
    disks, sums = unpacked(name)
    for lost in _lost_at_most(disks, most):
        for volume in volumes(disks, lost).values():
            codes = {problem.code for problem in volume.problems}
            assert codes & {"missing-physical-volume", "incomplete-volume-group"}
            if volume.device is None:
                assert isinstance(volume.error, MissingPart)
                continue
            if volume.name == STALE and "disk1" in lost:
                continue
            try:
                assert digest(volume.device) == sums[volume.name], f"{volume.name} without {lost}"
            except MissingPart:
                assert volume.error is not None, f"{volume.name} without {lost}: nothing tells that a part is lost"
            else:
                assert volume.error is None, f"{volume.name} without {lost}: {volume.error}"


@pytest.mark.parametrize(
    "lost", [("disk0",), ("disk1",), ("disk2",), ("disk0", "disk2"), ("disk1", "disk4"), ("disk3", "disk4")]
)
def test_mirrors_and_parity_replace_what_they_can(lost: tuple[str, ...]) -> None:
    disks, sums = unpacked("raid")
    found = volumes(disks, lost)
    for name in sums:
        short = name.partition("/")[2]
        if name == STALE or short in NO_PARITY | ALONE or (len(lost) > 1 and not short.startswith("r6")):
            continue
        device = found[name].device
        assert device is not None, f"{name}: {found[name].error}"
        chunk = 192 << 10  # a quarter: all places of the parity come round in it
        assert device.read_at(0, chunk) == whole(name)[:chunk], name


def test_an_image_that_failed_is_not_read() -> None:
    """The kernel wrote to the second image only; the first one still holds the old data."""
    disks, sums = unpacked("raid")
    volume = volumes(disks)[STALE]
    assert volume.device is not None
    assert digest(volume.device) == sums[STALE]
    assert "degraded-volume" in {problem.code for problem in volume.problems}
    without_old = volumes(disks, ("disk0",))[STALE]
    assert without_old.device is not None
    assert digest(without_old.device) == sums[STALE]
    # The old image alone does not know that it failed; the kernel would start from it too. That it is alone is told.
    without_new = volumes(disks, ("disk1",))[STALE]
    assert {"degraded-volume", "missing-physical-volume"} <= {problem.code for problem in without_new.problems}


def test_what_the_report_shows_of_thin_volumes_and_snapshots() -> None:
    found = volumes(unpacked("thin")[0])
    assert found["vgthin/pool"].kind == "thin-pool"
    assert (found["vgthin/pool"].device, found["vgthin/pool"].error) == (None, None)
    assert found["vgthin/thin1"].on == ("vgthin/pool",)
    assert (found["vgthin/thinsnap"].kind, found["vgthin/thinsnap"].metadata["origin"]) == ("snapshot", "vgthin/thin1")
    assert not any("tmeta" in name or "tdata" in name or "spare" in name for name in found)
    found = volumes(unpacked("snapshot")[0])
    assert sorted(found) == ["vgsnap/orig", "vgsnap/snap", "vgsnap/snap16"]
    assert found["vgsnap/snap"].kind == "snapshot"


def test_segments_and_names() -> None:
    found = volumes(unpacked("plain")[0])
    assert found["vgplain/one"].metadata["segments"] == "linear"
    assert found["vgplain/str64"].metadata["segments"] == "striped"
    assert found["vgplain/with-dash"].on == ("disk0",) or found["vgplain/with-dash"].on == ("disk1",)
    assert sorted(found["vgplain/one"].on) == ["disk0", "disk1"]


def test_a_damaged_tree_of_a_thin_pool_is_an_error() -> None:
    disks, sums = unpacked("thin")
    (image,) = disks.values()
    chooser = random.Random(3)
    seen = set()
    for _ in range(12):
        data = bytearray(image)
        for _ in range(200):  # the pool's metadata lies somewhere in the disk
            at = chooser.randrange(1 << 20, len(data))
            data[at] ^= 1 << chooser.randrange(8)
        for name, volume in volumes({"disk0": bytes(data)}).items():
            if name in sums and volume.device is not None:
                try:
                    volume.device.read_at(0, volume.size)
                except ImageError as error:
                    seen.add(type(error).__name__)
    assert seen <= {"CorruptStructure", "TruncatedRead", "LimitExceeded", "UnsupportedFormat"}


@pytest.mark.long
@requires_tool("guestfish")
@pytest.mark.parametrize("name", sorted(lvm2_appliance.SETS))
def test_made_anew(name: str, tmp_path: Path) -> None:
    sums = lvm2_appliance.make(name, tmp_path)
    check({path.stem: path.read_bytes() for path in sorted(tmp_path.glob("*.img"))}, sums)
