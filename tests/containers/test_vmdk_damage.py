"""VMDK: damage that leaves every field possible, text that costs, and disks of many extents.

The images are built by `vmdk_recipes`, apart from `vmdk_images`; what a damaged image must still give is its recipe's.
"""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from image_opening import (
    assert_holds,
    device_in,
    opened_image,
    problem_codes,
    problem_kinds,
    watched_opens,
)
from tools import soon
from vmdk_recipes import (
    COMPRESSED,
    GD_AT_END,
    MARKERS,
    NEWLINES,
    REDUNDANT,
    SECTOR,
    ZERO_GRAINS,
    Cowd,
    Hosted,
    SeSparse,
    Stream,
    descriptor,
    expected,
)

from imgscan.containers.vmdk_descriptor import parse_descriptor
from imgscan.devices.counters import IoCounter
from imgscan.errors import CorruptStructure, ImageError, MissingPart, TruncatedRead

GRAIN = 16 * SECTOR
GRAINS = {number: random.Random(number).randbytes(GRAIN) for number in (0, 1, 5, 511, 512, 700, 1100)}
CAPACITY = 16 * 1200 + 3
DISK = expected(CAPACITY, 16, GRAINS)


def written(folder: Path, image: bytes | str, name: str = "disk.vmdk") -> Path:
    path = folder / name
    path.write_bytes(image if isinstance(image, bytes) else image.encode())
    return path


# ---- tables


@pytest.mark.parametrize(
    "damage",
    [
        *("directory zeroed", "directory entry zeroed", "directory of noise", "directory beyond the end"),
        *("table zeroed", "table of noise", "last table zeroed", "every table zeroed"),
    ],
)
def test_the_redundant_copy_stands_in(tmp_path: Path, damage: str) -> None:
    recipe = Hosted(CAPACITY, GRAINS)
    image = bytearray(recipe.build())
    noise = random.Random(3).randbytes(4 * SECTOR)
    directory = recipe.directory_at * SECTOR
    tables = {"table": [0], "last": [recipe.tables - 1], "every": range(recipe.tables)}.get(damage.split(maxsplit=1)[0])
    for number in tables or ():
        at = recipe.table_at(number) * SECTOR
        image[at : at + 2048] = noise[:2048] if damage.endswith("noise") else bytes(2048)
    if damage == "directory beyond the end":
        struct.pack_into("<Q", image, 56, 1 << 40)
    elif damage.startswith("directory entry"):
        image[directory + 4 : directory + 8] = bytes(4)
    elif damage.startswith("directory"):
        image[directory : directory + SECTOR] = noise[:SECTOR] if damage.endswith("noise") else bytes(SECTOR)
    with opened_image(written(tmp_path, bytes(image))) as opened:
        assert_holds(device_in(opened), DISK)
        assert "damage" in problem_kinds(opened)
        assert any("redundant" in problem.detail for problem in opened.facts.problems)


def test_empty_tables_in_both_copies_are_no_damage(tmp_path: Path) -> None:
    grains = {3: GRAINS[5]}  # the tables behind are empty, as QEMU writes them
    with opened_image(written(tmp_path, Hosted(CAPACITY, grains).build())) as opened:
        assert_holds(device_in(opened), expected(CAPACITY, 16, grains))
        assert problem_codes(opened) == []


@pytest.mark.parametrize(
    ("entry", "code", "error"),
    [
        (2, "grain-on-metadata", None),  # the descriptor
        (1 << 31, "data-beyond-end", TruncatedRead),
        (0xFFFFFFFF, "data-beyond-end", TruncatedRead),
    ],
)
def test_entries_that_point_where_no_grain_is(
    tmp_path: Path, entry: int, code: str, error: type[ImageError] | None
) -> None:
    recipe = Hosted(CAPACITY, GRAINS, raw_entries={2: entry}, flags=NEWLINES)
    with opened_image(written(tmp_path, recipe.build())) as opened:
        assert code in problem_codes(opened)
        device = device_in(opened)
        for number, content in GRAINS.items():
            assert device.read_at(number * GRAIN, GRAIN) == content
        if error is not None:
            with pytest.raises(error):
                device.read_at(2 * GRAIN, 1)


@pytest.mark.parametrize("cut_sectors", [1, 2])
def test_a_cut_that_only_a_late_table_shows(tmp_path: Path, cut_sectors: int) -> None:
    """The last grain begins at the end, or behind it; its table is one of the last in a batch of tables."""
    tables = 64
    last = (tables - 2) * 512 + 7
    packed = {n * 512: zlib.compress(bytes([n + 1]) * GRAIN) for n in (0, 5)}
    packed[last] = zlib.compress(b"z" * GRAIN)
    flags = NEWLINES | REDUNDANT | COMPRESSED | MARKERS
    text = descriptor("streamOptimized", [f'RW {16 * 512 * tables} SPARSE "disk.vmdk"'])
    image = Hosted(16 * 512 * tables, packed=packed, flags=flags, version=3, text=text).build()
    with opened_image(written(tmp_path, image)) as opened:
        assert problem_codes(opened) == []
    image = image[: len(image) - cut_sectors * SECTOR]
    with opened_image(written(tmp_path, image)) as opened:
        assert "data-beyond-end" in problem_codes(opened)
        assert "truncated" in problem_kinds(opened)
        with pytest.raises(TruncatedRead):
            device_in(opened).read_at(last * GRAIN, 1)


@pytest.mark.parametrize(
    ("behind", "codes"),
    [
        (b"", []),
        (b"x" * SECTOR, []),  # no more than padding to a whole grain
        (b"x" * (GRAIN + SECTOR), ["trailing-data"]),
        (bytes(GRAIN + SECTOR), []),
    ],
)
def test_data_behind_the_last_grain(tmp_path: Path, behind: bytes, codes: list[str]) -> None:
    packed = {n: zlib.compress(content) for n, content in GRAINS.items()}
    packed[3] = zlib.compress(bytes(GRAIN))  # stored last, and small
    flags = NEWLINES | REDUNDANT | COMPRESSED | MARKERS
    text = descriptor("streamOptimized", [f'RW {CAPACITY} SPARSE "disk.vmdk"'])
    recipe = Hosted(CAPACITY, packed=packed, flags=flags, version=3, text=text)
    with opened_image(written(tmp_path, recipe.build() + behind)) as opened:
        assert problem_codes(opened) == codes
        assert set(problem_kinds(opened)) <= {"note"}
        assert device_in(opened).read_at(5 * GRAIN, GRAIN) == GRAINS[5]


def test_two_grains_in_one_place(tmp_path: Path) -> None:
    recipe = Hosted(CAPACITY, GRAINS, flags=NEWLINES)
    recipe.raw_entries = {7: recipe.overhead, 1000: recipe.overhead}
    path = written(tmp_path, recipe.build())
    with opened_image(path) as opened:
        assert problem_codes(opened) == ["grains-shared"]
        assert device_in(opened).read_at(1000 * GRAIN, GRAIN) == GRAINS[0]


def test_entry_1_is_zeros_only_where_the_header_says_so(tmp_path: Path) -> None:
    for flags, first in ((NEWLINES | ZERO_GRAINS, b"\0"), (NEWLINES, b"#")):  # sector 1 holds the descriptor
        with opened_image(written(tmp_path, Hosted(CAPACITY, raw_entries={2: 1}, flags=flags).build())) as opened:
            assert device_in(opened).read_at(2 * GRAIN, 1) == first


@pytest.mark.parametrize("entry", [1, 4 << 60, 0xF << 60, 3 << 60 | (1 << 60) - 1])
def test_sesparse_entries_that_mean_nothing(tmp_path: Path, entry: int) -> None:
    written(tmp_path, SeSparse(CAPACITY, {0: b"x" * 4096}, {9: entry}).build(), "d-sesparse.vmdk")
    path = written(tmp_path, descriptor("seSparse", [f'RW {CAPACITY} SESPARSE "d-sesparse.vmdk"']))
    with opened_image(path) as opened:
        device = device_in(opened)
        assert {"damage", "truncated"} & set(problem_kinds(opened))
        assert device.read_at(0, 4096) == b"x" * 4096
        with pytest.raises(ImageError):
            device.read_at(9 * 4096, 1)


def test_sesparse_directory_entries_that_mean_nothing(tmp_path: Path) -> None:
    image = bytearray(SeSparse(65536, {0: b"x", 4096: b"y" * 4096}).build())
    struct.pack_into("<Q", image, 16 * SECTOR, 7 << 60)
    written(tmp_path, bytes(image), "d-sesparse.vmdk")
    path = written(tmp_path, descriptor("seSparse", ['RW 65536 SESPARSE "d-sesparse.vmdk"']))
    with opened_image(path) as opened:
        assert "damage" in problem_kinds(opened)
        assert device_in(opened).read_at(4096 * 4096, 1) == b"y"
        with pytest.raises(CorruptStructure):
            device_in(opened).read_at(0, 1)


def test_a_cowd_that_ends_before_its_data(tmp_path: Path) -> None:
    image = Cowd(CAPACITY, {3: b"a" * 512, 9: b"b" * 512}).build()
    written(tmp_path, image[:-512], "d-delta.vmdk")
    path = written(tmp_path, descriptor("vmfsSparse", [f'RW {CAPACITY} VMFSSPARSE "d-delta.vmdk"']))
    with opened_image(path) as opened:
        assert "truncated" in problem_kinds(opened)
        device = device_in(opened)
        assert device.read_at(3 * 512, 512) == b"a" * 512
        with pytest.raises(TruncatedRead):
            device.read_at(9 * 512, 512)


# ---- compressed grains


def test_compressed_grains_without_markers(tmp_path: Path) -> None:
    packed = {number: zlib.compress(content) for number, content in GRAINS.items()}
    image = bytearray(Hosted(CAPACITY, packed=packed, flags=NEWLINES | COMPRESSED | MARKERS).build())
    for number, grain in packed.items():  # the grain without its marker, where the marker was
        at = image.index(struct.pack("<QI", number * 16, len(grain)) + grain)
        image[at : at + len(grain) + 12] = grain + bytes(12)
    struct.pack_into("<I", image, 8, NEWLINES | COMPRESSED)
    with opened_image(written(tmp_path, bytes(image))) as opened:
        assert_holds(device_in(opened), DISK)


@pytest.mark.parametrize("kind", ["stream", "in place"])
def test_a_grain_that_inflates_without_end(tmp_path: Path, kind: str) -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)[: 2 * GRAIN]
    if kind == "stream":
        image = Stream(CAPACITY, GRAINS, packed={3: bomb}).build()
    else:
        image = Hosted(CAPACITY, GRAINS, packed={3: bomb}, flags=NEWLINES | COMPRESSED | MARKERS).build()
    with soon(), opened_image(written(tmp_path, image)) as opened:
        device = device_in(opened)
        tracemalloc.start()
        with pytest.raises(CorruptStructure, match="more than a grain"):
            device.read_at(3 * GRAIN, 1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def test_huge_compressed_grains_are_refused(tmp_path: Path) -> None:
    flags = NEWLINES | COMPRESSED | MARKERS
    image = Hosted(1 << 22, raw_entries={0: 0x1000}, grain_size=1 << 18, entries=1, flags=flags).build()
    with opened_image(written(tmp_path, image)) as opened:
        assert opened.device is None
        assert problem_codes(opened) == ["image-limit"]


def test_lost_stream_tables_do_not_fill_the_memory(tmp_path: Path) -> None:
    # each grain lies in a table of its own, and every table that is found takes half a megabyte
    entries, grain_size, count = 1 << 16, 1, 3000
    head = Hosted(count * entries, grain_size=grain_size, entries=entries, flags=NEWLINES | COMPRESSED | MARKERS)
    text = descriptor("streamOptimized", [f'RW {count * entries} SPARSE "x"']).encode().ljust(20 * SECTOR, b"\0")
    packed = zlib.compress(bytes(SECTOR))
    grains = b"".join(
        (struct.pack("<QI", number * entries, len(packed)) + packed).ljust(SECTOR, b"\0") for number in range(count)
    )
    path = written(tmp_path, head.header(directory=GD_AT_END, overhead=21) + text + grains)
    tracemalloc.start()
    with opened_image(path) as opened:
        assert "truncated" in problem_kinds(opened)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


# ---- descriptors


@pytest.mark.parametrize(
    "text",
    [
        b"a=x" + b" " * 900_000 + b"x",
        b"\n" * 900_000 + b"x",
        b" " * 900_000 + b"encoding",
        b"encoding" * 120_000,
        b'a="' + b'"' * 900_000 + b"x",
        b"a" * 900_000,
        b"CID=" + b"f" * 900_000,
        b"RW 1 ZERO\n" * 16_000 + b" " * 700_000,
        b'RW 1 FLAT "' + b"\\" * 900_000,
    ],
    ids=["blanks", "lines", "indent", "encodings", "quotes", "key", "number", "extents", "open quote"],
)
def test_a_descriptor_costs_linear_time(text: bytes) -> None:
    with soon():
        parse_descriptor(b"# Disk DescriptorFile\n" + text, "disk.vmdk")


def test_a_hundred_thousand_extents(tmp_path: Path) -> None:
    for line in ("RW 1 ZERO", 'RW 8 FLAT "disk-flat.vmdk" 0'):
        path = written(tmp_path, descriptor("custom", [line] * 100_000))
        with soon(), opened_image(path) as opened:
            assert opened.device is None
            assert problem_codes(opened) == ["image-limit"]


def test_thousands_of_extents_in_one_file_cost_little(tmp_path: Path) -> None:
    written(tmp_path, Hosted(1 << 20, {0: b"x"}, grain_size=128, text=None).build(), "a.vmdk")
    path = written(tmp_path, descriptor("twoGbMaxExtentSparse", [f'RW {1 << 20} SPARSE "a.vmdk"'] * 8000))
    counter = IoCounter()
    with soon(), opened_image(path, counter=counter) as opened:
        assert device_in(opened).read_at(7999 << 29, 2) == b"x\0"
    assert counter.result().bytes < 32 << 20


def test_many_missing_extents_are_counted_and_some_are_named(tmp_path: Path) -> None:
    lines = [f'RW 100 FLAT "gone-{number}" 0' for number in range(1000)]
    written(tmp_path, b"y" * 51200, "there")
    with opened_image(written(tmp_path, descriptor("custom", [*lines, 'RW 100 FLAT "there" 0']))) as opened:
        assert len(opened.facts.problems) < 100
        assert any("936 more" in problem.detail for problem in opened.facts.problems)
        assert device_in(opened).read_at(1000 * 51200, 5) == b"yyyyy"
        with pytest.raises(MissingPart):
            device_in(opened).read_at(999 * 51200, 1)


@pytest.mark.parametrize("label", ["UTF-16LE", "UTF-16", "utf-32", "cp037", "zlib", "base64", "no-such", "utf_7"])
def test_encodings_that_no_descriptor_has_are_not_followed(tmp_path: Path, label: str) -> None:
    written(tmp_path, b"z" * 4096, "größe.bin")
    text = descriptor("vmfs", ['RW 8 VMFS "größe.bin"'], "11111111", "ffffffff", "", f'encoding="{label}"')
    with opened_image(written(tmp_path, text)) as opened:
        assert device_in(opened).read_at(0, 4096) == b"z" * 4096


@pytest.mark.parametrize(
    ("label", "name"),
    [("windows-1252", "größe…“.bin"), ("Shift_JIS", "表示ソ.bin"), ("GBK", "系统.bin"), ("UTF-8", "ディスク.bin")],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_names_in_the_descriptors_encoding(tmp_path: Path, label: str, name: str, line_end: str) -> None:
    written(tmp_path, b"z" * 4096, name)
    text = descriptor("vmfs", [f'RW 8 VMFS "{name}"'], "11111111", "ffffffff", "", f'encoding="{label}"')
    codec = {"windows-1252": "cp1252"}.get(label, label)
    with opened_image(written(tmp_path, text.replace("\n", line_end).encode(codec))) as opened:
        assert device_in(opened).read_at(0, 4096) == b"z" * 4096
        assert problem_codes(opened) == []


@pytest.mark.parametrize("text", [b"\x01\x02\x03", b"# Disk DescriptorFile\n", b"\xff" * 4000])
def test_an_embedded_descriptor_that_says_nothing(tmp_path: Path, text: bytes) -> None:
    with opened_image(written(tmp_path, Hosted(CAPACITY, GRAINS, text=text).build())) as opened:
        assert "descriptor-damaged" in problem_codes(opened)
        assert not opened.facts.delta.is_known  # it may be a snapshot
        device = device_in(opened)
        for number, content in GRAINS.items():
            assert device.read_at(number * GRAIN, GRAIN) == content
        with pytest.raises(CorruptStructure):  # zeros, or the parent's
            device.read_at(2 * GRAIN, 1)


@pytest.mark.parametrize("parent_cid", ["ffffffff", "", "none"])
def test_a_parent_without_its_cid_is_not_taken(tmp_path: Path, parent_cid: str) -> None:
    written(tmp_path, Hosted(CAPACITY, {2: GRAINS[5]}).build(), "base.vmdk")
    line = f'RW {CAPACITY} SPARSE "disk.vmdk"'
    text = descriptor("monolithicSparse", [line], "22222222", parent_cid, "base.vmdk")
    with opened_image(written(tmp_path, Hosted(CAPACITY, GRAINS, text=text).build())) as opened:
        assert problem_codes(opened) == ["parent-unreadable"]
        assert "parentCID" in opened.facts.problems[0].detail
        assert device_in(opened).read_at(0, GRAIN) == GRAINS[0]
        with pytest.raises(CorruptStructure):
            device_in(opened).read_at(2 * GRAIN, 1)


def test_values_are_shown_up_to_a_length(tmp_path: Path) -> None:
    written(tmp_path, bytes(4096), "a")
    text = descriptor("x" * 500_000, ['RW 8 FLAT "a" 0']).replace('"lsilogic"', f'"{"y" * 400_000}"')
    with opened_image(written(tmp_path, text)) as opened:
        assert len(opened.facts.variant or "") < 2000
        assert len(opened.facts.metadata["adapterType"]) < 2000


def test_nothing_but_the_named_files_is_opened(tmp_path: Path) -> None:
    written(tmp_path, bytes(4096), "a")
    names = ["/etc/passwd", "../a", "..\\\\a", "folder/a", ".", ".."]
    lines = ['RW 8 FLAT "a" 0', *(f'RW 8 FLAT "{name}" 0' for name in names)]
    path = written(tmp_path, descriptor("custom", lines))
    with watched_opens() as paths, opened_image(path) as opened:
        assert opened.device is not None
    assert {Path(name).name for name in paths if not name.endswith((".py", ".pyc"))} <= {
        "disk.vmdk",
        "a",
        tmp_path.name,
    }
    assert set(problem_kinds(opened)) == {"refused"}


# ---- sizes


def test_64_tib_opens_at_once_and_in_little_memory(tmp_path: Path) -> None:
    capacity, grain_size = 1 << 37, 128
    head = Hosted(capacity, grain_size=grain_size, flags=NEWLINES)
    path = tmp_path / "disk.vmdk"
    count = head.tables
    table, data = head.directory_at + head.directory_sectors, head.directory_at + head.directory_sectors + 8
    text = descriptor(extents=[f'RW {capacity} SPARSE "disk.vmdk"']).encode()
    with path.open("wb") as file:
        file.write(head.header(overhead=data) + text)
        file.seek(head.directory_at * SECTOR + 4 * (count - 1))
        file.write(struct.pack("<I", table))
        file.seek(table * SECTOR + 4 * 511)
        file.write(struct.pack("<I", data))
        file.seek(data * SECTOR)
        file.write(b"last".ljust(grain_size * SECTOR, b"\0"))
    with opened_image(path):
        pass  # what is imported at first use
    counter = IoCounter()
    tracemalloc.start()
    with soon(), opened_image(path, counter=counter) as opened:
        device = device_in(opened)
        assert problem_codes(opened) == []
        assert device.read_at((capacity - grain_size) * SECTOR, 5) == b"last\0"
        for at in range(0, capacity * SECTOR, 1 << 38):
            assert device.read_at(at, 512) == bytes(512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert counter.result().reads < 400


@pytest.mark.parametrize("flags", [NEWLINES, NEWLINES | REDUNDANT])
def test_reading_everything_keeps_to_the_caches(tmp_path: Path, flags: int) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_bytes(Hosted(1 << 23, {0: b"x", 65535: b"y"}, grain_size=128, flags=flags).build())
    with opened_image(path) as opened:
        device = device_in(opened)
        tracemalloc.start()
        for at in range(0, device.size, 1 << 20):
            device.read_at(at, 512)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20
