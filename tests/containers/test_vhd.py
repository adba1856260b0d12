"""VHD: every variant byte for byte, and everything that can be wrong with one.

Expected bytes are the recipe's, or QEMU's reading. QEMU and the libraries tried read differencing VHDs wrong: their
expectation is the specification's (most significant bit first, a clear bit is the parent's sector). libvhdi 20260901
confirms it for bitmaps that it reads right (`test_libvhdi_agrees_where_it_is_right`, where pyvhdi is installed).
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tools import requires_tool, shared_data
from vhd_images import (
    BAT_OFFSET,
    BLOCK,
    DIFFERENCING,
    DYNAMIC,
    FIXED,
    UNIQUE_ID,
    Vhd,
    footer,
    seal_footer,
    seal_header,
)
from vhd_opening import assert_same, codes, device_of, opened, opened_bytes, some_bytes

from imgscan.containers import vhd
from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import open_given
from imgscan.errors import CorruptStructure, ImageError, MissingPart, TruncatedRead

SIZE = 2 * BLOCK + 512 * 5
FIRST, LAST = some_bytes(1, BLOCK), some_bytes(2, 512 * 5)
CONTENT = FIRST + bytes(BLOCK) + LAST
PARENT_ID = bytes(range(100, 116))


def plain() -> Vhd:
    return Vhd(SIZE, {0: FIRST, 2: LAST})


@requires_tool("qemu-img")
@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
@pytest.mark.parametrize("force_size", ["on", "off"])
def test_as_qemu_writes_it(tmp_path: Path, subformat: str, force_size: str) -> None:
    chooser = random.Random(5)
    source = bytearray(13 * 1024 * 1024 + 512 * 7)
    for _ in range(20):
        at = chooser.randrange(len(source) - 200_000)
        source[at : at + 150_001] = chooser.randbytes(150_001)
    (tmp_path / "raw").write_bytes(source)
    path, back = tmp_path / "image", tmp_path / "back"
    options = f"subformat={subformat},force_size={force_size}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", options, tmp_path / "raw", path], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "vpc", "-O", "raw", path, back], check=True)
    with opened(path) as found:
        assert_same(device_of(found), back.read_bytes())
        facts = found.facts
        assert (facts.format, facts.variant, facts.problems) == ("vhd", subformat, ())
        assert facts.virtual_size == back.stat().st_size
        assert (facts.virtual_size == len(source)) == (force_size == "on")
        assert facts.geometry_size is not None
        assert (facts.geometry_size == facts.virtual_size) == (force_size == "off")
        assert facts.metadata["creator_application"] == ("qem2" if force_size == "on" else "qemu")
        assert (facts.unclean.value, facts.encryption.value, facts.device_mapping.value) == (False, None, None)
        assert (facts.delta.value, facts.parents) == (None, ())


@pytest.mark.parametrize("block_size", [512, 4096, 512 << 10, BLOCK])
def test_block_sizes(tmp_path: Path, block_size: int) -> None:
    count = 5
    data = {n: some_bytes(n, block_size) for n in (0, 1, 3)}
    expected = b"".join(data.get(n, bytes(block_size)) for n in range(count))
    with opened_bytes(tmp_path, Vhd(len(expected), data, block_size=block_size).build()) as found:
        assert codes(found) == []
        assert_same(device_of(found), expected)


@requires_tool("qemu-img")
def test_clear_bits_of_a_dynamic_disk_read_as_data(tmp_path: Path) -> None:
    image = plain()
    image.present = {0: {0}}
    with opened_bytes(tmp_path, image.build()) as found:
        subprocess.run(
            ["qemu-img", "convert", "-f", "vpc", "-O", "raw", tmp_path / "image", tmp_path / "back"], check=True
        )
        assert_same(device_of(found), (tmp_path / "back").read_bytes())
        assert_same(device_of(found), CONTENT)


def test_libvhdi_agrees_where_it_is_right(tmp_path: Path) -> None:
    """Runs of set bits begin anywhere and end with a byte of the bitmap: libvhdi takes bits behind a run for set."""
    pyvhdi = pytest.importorskip("pyvhdi")
    chooser = random.Random(3)
    below, above = some_bytes(5, BLOCK), some_bytes(6, BLOCK)
    present = {n for byte in range(512) for n in range(8 * byte + chooser.randrange(9), 8 * byte + 8)}
    (tmp_path / "p").write_bytes(Vhd(BLOCK, {0: below}, unique_id=PARENT_ID).build())
    (tmp_path / "c").write_bytes(Vhd(BLOCK, {0: above}, {0: present}, parent_id=PARENT_ID, parent_name="p").build())
    parent, child = pyvhdi.file(), pyvhdi.file()
    parent.open(str(tmp_path / "p"))
    child.open(str(tmp_path / "c"))
    child.set_parent(parent)
    with opened(tmp_path / "c") as found:
        assert_same(device_of(found), child.read_buffer_at_offset(BLOCK, 0))


def test_differencing(tmp_path: Path) -> None:
    parent, child, expected = family()
    (tmp_path / "parent.vhd").write_bytes(parent)
    with opened_bytes(tmp_path, child, "child.vhd") as found:
        assert codes(found) == []
        assert_same(device_of(found), expected, reads=400)
        facts = found.facts
        assert (facts.variant, facts.delta.value) == ("differencing", "VHD differencing")
        (named,) = facts.parents
        assert (named.hint, named.file, named.format) == (".\\parent.vhd", "parent.vhd", "vhd")


def family(parent_kind: int = DYNAMIC) -> tuple[bytes, bytes, bytes]:
    """A parent, its child, and what the child reads as."""
    chooser = random.Random(11)
    size = 5 * BLOCK + 512 * 3
    below = chooser.randbytes(size)
    if parent_kind == FIXED:
        parent = bytearray(below) + footer(size, FIXED, PARENT_ID)
    else:
        parent = Vhd(size, {n: below[n * BLOCK :][:BLOCK] for n in range(6)}, unique_id=PARENT_ID).build()
    above = {n: chooser.randbytes(BLOCK) for n in (0, 1, 2, 4)}
    sectors = BLOCK // 512
    present = {
        0: {n for n in range(sectors) if chooser.random() < 0.5},
        1: set(range(3, 13)) | {sectors - 1},  # a run that ends inside a byte of the bitmap
        2: set(range(sectors)),
        4: set[int](),
    }
    child = Vhd(size, above, present, parent_id=PARENT_ID, parent_name="parent.vhd")
    child.locators = {
        b"W2ku": "C:\\disks\\parent.vhd".encode("utf-16-le"),
        b"W2ru": ".\\parent.vhd".encode("utf-16-le"),
    }
    expected = bytearray(below)
    for block, which in present.items():
        for n in which:
            at = block * BLOCK + n * 512
            expected[at : at + 512] = above[block][n * 512 : n * 512 + 512]
    return bytes(parent), bytes(child.build()), bytes(expected)


def test_differencing_on_a_fixed_parent(tmp_path: Path) -> None:
    parent, child, expected = family(FIXED)
    (tmp_path / "parent.vhd").write_bytes(parent)
    with opened_bytes(tmp_path, child, "child.vhd") as found:
        assert_same(device_of(found), expected)


def test_chain_and_a_smaller_grandparent(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(plain().build())
    middle = Vhd(
        SIZE + BLOCK, {0: b"\x11" * BLOCK}, {0: {0}}, unique_id=PARENT_ID, parent_id=UNIQUE_ID, parent_name="a"
    )
    (tmp_path / "b").write_bytes(middle.build())
    top = Vhd(SIZE + BLOCK, parent_id=PARENT_ID, parent_name="C:\\gone\\b")
    with opened_bytes(tmp_path, top.build()) as found:
        assert_same(device_of(found), b"\x11" * 512 + CONTENT[512:] + bytes(BLOCK))
        assert [named.file for named in found.facts.parents] == ["b", "a"]


def test_damage_of_a_parent_says_whose_it_is(tmp_path: Path) -> None:
    def damaged(image: bytes | bytearray) -> bytes:
        return bytes(image[:-1]) + b"\x01"  # in the footer, whose copy at the front stays right

    (tmp_path / "a").write_bytes(damaged(plain().build()))
    middle = Vhd(SIZE, unique_id=PARENT_ID, parent_id=UNIQUE_ID, parent_name="a")
    (tmp_path / "b").write_bytes(damaged(middle.build()))
    top = Vhd(SIZE, parent_id=PARENT_ID, parent_name="b")
    with opened_bytes(tmp_path, damaged(top.build())) as found:
        problems = [problem.detail for problem in found.facts.problems if problem.code == "footer-checksum"]
    assert problems[0].startswith("the footer's checksum is wrong")
    assert [detail.partition(": ")[0] for detail in problems[1:]] == ["b", "a"]
    assert all(detail.count(": ") == 1 for detail in problems[1:])


@pytest.mark.parametrize("there", [True, False])
def test_parent_that_is_missing_or_another(tmp_path: Path, *, there: bool) -> None:
    if there:
        (tmp_path / "p.vhd").write_bytes(plain().build())
    child = Vhd(SIZE, {1: FIRST}, {1: {0, 1, 2}}, parent_id=PARENT_ID, parent_name="p.vhd")
    with opened_bytes(tmp_path, child.build()) as found:
        assert codes(found) == ["parent-missing"]
        assert found.facts.problems[0].kind == "missing"
        assert found.facts.delta.value == "VHD differencing"
        assert device_of(found).read_at(BLOCK, 1536) == FIRST[:1536]  # what the child holds is read
        for at in (0, BLOCK + 1535):
            with pytest.raises(MissingPart):
                device_of(found).read_at(at, 2)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_parent_that_may_not_be_opened(tmp_path: Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "p.vhd").symlink_to("/etc/passwd")
    else:
        (tmp_path / "p.vhd").mkdir()
    with opened_bytes(tmp_path, Vhd(SIZE, parent_id=PARENT_ID, parent_name="/x/p.vhd").build()) as found:
        assert [(problem.code, problem.kind) for problem in found.facts.problems] == [("parent-unreadable", "refused")]


def test_own_parent_and_two_that_are_each_others(tmp_path: Path) -> None:
    own = Vhd(SIZE, parent_id=UNIQUE_ID, parent_name="image").build()
    with opened_bytes(tmp_path, own) as found:
        assert "circle" in found.facts.problems[0].detail
        with pytest.raises(CorruptStructure):
            device_of(found).read_at(0, 1)
    (tmp_path / "other").write_bytes(Vhd(SIZE, unique_id=PARENT_ID, parent_id=UNIQUE_ID, parent_name="image").build())
    with opened_bytes(tmp_path, Vhd(SIZE, parent_id=PARENT_ID, parent_name="other").build()) as found:
        assert "circle" in found.facts.problems[0].detail


def test_chain_without_end_is_bounded(tmp_path: Path) -> None:
    for n in range(70):
        link = Vhd(
            512, block_size=512, unique_id=bytes([n] * 16), parent_id=bytes([n + 1] * 16), parent_name=str(n + 1)
        )
        (tmp_path / str(n)).write_bytes(link.build())
    with opened(tmp_path / "0") as found:
        assert any("deeper" in problem.detail for problem in found.facts.problems)
        with pytest.raises(ImageError):
            device_of(found).read_at(0, 1)


@pytest.mark.parametrize(("stamp", "reported"), [(0, False), (777, False), (1234, False), (778_000, True)])
def test_time_stamp_of_the_parent(tmp_path: Path, stamp: int, *, reported: bool) -> None:
    path = tmp_path / "p"
    path.write_bytes(plain().build())
    os.utime(path, (946_684_800 + 777, 946_684_800 + 777))
    child = Vhd(SIZE, parent_id=UNIQUE_ID, parent_name="p", parent_timestamp=stamp)
    with opened_bytes(tmp_path, child.build()) as found:
        assert codes(found) == (["parent-timestamp"] if reported else [])
        assert_same(device_of(found), CONTENT)


def test_names_of_the_parent(tmp_path: Path) -> None:
    (tmp_path / "child").write_bytes(family()[1])
    file, host = open_given(tmp_path / "child", (), IoCounter())
    assert vhd.refers_to(file).parents == (".\\parent.vhd", "C:\\disks\\parent.vhd", "parent.vhd")
    host.close()


def test_footer_at_the_end_is_gone(tmp_path: Path) -> None:
    image = plain().build()[:-512]
    with opened_bytes(tmp_path, image) as found:
        assert [(problem.code, problem.kind) for problem in found.facts.problems] == [("footer-missing", "truncated")]
        assert_same(device_of(found), CONTENT)


@pytest.mark.parametrize("which", ["end", "front", "both"])
def test_damaged_footer(tmp_path: Path, which: str) -> None:
    image = plain().build()
    if which != "front":
        image[-512 + 48] ^= 1  # the current size
    if which != "end":
        image[48] ^= 1
    with opened_bytes(tmp_path, image) as found:
        wanted = {
            "end": ["footer-checksum"],
            "front": ["footer-copy-checksum"],
            "both": ["footer-checksum", "footer-copy-checksum"],
        }[which]
        assert codes(found)[: len(wanted)] == wanted
        if which == "both":
            assert device_of(found).read_at(0, SIZE) == CONTENT  # the size may be wrong, the blocks are there
        else:
            assert_same(device_of(found), CONTENT)


def test_end_without_a_known_type_leaves_the_copy_even_a_damaged_one(tmp_path: Path) -> None:
    image = plain().build()
    image[64] ^= 1  # the copy's checksum
    image[-512 + 60 : -512 + 64] = b"\x80\x10\xf6\xf6"
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["footer-checksum", "footer-copy-checksum"]
        assert found.facts.variant == "dynamic"
        assert_same(device_of(found), CONTENT)


def test_footers_that_differ(tmp_path: Path) -> None:
    image = plain().build()
    image[-512:] = footer(SIZE, DYNAMIC, timestamp=99)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["footer-copies-differ"]
        assert_same(device_of(found), CONTENT)
    image[:512] = bytes(512)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["footer-copy-missing"]
        assert_same(device_of(found), CONTENT)


def test_old_footer_of_511_bytes(tmp_path: Path) -> None:
    with opened_bytes(tmp_path, plain().build()[:-1]) as found:
        assert codes(found) == []
        assert_same(device_of(found), CONTENT)
    with opened_bytes(tmp_path, LAST + footer(len(LAST), FIXED)[:-1]) as found:
        assert codes(found) == []
        assert_same(device_of(found), LAST)


def test_front_of_a_fixed_disk_is_the_guests(tmp_path: Path) -> None:
    guest = bytes(plain().build())  # a guest wrote a whole dynamic VHD into its disk
    with opened_bytes(tmp_path, guest + footer(len(guest), FIXED)) as found:
        assert codes(found) == []
        assert found.facts.variant == "fixed"
        assert_same(device_of(found), guest)
    damaged = footer(len(guest), FIXED)
    damaged[20] ^= 1
    with opened_bytes(tmp_path, guest + damaged) as found:
        assert codes(found) == ["footer-checksum"]
        assert_same(device_of(found), guest)


def test_fixed_disk_never_reads_its_footer(tmp_path: Path) -> None:
    with opened_bytes(tmp_path, LAST + footer(len(LAST) + 100, FIXED)) as found:
        assert "data-truncated" in codes(found)
        assert device_of(found).read_at(0, len(LAST)) == LAST
        with pytest.raises(TruncatedRead):
            device_of(found).read_at(len(LAST), 1)


def test_header_checksum_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    image = plain().build()
    image[512 + 60] ^= 1
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["header-checksum"]
        assert_same(device_of(found), CONTENT)


def test_saved_state_is_unclean(tmp_path: Path) -> None:
    with opened_bytes(tmp_path, LAST + footer(len(LAST), FIXED, saved=True)) as found:
        assert [(problem.code, problem.kind) for problem in found.facts.problems] == [("saved-state", "unclean")]
        assert found.facts.unclean.value is True


@pytest.mark.parametrize("entry", [0, 2, 0xFFFFFFFE, 0x7FFFFFFF, 9_000])
def test_hostile_entries(tmp_path: Path, entry: int) -> None:
    image = plain().build()
    struct.pack_into(">I", image, BAT_OFFSET + 4, entry)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["block-misplaced" if entry < 3 else "block-beyond-end"]
        with pytest.raises((CorruptStructure, TruncatedRead)):
            device_of(found).read_at(BLOCK, BLOCK)
        assert device_of(found).read_at(0, BLOCK) == FIRST
        assert device_of(found).read_at(2 * BLOCK, len(LAST)) == LAST


@pytest.mark.parametrize("length", [0, 8, 510, 511, 512, 1000, 1536, BAT_OFFSET + 4, 2048, 3000, BLOCK + 1000])
def test_cut_short(tmp_path: Path, length: int) -> None:
    (tmp_path / "image").write_bytes(plain().build()[:length])
    file, host = open_given(tmp_path / "image", (), IoCounter())
    recognised = vhd.probe(file)
    host.close()
    assert recognised == (length >= 511)
    if not recognised:
        return
    with opened(tmp_path / "image") as found:
        assert found.facts.virtual_size == SIZE
        assert "footer-missing" in codes(found)
        assert any(problem.kind == "truncated" for problem in found.facts.problems)
        if length > 2560:
            assert device_of(found).read_at(0, length - 2560) == FIRST[: length - 2560]
            assert device_of(found).read_at(BLOCK, BLOCK) == bytes(BLOCK)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_footer_fields_at_their_limits(tmp_path: Path, value: int) -> None:
    built = plain().build()
    for field in range(0, 88, 4):
        image = built.copy()
        image[-512 + field : -512 + field + 4] = bytes([value]) * 4
        image[-512:] = seal_footer(image[-512:]) if field != 64 else image[-512:]
        image[:512] = image[-512:]
        _survives(tmp_path, image, field)


@pytest.mark.parametrize("value", [0, 0xFF])
@pytest.mark.parametrize("kind", [DYNAMIC, DIFFERENCING])
def test_header_fields_at_their_limits(tmp_path: Path, value: int, kind: int) -> None:
    image = plain()
    image.parent_id = PARENT_ID if kind == DIFFERENCING else None
    image.locators = {b"W2ku": "x".encode("utf-16-le")} if kind == DIFFERENCING else {}
    built = image.build()
    for field in (*range(0, 64, 4), *range(576, 600, 4)):
        changed = built.copy()
        changed[512 + field : 512 + field + 4] = bytes([value]) * 4
        if field != 36:
            seal_header(changed)
        _survives(tmp_path, changed, field)


def _survives(folder: Path, image: bytearray, field: int) -> None:
    """Opening gives facts, and reading gives bytes or an error with a reason."""
    path = folder / "image"
    if not path.exists():
        path.write_bytes(image)
    with path.open("r+b") as written:  # the rest is as in the image before
        written.write(image[:4096])
        written.seek(-4096, 2)
        written.write(image[-4096:])
    file, host = open_given(path, (), IoCounter())
    recognised = vhd.probe(file)
    host.close()
    if not recognised:
        return
    with suppress(CorruptStructure), opened(path) as found:
        assert found.facts.format == "vhd", field
        if found.device is None:
            assert found.facts.problems, field
            return
        for at in (0, BLOCK - 1, 2 * BLOCK, found.device.size - 1):
            with suppress(CorruptStructure, TruncatedRead, MissingPart):
                assert len(found.device.read_at(at, 1)) == 1


def test_reads_outside_the_disk(tmp_path: Path) -> None:
    with opened_bytes(tmp_path, plain().build()) as found:
        device = device_of(found)
        assert device.read_at(SIZE, 0) == b""
        for at, length in ((SIZE, 1), (-1, 2), (0, -1), (SIZE - 1, 2), (1 << 70, 1)):
            with pytest.raises(TruncatedRead):
                device.read_at(at, length)


def test_differencing_disks_of_others(tmp_path: Path) -> None:
    """Made by others; their content and checksums are as they are (QEMU refuses the first for its checksums)."""
    for name in ("image.vhd", "image-differential.vhd", "fat-differential.vhd"):
        (tmp_path / name).write_bytes(shared_data(f"containers/{name}.xz"))
    with opened(tmp_path / "image-differential.vhd") as found, opened(tmp_path / "image.vhd") as below:
        assert found.facts.parents[0].file == "image.vhd"
        assert "header-checksum" in codes(found)
        size = found.facts.virtual_size or 0
        assert device_of(found).read_at(0, size) == device_of(below).read_at(0, size)
    with opened(tmp_path / "fat-differential.vhd") as found:
        assert codes(found) == ["parent-missing"]
        assert found.facts.parents[0].hint == ".\\fat-parent.vhd"
