"""MD arrays that mdadm made read as the kernel read them: every level, layout and version, also without members."""

from __future__ import annotations

import hashlib
import itertools
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from md_builder import mirror
from mdraid_arrays import NAMES, Array, load, make, member, pattern
from tools import require_tool, requires_tool

from imgscan.devices.device import BlockDevice
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError, MissingPart, UnsupportedFormat
from imgscan.layouts.mdraid import find_superblock
from imgscan.volumes.assembly import Assembled
from imgscan.volumes.mdraid import assemble
from imgscan.volumes.raid import Leg, MirrorDevice, Source

HEALTHY = [
    name for name in NAMES if not re.search("stale|recovering|replacing|bad-blocks|growing|new-|dangerous", name)
]
RESHAPING = [name for name in NAMES if re.search("growing|new-", name)]


def content(assembled: Assembled) -> bytes:
    assert assembled.device is not None, assembled.error
    assert assembled.device.size == assembled.size
    return assembled.device.read_at(0, assembled.size)


def codes(assembled: Assembled) -> list[str]:
    return [problem.code for problem in assembled.problems]


def active(array: Array) -> int:
    return int(re.search(r"Raid Devices : (\d+)", array.detail)[1])  # type: ignore[index]


def too_few(array: Array, missing: tuple[int, ...]) -> bool:
    """Whether an array cannot do without these members, by what its level promises."""
    level = array.name.split("-")[0]
    if level == "raid10":
        copies = {"near2": 2, "near3": 3, "far2": 2, "far3": 3, "offset2": 2, "offset3": 3}
        kept = copies.get(array.name.split("-")[1], 2)
        devices = active(array)
        # copies lie on devices side by side; with near copies only groups of so many, when they divide the devices
        groups = range(0, devices, kept) if devices % kept == 0 and "near" in array.name else range(devices)
        if array.name == "raid10-0.90":
            groups = range(0, devices, 2)
        return any(all((first + more) % devices in missing for more in range(kept)) for first in groups)
    spared = {"linear": 0, "raid0": 0, "raid1": active(array) - 1, "raid4": 1, "raid5": 1, "raid6": 2}[level]
    return len(missing) > spared


@pytest.fixture(params=NAMES)
def array(request: pytest.FixtureRequest) -> Array:
    return load(request.param)


def test_all_were_made() -> None:
    recipe = (Path(__file__).parents[1] / "fixtures/mdraid/make_arrays.sh").read_text()
    assert len(NAMES) > 55
    assert {name.split("-")[0] for name in NAMES} == {"linear", "raid0", "raid1", "raid4", "raid5", "raid6", "raid10"}
    assert "guestfish" not in recipe


@pytest.mark.parametrize("name", HEALTHY)
def test_reads_as_the_kernel_does(name: str) -> None:
    array = load(name)
    found = array.assembled()
    assert found.size == array.size
    assert hashlib.sha256(content(found)).hexdigest() == array.expected["sha256"]
    assert content(found) == pattern(found.size)
    assert found.kind == "raid-array"
    assert [code for code in codes(found) if code != "array-journal"] == []
    assert found.is_complete


@pytest.mark.parametrize("name", HEALTHY)
def test_reads_without_members_whatever_the_level_can_do_without(name: str) -> None:
    array = load(name)
    wanted = pattern(array.size)
    devices = range(active(array))
    for count in (1, 2):
        for missing in itertools.combinations(devices, count):
            if count == len(devices):
                continue
            found = array.assembled(*missing)
            assert not found.is_complete
            if too_few(array, missing):
                assert found.device is None
                assert isinstance(found.error, MissingPart)
                assert f"{count} of the {len(devices)} members" in str(found.error)
            else:
                assert content(found) == wanted, missing
                assert "array-degraded" in codes(found)


def test_what_the_kernel_read_without_members_was_the_same() -> None:
    seen = 0
    for array in map(load, HEALTHY):
        for key, value in array.expected.items():
            if key.startswith("sha256 without"):
                assert value == array.expected["sha256"], (array.name, key)
                seen += 1
    assert seen > 30


@pytest.mark.parametrize("name", HEALTHY)
def test_any_piece_is_the_same(name: str) -> None:
    found = load(name).assembled()
    assert found.device is not None
    wanted = pattern(found.size)
    chunk = int(found.metadata.get("chunk_size", 65536))
    for at in (0, 1, 511, chunk - 1, chunk, 3 * chunk - 7, found.size // 2 - 3, found.size - chunk - 5):
        for length in (1, 13, chunk, 2 * chunk + 11):
            take = min(length, found.size - at)
            assert found.device.read_at(at, take) == wanted[at : at + take]
    assert found.device.read_at(found.size, 0) == b""


def said(text: str, key: str) -> str | None:
    match = re.search(rf"^ *{re.escape(key)} : (.*)$", text, re.MULTILINE)
    return match[1].strip() if match else None


@pytest.mark.parametrize("name", HEALTHY)
def test_is_described_as_by_mdadm(name: str) -> None:
    array = load(name)
    found = array.assembled()
    facts = found.metadata
    assert facts["level"] == said(array.detail, "Raid Level")
    assert facts["metadata_version"] == said(array.detail, "Version")
    assert facts["array_uuid"] == said(array.detail, "UUID")[:35]  # type: ignore[index]
    assert found.name == "md/" + facts["array_uuid"][:8]
    assert facts["raid_devices"] == said(array.detail, "Raid Devices")
    chunk = said(array.detail, "Chunk Size") or said(array.detail, "Rounding")
    if "chunk_size" in facts:
        assert chunk == f"{int(facts['chunk_size']) // 1024}K"
    layout = said(array.detail, "Layout")
    if layout is not None and facts["level"] != "raid0":
        assert facts["layout"] == layout
    if facts["level"] == "raid0" and "layout" in facts:
        assert facts["layout"] == said(array.examine, "Layout")
    if "array_name" in facts:
        assert facts["array_name"] == said(array.detail, "Name").split()[0]  # type: ignore[union-attr]
    else:
        assert facts["preferred_minor"] == said(array.detail, "Preferred Minor")


def test_spares_write_mostly_and_journal_are_named() -> None:
    assert load("raid1-spare").assembled().metadata["members"] == (
        "disk0/p1 (member 0), disk1/p1 (member 1), disk2/p1 (member 2, write-mostly), disk3/p1 (spare)"
    )
    journal = load("raid5-journal").assembled()
    assert "disk3/p1 (journal)" in journal.metadata["members"]
    assert "array-journal" in codes(journal)


@pytest.mark.parametrize("name", ["raid1-stale", "raid1-stale-0.90", "raid5-stale"])
def test_a_member_left_behind_is_not_read(name: str) -> None:
    array = load(name)
    found = array.assembled()
    assert hashlib.sha256(content(found)).hexdigest() == array.expected["sha256"]
    assert {"event-counts-differ", "array-degraded"} <= set(codes(found))
    stale = 1 if name == "raid5-stale" else 0
    assert f"disk{stale}/p1 (stale)" in found.metadata["members"]
    counts = re.findall(r"Events : (\d+)", array.examine)
    detail = next(problem.detail for problem in found.problems if problem.code == "event-counts-differ")
    assert all(f"has {count}" in detail for count in {counts[stale], max(counts, key=int)})
    # it alone: what it has is old, and it is told that others are missing
    (old,) = assemble([member(stale, array.members[stale])])
    if name == "raid5-stale":
        assert isinstance(old.error, MissingPart)
    else:
        assert content(old) == pattern(65536 + old.size)[65536:]
        assert "array-degraded" in codes(old)


@pytest.mark.parametrize("name", ["raid1-recovering", "raid5-recovering", "raid5-replacing"])
def test_a_member_that_is_rebuilt_counts_as_far_as_it_got(name: str) -> None:
    array = load(name)
    found = array.assembled()
    assert hashlib.sha256(content(found)).hexdigest() == array.expected["sha256"]
    rebuilt = next(block for block in _blocks(array) if block[1] is not None)
    assert rebuilt[1] == 512 * int(said(array.examine.split("/dev/loop")[rebuilt[0] + 1], "Recovery Offset").split()[0])  # type: ignore[union-attr]
    assert ("array-degraded" in codes(found)) == (name != "raid5-replacing")
    # what lies beyond the recovery offset is rubbish there: it must not matter
    spoilt = list(array.members)
    block = find_superblock(MemoryDevice(spoilt[rebuilt[0]]), "member")
    start = block.data_offset + (rebuilt[1] or 0)
    spoilt[rebuilt[0]] = spoilt[rebuilt[0]][:start] + b"\xa5" * (len(spoilt[rebuilt[0]]) - start)
    assert content(array.assembled(members=tuple(spoilt))) == content(found)


def test_a_replacement_stands_in_as_far_as_it_got() -> None:
    array = load("raid5-replacing")
    found = array.assembled(1)  # the member that it is to replace
    assert content(found) == pattern(found.size)
    assert "array-rebuilding" in codes(found)
    twice = array.assembled(0, 1)  # only the replacement holds a part of member 1
    assert isinstance(twice.error, MissingPart)


def _blocks(array: Array) -> Iterator[tuple[int, int | None]]:
    for index, data in enumerate(array.members):
        yield index, find_superblock(MemoryDevice(data), "member").recovered


def test_bad_blocks_are_read_from_others() -> None:
    array = load("raid5-bad-blocks")
    found = array.assembled()
    assert content(found) == pattern(found.size)
    assert hashlib.sha256(content(found)).hexdigest() == array.expected["sha256"]
    assert "bad-blocks" in codes(found)
    alone = array.assembled(1)
    assert alone.device is not None
    with pytest.raises(ImageError):
        content(alone)


@pytest.mark.parametrize("name", RESHAPING)
def test_a_half_way_new_shape(name: str) -> None:
    array = load(name)
    found = array.assembled()
    assert found.size == array.size
    if "raid10" not in name:  # halted, the kernel reads other data there
        assert hashlib.sha256(content(found)).hexdigest() == array.expected["sha256"]
    assert content(found) == pattern(found.size)
    assert "array-reshaping" in codes(found)
    degraded = array.assembled(1)
    assert content(degraded) == pattern(found.size)


def test_a_mirror_answers_from_several_members_when_none_can_alone() -> None:
    data = pattern(64 * 1024)
    spoilt = [data[:at] + bytes(4096) + data[at + 4096 :] for at in (8192, 40960)]
    legs = [
        Leg(f"leg {at}", Source(MemoryDevice(each), 0, None, ((at, 4096),)))
        for at, each in zip((8192, 40960), spoilt, strict=True)
    ]
    device = MirrorDevice("md", len(data), legs)
    assert device.read_at(0, len(data)) == data
    assert device.read_at(8000, 40000) == data[8000:48000]
    both = [Leg(leg.name, Source(MemoryDevice(data), 0, None, ((8192, 512),))) for leg in legs]
    with pytest.raises(MissingPart):
        MirrorDevice("md", len(data), both).read_at(0, 16384)


@requires_tool("mdadm")
@pytest.mark.parametrize("at_end", [False, True])
def test_superblocks_of_the_builder_are_right(tmp_path: Path, at_end: bool) -> None:
    members = mirror(pattern(1 << 20), at_end=at_end)
    for index, data in enumerate(members):
        path = tmp_path / f"m{index}"
        path.write_bytes(data)
        said = subprocess.run(
            [require_tool("mdadm"), "--examine", str(path)], capture_output=True, text=True, check=True
        ).stdout
        assert re.search(r"Checksum : \w+ - correct", said)
        assert f"Version : {'1.0' if at_end else '1.2'}" in said
        assert f"Device Role : Active device {index}" in said
    (found,) = assemble([member(index, data) for index, data in enumerate(members)])
    assert content(found) == pattern(1 << 20)
    assert codes(found) == []


def test_raid0_of_unknown_layout_is_read_as_far_as_it_is_sure() -> None:
    array = load("raid0-zones-dangerous")
    assert (
        "sha256" not in array.expected or array.expected["sha256"] == hashlib.sha256(b"").hexdigest()
    )  # as the kernel
    found = array.assembled()
    assert "raid0-layout-unknown" in codes(found)
    assert found.device is not None
    first_zone = 3 * (104 << 10)  # the shortest member has 1504 KiB, of which 1400 are in front of its data
    assert found.device.read_at(0, first_zone) == bytes(first_zone)
    with pytest.raises(UnsupportedFormat):
        found.device.read_at(first_zone, 8192)


def test_a_wrong_checksum_keeps_a_member_out() -> None:
    array = load("raid1-1.2")
    broken = bytearray(array.members[0])
    broken[4096 + 100] ^= 1
    found = array.assembled(members=(bytes(broken), array.members[1]))
    assert content(found) == pattern(found.size)
    assert {"superblock-checksum", "array-degraded"} <= set(codes(found))
    alone = array.assembled(1, members=(bytes(broken), array.members[1]))
    assert alone.device is None
    assert isinstance(alone.error, ImageError)


def test_a_big_endian_superblock_is_read() -> None:
    # what mdadm calls 0.swap: the same words in the other byte order (its long integers' halves change places)
    array = load("raid1-0.90")
    swapped = []
    for data in array.members:
        at = (len(data) & ~0xFFFF) - 65536
        words = list(struct.unpack_from("<1024I", data, at))
        words[39], words[40] = words[40], words[39]
        words[41], words[42] = words[42], words[41]
        swapped.append(data[:at] + struct.pack(">1024I", *words) + data[at + 4096 :])
    found = array.assembled(members=tuple(swapped))
    assert content(found) == pattern(found.size)
    assert found.metadata["metadata_version"] == "0.90 (big-endian)"
    assert codes(found) == []


def test_the_same_member_twice_is_told() -> None:
    array = load("raid1-1.2")
    found = array.assembled(members=(array.members[0], array.members[0], array.members[1]))
    assert "duplicate-member" in codes(found)
    assert content(found) == pattern(found.size)


def test_an_unreadable_member_is_left_out() -> None:
    class Broken(MemoryDevice):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset >= 1 << 20:
                raise ImageError("bad sector", where=self.name, offset=offset)
            return super().read_at(offset, length)

    array = load("raid5-left-symmetric")
    members = [member(index, data) for index, data in enumerate(array.members)]
    broken: BlockDevice = Broken(array.members[2], "disk2/p1")
    (found,) = assemble([*members[:2], type(members[0])("disk2/p1", broken, "linux_raid_member"), members[3]])
    assert content(found) == pattern(found.size)


def test_members_of_several_arrays_are_told_apart() -> None:
    one, other = load("raid1-1.0"), load("raid5-left-symmetric")
    members = [member(index, data) for index, data in enumerate((*one.members, *other.members))]
    found = assemble(members[::-1])
    assert [len(content(array)) for array in found] == [other.size, one.size]
    assert found[1].on == ("disk0/p1", "disk1/p1")


def test_no_superblock_at_all() -> None:
    (found,) = assemble([member(0, bytes(1 << 20))])
    assert found.device is None
    assert isinstance(found.error, ImageError)
    assert assemble([]) == ()


@pytest.mark.long
def test_arrays_made_again_are_the_same(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert sorted(made) == NAMES
    for name in made:
        again, kept = load(name, tmp_path), load(name)
        assert again.expected == kept.expected
        if "raid10" in name and name in RESHAPING:  # see test_a_half_way_new_shape
            assert content(again.assembled()) == pattern(again.size)
        elif "dangerous" not in name:
            assert hashlib.sha256(content(again.assembled())).hexdigest() == kept.expected["sha256"]
