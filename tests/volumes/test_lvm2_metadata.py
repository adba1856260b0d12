"""Labels, metadata areas and names: what LVM writes seldom, and what only a damaged or hostile disk holds."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from lvm2_builder import (
    AREA_SIZE,
    AREA_START,
    EXTENT,
    MIB,
    Group,
    Label,
    Physical,
    Segment,
    Volume,
    area,
    identity,
    physical_volume,
    physical_volumes,
)

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.layouts.dm_raid import IN_SYNC
from imgscan.layouts.lvm2 import parse_text
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.lvm2 import assemble

ROOT = Volume("root", [Segment(2, [("pv0", 1)])])
ONE = Group([Physical("A", 4)], [ROOT])
TWO = Group(
    [Physical("A", 4), Physical("B", 4)],
    [Volume("root", [Segment(1, [("pv0", 0)]), Segment(1, [("pv1", 3)])]), Volume("home", [Segment(1, [("pv0", 2)])])],
)


def found(*disks: bytes | bytearray) -> dict[str, Assembled]:
    members = [
        Member(f"disk{number}", MemoryDevice(bytes(data), f"disk{number}"), "LVM2_member")
        for number, data in enumerate(disks)
    ]
    volumes = assemble(members)
    assert len({volume.name for volume in volumes}) == len(volumes)
    return {volume.name: volume for volume in volumes}


def marked(data: bytearray, extent: int, text: bytes) -> bytearray:
    data[MIB + extent * EXTENT : MIB + extent * EXTENT + len(text)] = text
    return data


def read(volume: Assembled, offset: int = 0, length: int = 4) -> bytes:
    assert volume.device is not None
    return volume.device.read_at(offset, length)


def codes(volume: Assembled) -> set[str]:
    return {problem.code for problem in volume.problems}


def one(text: bytes | None = None, **changes: Any) -> bytearray:
    """One physical volume with one metadata area of a text, its second extent marked."""
    content = area(ONE.text() if text is None else text, **changes)
    return marked(physical_volume("A", 4, [(AREA_START, content)]), 1, b"here")


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sector", range(4))
def test_the_label_may_stand_in_any_of_four_sectors(sector: int) -> None:
    data = physical_volume("A", 4, [(AREA_START, area(ONE.text()))], Label(sector=sector))
    assert read(found(marked(data, 1, b"here"))["vg0/root"]) == b"here"


def test_a_header_without_extension_is_one_of_an_old_lvm() -> None:
    data = physical_volume("A", 4, [(AREA_START, area(ONE.text()))], Label(extension=0))
    assert read(found(marked(data, 1, b"here"))["vg0/root"]) == b"here"


@pytest.mark.parametrize("at", [8, 16, 20, 40, 80], ids=["sector", "checksum", "offset", "uuid", "area"])
def test_a_damaged_label_is_told(at: int) -> None:
    data = one()
    data[512 + at] ^= 1
    volume = found(data)["disk0/lvm"]
    assert isinstance(volume.error, CorruptStructure)
    assert volume.on == ("disk0",)
    assert "no-volume-group" in codes(volume)


def test_a_volume_that_is_in_no_group_makes_none() -> None:
    assert found(physical_volume("A", 4, [(AREA_START, area(None))], Label(used=False))) == {}


def test_a_volume_whose_group_is_described_elsewhere_only_is_missed() -> None:
    (volume,) = found(physical_volume("B", 4, label=Label(areas=()))).values()
    assert isinstance(volume.error, MissingPart)
    assert not volume.is_complete


def test_a_volume_without_metadata_is_found_by_that_of_another() -> None:
    first = physical_volumes(TWO)[0]
    second = marked(physical_volume("B", 4, label=Label(areas=())), 3, b"tail")
    volume = found(second, first)["vg0/root"]
    assert read(volume, MIB) == b"tail"
    assert volume.on == ("disk1", "disk0")
    assert volume.is_complete


# --- metadata areas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [1, 511, 512, 700])
def test_a_text_that_wraps_around_the_end_of_its_area(behind: int) -> None:
    text = ONE.text()
    assert read(found(one(text, at=AREA_SIZE - len(text) + behind))["vg0/root"]) == b"here"


def test_the_newest_copy_counts() -> None:
    old = Group([Physical("A", 4)], [Volume("gone", [Segment(1, [("pv0", 0)])])], sequence=8)
    new = Group([Physical("A", 4)], [ROOT], sequence=9)
    behind = 4 * MIB + MIB // 2  # a second area at the end of the disk
    areas = [(AREA_START, area(old.text())), (behind, area(new.text(), start=behind, size=MIB // 2))]
    volumes = found(marked(physical_volume("A", 4, areas), 1, b"here"))
    assert list(volumes) == ["vg0/root"]
    assert read(volumes["vg0/root"]) == b"here"
    assert "lvm-metadata-old" in codes(volumes["vg0/root"])


@pytest.mark.parametrize("torn", [0, 100, 511], ids=["header", "header's end", "text"])
def test_a_torn_newest_copy_falls_back_to_the_older(torn: int) -> None:
    old = Group([Physical("A", 4)], [ROOT], sequence=8)
    new = Group([Physical("A", 4)], [Volume("new", [Segment(1, [("pv0", 0)])])], sequence=9)
    broken = bytearray(area(new.text()))
    broken[torn if torn < 511 else 600] ^= 0xFF
    behind = 4 * MIB + MIB // 2
    areas = [(AREA_START, bytes(broken)), (behind, area(old.text(), start=behind, size=MIB // 2))]
    volumes = found(marked(physical_volume("A", 4, areas), 1, b"here"))
    assert read(volumes["vg0/root"]) == b"here"
    (problem,) = volumes["vg0/root"].problems
    assert (problem.code, problem.kind) == ("lvm-metadata-area", "damage")
    assert problem.evidence[0].offset == AREA_START  # type: ignore[union-attr]


def test_without_any_good_copy_nothing_is_made_up() -> None:
    data = one()
    data[AREA_START + 600] ^= 1
    (volume,) = found(data).values()
    assert volume.name == "disk0/lvm"
    assert volume.device is None
    assert isinstance(volume.error, CorruptStructure)


def test_an_area_that_is_ignored_is_not_asked() -> None:
    (volume,) = found(one(flags=1)).values()
    assert isinstance(volume.error, MissingPart)


@pytest.mark.parametrize(("field", "value"), [(24, 8192), (40, 100), (40, 1 << 62), (48, 1 << 40), (48, 0)], ids=str)
def test_an_area_whose_numbers_are_impossible(field: int, value: int) -> None:
    data = one()
    struct.pack_into("<Q", data, AREA_START + field, value)
    from lvm2_builder import crc

    struct.pack_into("<I", data, AREA_START, crc(bytes(data[AREA_START + 4 : AREA_START + 512])))
    (volume,) = found(data).values()
    assert isinstance(volume.error, CorruptStructure | LimitExceeded)


# --- groups ----------------------------------------------------------------------------------------------------------


def test_a_missing_physical_volume_is_named() -> None:
    first, second = physical_volumes(TWO)
    volumes = found(marked(first, 0, b"head"))
    root, home = volumes["vg0/root"], volumes["vg0/home"]
    assert read(root) == b"head"
    with pytest.raises(MissingPart, match=f"{identity('B')}.*/dev/sdb2"):
        read(root, MIB)
    assert isinstance(root.error, MissingPart)
    assert [(problem.code, problem.kind) for problem in root.problems] == [("missing-physical-volume", "missing")]
    assert [(problem.code, problem.kind) for problem in home.problems] == [("incomplete-volume-group", "note")]
    assert home.error is None
    assert not root.is_complete
    assert not home.is_complete
    assert found(first, second)["vg0/root"].is_complete


def test_a_volume_that_lies_on_missing_ones_alone_has_no_device() -> None:
    (second,) = physical_volumes(TWO)[1:]
    home = found(second)["vg0/home"]
    assert home.device is None
    assert isinstance(home.error, MissingPart)
    assert home.on == ()


def test_a_physical_volume_that_is_marked_as_missing_may_be_out_of_date() -> None:
    group = Group([Physical("A", 4, flags=("MISSING",))], [ROOT])
    volume = found(*physical_volumes(group))["vg0/root"]
    assert volume.device is None
    assert "marked as missing" in str(volume.error)


def test_the_same_physical_volume_twice() -> None:
    first, second = physical_volumes(TWO)
    newer = Group(TWO.physical, TWO.volumes, sequence=5)
    copy = marked(physical_volumes(newer)[0], 0, b"copy")
    volumes = found(first, second, copy)
    assert set(volumes) == {"vg0/root", "vg0/home"}
    assert read(volumes["vg0/root"]) == b"copy"
    assert "duplicate-physical-volume" in codes(volumes["vg0/root"])


def test_two_groups_of_one_name() -> None:
    other = Group([Physical("B", 4)], [ROOT], letter="H")
    volumes = found(one(), *physical_volumes(other))
    assert list(volumes) == ["vg0/root", f"vg0~{'H' * 8}/root"]
    assert volumes["vg0/root"].metadata["group_uuid"] == identity("G")
    assert volumes[f"vg0~{'H' * 8}/root"].metadata["group"] == "vg0"


@pytest.mark.parametrize("name", ["disk0", "md", "ldm", "disk"])
def test_a_group_that_is_called_like_other_volumes_is_told_apart(name: str) -> None:
    assert list(found(*physical_volumes(Group([Physical("A", 4)], [ROOT], name=name)))) == [f"{name}~GGGGGGGG/root"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a/b", "a\\x2fb"),
        ("..", "\\x2e\\x2e"),
        ("", "\\x"),
        ("x y\n\x1b[31m", "x\\x20y\\x0a\\x1b\\x5b31m"),
        ("\u202eabc", "\\xe2\\x80\\xaeabc"),
        ("root-1.a+b_c", "root-1.a+b_c"),
        ("a~b", "a\\x7eb"),
    ],
)
def test_hostile_names_stay_one_component(name: str, shown: str) -> None:
    group = Group([Physical("A", 4)], [Volume(name, [Segment(1, [("pv0", 0)])])])
    assert list(found(*physical_volumes(group))) == [f"vg0/{shown}"]
    group = Group([Physical("A", 4)], [ROOT], name=name)
    assert list(found(*physical_volumes(group))) == [f"{shown}/root"]


def test_exported_foreign_and_clustered_groups_are_noted() -> None:
    more = 'system_id = "other"\nlock_type = "sanlock"\n'
    group = Group([Physical("A", 4)], [ROOT], status=("RESIZEABLE", "EXPORTED"), more=more)
    volume = found(*physical_volumes(group))["vg0/root"]
    assert codes(volume) == {"volume-group-exported", "volume-group-system-id", "volume-group-clustered"}
    assert volume.device is not None


# --- volumes that contradict themselves ------------------------------------------------------------------------------


def volume_of(*segments: Segment, **others: Sequence[Segment]) -> Assembled:
    volumes = [Volume("root", segments), *(Volume(name, own, ("READ",)) for name, own in others.items())]
    return found(*physical_volumes(Group([Physical("A", 4)], volumes)))["vg0/root"]


def test_volumes_in_a_circle() -> None:
    volume = volume_of(Segment(1, [("a", 0)]), a=[Segment(1, [("b", 0)])], b=[Segment(1, [("a", 0)])])
    assert isinstance(volume.error, CorruptStructure)
    assert "itself" in str(volume.error)


def test_volumes_deep_below_each_other() -> None:
    chain = {f"v{number}": [Segment(1, [(f"v{number + 1}", 0)])] for number in range(60)}
    assert isinstance(volume_of(Segment(1, [("v0", 0)]), **chain).error, CorruptStructure | LimitExceeded)


def test_extents_beyond_the_physical_volume() -> None:
    volume = volume_of(Segment(1, [("pv0", 0)]), Segment(1, [("pv0", 4000)]))
    assert read(volume) == bytes(4)
    with pytest.raises(ImageError):
        read(volume, MIB)


@pytest.mark.parametrize(
    "segment",
    [
        Segment(3, [("pv0", 0), ("pv0", 1)]),
        Segment(1, [("nowhere", 0)]),
        Segment(1, lines='type = "striped"\nstripe_count = 0\n'),
        Segment(1, lines='type = "striped"\nstripe_count = 1\nstripes = ["pv0"]\n'),
        Segment(2, [("pv0", 0), ("pv0", 1)], stripe_sectors=0),
        Segment(1, lines='type = "raid1"\ndevice_count = 2\nraids = ["a"]\n'),
        Segment(1, lines='type = "raid5"\ndevice_count = 0\n'),
        Segment(1, lines='type = "raid10"\ndevice_count = 0\n'),
        Segment(1, lines='type = "thin"\nthin_pool = "root"\ndevice_id = 1\n'),
        Segment(1, lines='type = "mirror"\n'),
        Segment(1, lines='type = "cache"\norigin = "root"\n'),
        Segment(1 << 50, [("pv0", 0)]),
        Segment(1, lines="type = 5\n"),
    ],
    ids=lambda segment: segment.lines[:40] or f"{segment.extents} {segment.parts}",
)
def test_impossible_segments(segment: Segment) -> None:
    volume = volume_of(segment)
    assert volume.device is None
    assert isinstance(volume.error, ImageError)


@pytest.mark.parametrize("kind", ["vdo", "integrity", "writecache", "something-new"])
def test_types_that_are_not_read_are_named(kind: str) -> None:
    volume = volume_of(Segment(1, lines=f'type = "{kind}"\norigin = "a"\n'))
    assert volume.error is not None
    assert volume.error.why == "unsupported"
    assert kind in str(volume.error)


def test_a_mirror_whose_images_are_of_a_kind_that_is_not_read_is_not_degraded() -> None:
    """As `lvcreate --type raid1 --raidintegrity y` makes it: everything is there."""
    hidden = ("READ", "WRITE")
    images = [
        Volume(f"r_rimage_{number}", [Segment(1, lines='type = "integrity"\norigin = "x"\n')], hidden)
        for number in (0, 1)
    ]
    metas = [Volume(f"r_rmeta_{number}", [Segment(1, [("pv0", number)])], hidden) for number in (0, 1)]
    raid = 'type = "raid1"\ndevice_count = 2\nraids = ["r_rmeta_0", "r_rimage_0", "r_rmeta_1", "r_rimage_1"]\n'
    group = Group([Physical("A", 4)], [Volume("r", [Segment(1, lines=raid)]), *metas, *images])
    (whole,) = physical_volumes(group)
    for number in (0, 1):
        superblock = struct.pack("<4s3I4Q", b"DmRd", 0, 2, number, 5, 0, IN_SYNC, IN_SYNC).ljust(512, b"\0")
        whole = marked(whole, number, superblock)
    volume = found(whole)["vg0/r"]
    assert isinstance(volume.error, UnsupportedFormat)
    assert [problem.code for problem in volume.problems] == []


def test_an_error_segment_is_a_lost_part() -> None:
    volume = volume_of(Segment(1, [("pv0", 0)]), Segment(1, lines='type = "error"\n'))
    assert read(volume) == bytes(4)
    assert isinstance(volume.error, MissingPart)


def test_a_zero_segment_is_zeros() -> None:
    assert read(volume_of(Segment(1, lines='type = "zero"\n')), 5) == bytes(4)


def test_pvmove_reads_where_the_data_still_is() -> None:
    move = [Segment(1, lines='type = "mirror"\nmirror_count = 2\nextents_moved = 0\nmirrors = ["pv0", 2, "pv0", 0]\n')]
    group = Group(
        [Physical("A", 4)],
        [Volume("root", [Segment(1, [("pvmove0", 0)])]), Volume("pvmove0", move, ("READ", "VISIBLE", "PVMOVE"))],
    )
    volumes = found(marked(physical_volumes(group)[0], 2, b"here"))
    assert list(volumes) == ["vg0/root"]
    assert read(volumes["vg0/root"]) == b"here"


# --- the text --------------------------------------------------------------------------------------------------------


def test_text_as_lvm_writes_it() -> None:
    text = 'a { b = 1 c="x\\"y\\\\z" # comment } = {\n d = [ "p", 1, ] e = [] f { g = -5 } }\n h = 1.5 "quoted key" = 2'
    expected: Mapping[str, Any] = {
        "a": {"b": 1, "c": 'x"y\\z', "d": ["p", 1], "e": [], "f": {"g": -5}},
        "h": 1.5,
        "quoted key": 2,
    }
    assert parse_text(text) == expected


@pytest.mark.parametrize(
    "text", ["a {", "a", "}", "a = ", "a = {", "a = [1, 2", "a = }", 'a = "x', "a b = 1", "a = [ { ]", "= 1", "a ! b"]
)
def test_text_that_is_none(text: str) -> None:
    with pytest.raises(CorruptStructure):
        parse_text(text)


def test_text_of_any_depth_and_many_comments_ends() -> None:
    with pytest.raises(LimitExceeded):
        parse_text("a{" * 100_000)
    with pytest.raises(CorruptStructure):
        parse_text("#" * 100_000 + "\n" + "# # #\n" * 50_000 + "!")


def test_the_checksum_is_that_of_lvm() -> None:
    """A header that pvcreate wrote (lvm2 2.03.16): its label's checksum and its contents."""
    from lvm2_appliance import unpack

    from imgscan.layouts.lvm2 import checksum, parse_label

    for disk in unpack("plain")[0].values():
        header = parse_label(disk[:2048])
        assert header is not None
        assert struct.unpack_from("<I", disk, 512 + 16)[0] == checksum(disk[512 + 20 : 1024])
        assert (header.offset, header.data_areas[0].offset, header.flags) == (512, MIB, 1)
