"""VDI: as QEMU writes and reads it, other block sizes as the builder laid them out, and damaged headers."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from image_opening import (
    as_qemu_reads,
    assert_holds,
    device_in,
    opened_image,
    problem_codes,
    problem_kinds,
    qemu_img,
    scattered_bytes,
)
from tools import requires_tool, soon
from vdi_images import FIELDS, FREE, UUID, ZERO, Vdi

from imgscan.errors import CorruptStructure, ImageError, MissingPart, TruncatedRead

SIZE = 5 * (1 << 20) + 512 * 7
ONE = bytes(range(256)) * 16
TWO = ONE[::-1]
PLAIN = b"".join({1: ONE, 2: TWO, 30: ONE}.get(number, bytes(4096)) for number in range(40))


def written(folder: Path, image: Vdi | bytes) -> Path:
    path = folder / "image.vdi"
    path.write_bytes(image if isinstance(image, bytes) else image.build())
    return path


def plain() -> Vdi:
    return Vdi(40 * 4096, {1: ONE, 2: TWO, 30: ONE})


@requires_tool("qemu-img")
@pytest.mark.parametrize("static", ["on", "off"])
def test_as_qemu_writes_it(tmp_path: Path, static: str) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(scattered_bytes(SIZE))
    qemu_img("convert", "-f", "raw", "-O", "vdi", "-o", f"static={static}", raw, path)
    assert as_qemu_reads(path, "vdi") == scattered_bytes(SIZE)
    with opened_image(path) as image:
        assert_holds(device_in(image), scattered_bytes(SIZE))
        assert (image.facts.format, image.facts.variant) == ("vdi", "fixed" if static == "on" else "dynamic")
        assert image.facts.problems == ()
        assert image.facts.unclean.get() is False
        assert image.facts.delta.get() is None


@requires_tool("qemu-img")
def test_qemu_reads_the_built_images_alike(tmp_path: Path) -> None:
    block = 1 << 20
    image = Vdi(3 * block, {0: ONE, 2: TWO}, block=block, entries={1: ZERO})
    path = written(tmp_path, image)
    with opened_image(path) as opened:
        assert_holds(device_in(opened), as_qemu_reads(path, "vdi"))


@pytest.mark.parametrize(("block", "extra"), [(512, 0), (4096, 0), (4096, 512), (65_536, 4096)])
def test_block_sizes_and_extra_data(tmp_path: Path, block: int, extra: int) -> None:
    first, last = random.Random(1).randbytes(block), random.Random(2).randbytes(block)
    image = Vdi(50 * block, {0: first, 3: last, 4: first, 49: last}, block, extra)
    expected = first + bytes(2 * block) + last + first + bytes(44 * block) + last
    with opened_image(written(tmp_path, image)) as opened:
        assert_holds(device_in(opened), expected)
        assert opened.facts.identity == UUID
        assert opened.facts.problems == ()


def test_disk_that_ends_inside_a_block(tmp_path: Path) -> None:
    with opened_image(written(tmp_path, Vdi(40 * 4096 - 1024, {39: ONE}))) as opened:
        assert_holds(device_in(opened), bytes(39 * 4096) + ONE[:3072])


@pytest.mark.parametrize("kind", [3, 4])
def test_differencing_image_reads_what_it_holds_itself(tmp_path: Path, kind: int) -> None:
    image = Vdi(40 * 4096, {2: TWO}, type=kind, entries={3: ZERO})
    with opened_image(written(tmp_path, image)) as opened:
        assert problem_codes(opened) == ["parent-not-named"]
        assert "03020100-0504-0706-0809-0a0b0c0d0e0f" in opened.facts.problems[0].detail
        delta = opened.facts.delta.get()
        assert delta is not None
        assert delta.startswith("VDI ")
        device = device_in(opened)
        assert device.read_at(2 * 4096, 8192) == TWO + bytes(4096)
        with pytest.raises(MissingPart):
            device.read_at(4096, 1)


def test_versions_and_types_that_are_not_read(tmp_path: Path) -> None:
    for extra in ({"version": 1}, {"version": 0x0002_0000}, {"type": 9}):
        image = plain()
        image.extra = extra
        with opened_image(written(tmp_path, image)) as opened:
            assert opened.device is None
            assert problem_kinds(opened) == ["unsupported"]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["zero", "one", "maximum", "top bit"])
def test_every_header_field_at_its_extremes(tmp_path: Path, name: str, value: str) -> None:
    size = FIELDS[name][1]
    number = {"zero": 0, "one": 1, "maximum": (1 << 8 * size) - 1, "top bit": 1 << 8 * size - 1}[value]
    image = plain()
    image.extra = {name: number}
    tracemalloc.start()
    with opened_image(written(tmp_path, image)) as opened:
        if opened.device is None:
            assert any(kind != "note" for kind in problem_kinds(opened))
        else:
            for at in (0, 4096, 39 * 4096):
                with suppress(ImageError):
                    opened.device.read_at(at, 512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_header_that_contradicts_itself(tmp_path: Path) -> None:
    for extra, code in (
        ({"blocks": 10}, "block-map-too-small"),
        ({"blocks_allocated": 41}, "too-many-blocks-in-use"),
        ({"sector_size": 4096}, "sector-size"),
        ({"blocks_allocated": 30}, "file-cut-short"),
    ):
        image = plain()
        image.extra = dict(extra)
        with opened_image(written(tmp_path, image)) as opened:
            assert problem_codes(opened) == [code]
            assert device_in(opened).read_at(4096, 4096) == ONE


def test_entries_that_cannot_be_followed(tmp_path: Path) -> None:
    image = plain()
    image.entries = {5: 0xFFFF_FFFD, 6: FREE}
    with opened_image(written(tmp_path, image)) as opened:
        device = device_in(opened)
        with pytest.raises(TruncatedRead):
            device.read_at(5 * 4096, 1)
        assert device.read_at(6 * 4096, 4096) == bytes(4096)


@pytest.mark.parametrize("size", [0, 63, 64, 67, 68, 455, 456, 511, 512, 516, 600, 671, 672, 1024, 1025, 5120, 13_000])
def test_cut_at_the_boundaries_of_structures(tmp_path: Path, size: int) -> None:
    with opened_image(written(tmp_path, plain().build()[:size]), "vdi") as opened:
        assert "truncated" in problem_kinds(opened)
        if opened.device is not None:
            with suppress(TruncatedRead):
                assert opened.device.read_at(30 * 4096, 4096) == ONE


def test_mutations_end_in_data_or_an_image_error(tmp_path: Path) -> None:
    chooser = random.Random(12)
    good = plain().build()
    for _ in range(200):
        image = bytearray(good)
        for _ in range(chooser.randrange(1, 6)):
            image[chooser.randrange(0x44, 700)] = chooser.choice((0, 1, 0x7F, 0xFF, chooser.randrange(256)))
        with opened_image(written(tmp_path, bytes(image)), "vdi") as opened:
            if opened.device is not None:
                for at in range(0, min(opened.device.size, 40 * 4096), 4096):
                    with suppress(ImageError):
                        opened.device.read_at(at, min(4096, opened.device.size - at))


def test_a_block_map_that_is_too_small_is_damage_where_it_ends(tmp_path: Path) -> None:
    image = plain()
    image.extra = {"blocks": 10}
    with opened_image(written(tmp_path, image)) as opened:
        device = device_in(opened)
        with pytest.raises(CorruptStructure):
            device.read_at(30 * 4096, 1)


def test_a_large_disk_is_opened_at_once_and_in_little_memory(tmp_path: Path) -> None:
    # as many blocks as the format can count, of 1 MiB: the map is 16 GiB of holes
    header = bytearray(Vdi(1 << 20, block=1 << 20).build()[:512])
    header[0x170:0x178] = (0xFFFF_FFF0 << 20).to_bytes(8, "little")
    header[0x180:0x184] = (0xFFFF_FFF0).to_bytes(4, "little")
    header[0x158:0x15C] = (0xFFFF_FE00).to_bytes(4, "little")
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(17 << 30)
    tracemalloc.start()
    with soon(), opened_image(path) as opened:
        for at in range(0, device_in(opened).size, 1 << 43):
            device_in(opened).read_at(at, 512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
