"""VHDX: every variant byte for byte, and everything that can be wrong with one.

Expected bytes are the recipe's, or QEMU's reading. The hand-made images with parents and with sectors of 4096 bytes
were read once by libvhdi 20260901 and are equal (`test_libvhdi_agrees` repeats it where pyvhdi is installed).
"""

from __future__ import annotations

import random
import struct
import subprocess
import tracemalloc
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from tools import requires_tool, soon
from vhd_opening import assert_same, codes, device_of, opened, opened_bytes, some_bytes
from vhdx_images import (
    BAT_OFFSET,
    DATA_GUID,
    FULL,
    METADATA_OFFSET,
    MIB,
    NOT_PRESENT,
    PARTIAL,
    UNDEFINED,
    UNMAPPED,
    ZERO,
    Vhdx,
    seal,
)

from imgscan.containers import vhdx
from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import open_given
from imgscan.errors import CorruptStructure, MissingPart, TruncatedRead

PARENT_GUID = "{99999999-8888-7777-6666-555544443333}"
HEADERS, TABLES = (64 << 10, 128 << 10), (192 << 10, 256 << 10)
SIZE = 3 * MIB
BLOCKS = {0: (FULL, some_bytes(1, MIB)), 2: (FULL, some_bytes(2, MIB))}
CONTENT = BLOCKS[0][1] + bytes(MIB) + BLOCKS[2][1]


def plain() -> Vhdx:
    return Vhdx(SIZE, blocks=dict(BLOCKS))


@cache
def _plain_image() -> bytes:
    return bytes(plain().build())


def plain_image() -> bytearray:
    return bytearray(_plain_image())


@requires_tool("qemu-img")
@pytest.mark.parametrize(
    "options",
    [
        "block_size=1M",
        "block_size=2M",
        "block_size=32M",
        "block_size=256M",
        "subformat=fixed,block_size=8M",
        "block_size=8M,log_size=4M,block_state_zero=off",
    ],
)
def test_as_qemu_writes_it(tmp_path: Path, options: str) -> None:
    source = _sparse_source(41 * MIB + 512 * 7)
    (tmp_path / "raw").write_bytes(source)
    path = tmp_path / "image"
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", options, tmp_path / "raw", path], check=True
    )
    with opened(path) as found:
        assert_same(device_of(found), source)
        facts = found.facts
        assert (facts.format, facts.problems, facts.delta.value) == ("vhdx", (), None)
        assert facts.variant == ("fixed" if "fixed" in options else "dynamic")
        assert (facts.virtual_size, facts.logical_sector_size) == (len(source), 512)
        assert (facts.unclean.value, facts.encryption.value, facts.device_mapping.value) == (False, None, None)
        assert facts.metadata["creator"].startswith("QEMU")


def _sparse_source(size: int) -> bytes:
    chooser = random.Random(size)
    source = bytearray(size)
    for _ in range(40):
        at, length = chooser.randrange(size - 300_000), chooser.randrange(300_000)
        source[at : at + length] = chooser.randbytes(length)
    return bytes(source)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("block_size", [MIB, 2 * MIB])
def test_differencing(tmp_path: Path, sector: int, block_size: int) -> None:
    parent, child, expected = family(sector, block_size)
    (tmp_path / "parent.vhdx").write_bytes(parent)
    with opened_bytes(tmp_path, child, "child.avhdx") as found:
        assert codes(found) == []
        assert_same(device_of(found), expected)
        assert device_of(found).sector_size == sector
        assert found.facts.variant == "differencing"
        assert found.facts.delta.value == "VHDX differencing"
        (named,) = found.facts.parents
        assert (named.hint, named.file, named.identity) == (".\\parent.vhdx", "parent.vhdx", PARENT_GUID[1:-1])


@pytest.mark.parametrize("sector", [512, 4096])
def test_libvhdi_agrees(tmp_path: Path, sector: int) -> None:
    pyvhdi = pytest.importorskip("pyvhdi")
    parent, child, expected = family(sector, 2 * MIB)
    (tmp_path / "parent.vhdx").write_bytes(parent)
    (tmp_path / "child.avhdx").write_bytes(child)
    below, above = pyvhdi.file(), pyvhdi.file()
    below.open(str(tmp_path / "parent.vhdx"))
    above.open(str(tmp_path / "child.avhdx"))
    above.set_parent(below)
    assert above.read_buffer_at_offset(len(expected), 0) == expected


def family(sector: int, block_size: int) -> tuple[bytes, bytes, bytes]:
    """A parent, its child, and what the child reads as."""
    size = 6 * block_size - 3 * 4096
    chooser = random.Random(size)
    below = {n: chooser.randbytes(block_size) for n in (0, 1, 2, 5)}
    parent = Vhdx(size, block_size, sector, {n: (FULL, data) for n, data in below.items()}, data_guid=PARENT_GUID)
    above = {n: chooser.randbytes(block_size) for n in (0, 1, 3, 5)}
    sectors = block_size // sector
    present = {
        0: {n for n in range(sectors) if chooser.random() < 0.5},
        3: set(range(3, 11)),
        5: {0, 1, 2, sectors - 5},
    }
    child = Vhdx(
        size,
        block_size,
        sector,
        {0: (PARTIAL, above[0]), 1: (FULL, above[1]), 3: (PARTIAL, above[3]), 5: (PARTIAL, above[5])},
        present,
        {"parent_linkage": PARENT_GUID, "relative_path": ".\\parent.vhdx", "absolute_win32_path": "C:\\x\\other.vhdx"},
    )
    expected = bytearray(b"".join(below.get(n, bytes(block_size)) for n in range(6)))
    expected[block_size : 2 * block_size] = above[1]
    for block, which in present.items():
        for n in which:
            at = n * sector
            expected[block * block_size + at : block * block_size + at + sector] = above[block][at : at + sector]
    return bytes(parent.build()), bytes(child.build()), bytes(expected[:size])


def test_block_states(tmp_path: Path) -> None:
    states = {0: UNDEFINED, 1: ZERO, 2: UNMAPPED, 3: NOT_PRESENT}
    below = some_bytes(7, 4 * MIB)
    parent = Vhdx(4 * MIB, blocks={n: (FULL, below[n * MIB :][:MIB]) for n in range(4)}, data_guid=PARENT_GUID)
    (tmp_path / "parent.vhdx").write_bytes(parent.build())
    child = Vhdx(4 * MIB, blocks={n: (state, b"") for n, state in states.items()})
    with opened_bytes(tmp_path, child.build()) as found:
        assert_same(device_of(found), bytes(4 * MIB))
    child.parent = {"parent_linkage": PARENT_GUID, "volume_path": "\\\\?\\Volume{1}\\parent.vhdx"}
    with opened_bytes(tmp_path, child.build()) as found:
        assert_same(device_of(found), bytes(3 * MIB) + below[3 * MIB :])


def test_chunks(tmp_path: Path) -> None:
    size = (1 << 32) + 3 * MIB  # a chunk of 512-byte sectors is 4 GiB
    data = {n: some_bytes(n, MIB) for n in (0, 4095, 4096, 4098)}
    with opened_bytes(tmp_path, Vhdx(size, blocks={n: (FULL, d) for n, d in data.items()}).build()) as found:
        assert codes(found) == []
        end = data[4095] + data[4096] + bytes(MIB) + data[4098]
        assert device_of(found).read_at(4095 * MIB, 4 * MIB) == end
        assert device_of(found).read_at(size - 4 * MIB + 77, 3 * MIB) == end[77 : 77 + 3 * MIB]


def test_64_tib_is_opened_at_once_and_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.vhdx"
    image = Vhdx(1 << 46, 32 * MIB, blocks={})
    path.write_bytes(image.build())
    with opened(path):
        pass  # construct is imported on the first
    counter = IoCounter()
    tracemalloc.start()
    with soon(), opened(path, counter) as found:
        device = device_of(found)
        for at in range(0, 1 << 46, 1 << 38):
            assert device.read_at(at, 4096) == bytes(4096)
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB
    assert counter.result().stages["open"].reads < 400


@pytest.mark.parametrize("linked", [PARENT_GUID, DATA_GUID])
def test_parent_that_is_another_disk(tmp_path: Path, linked: str) -> None:
    parent = Vhdx(SIZE, blocks=dict(BLOCKS), data_guid="{99999999-8888-7777-6666-000000000000}")
    (tmp_path / "parent.vhdx").write_bytes(parent.build())
    child = Vhdx(SIZE, blocks={1: BLOCKS[2]}, parent={"parent_linkage": linked, "relative_path": "..\\parent.vhdx"})
    with opened_bytes(tmp_path, child.build()) as found:
        assert codes(found) == ["parent-missing"]
        assert found.facts.problems[0].kind == "missing"
        assert found.facts.parents[0].file is None
        device = device_of(found)
        assert device.read_at(MIB, MIB) == BLOCKS[2][1]  # what the child holds is read
        with pytest.raises(MissingPart):
            device.read_at(MIB - 1, 2)


def test_second_linkage_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").write_bytes(plain_image())
    child = Vhdx(
        SIZE, parent={"parent_linkage": PARENT_GUID, "parent_linkage2": DATA_GUID, "relative_path": "parent.vhdx"}
    )
    with opened_bytes(tmp_path, child.build()) as found:
        assert_same(device_of(found), CONTENT)


def test_own_parent_is_a_circle(tmp_path: Path) -> None:
    child = Vhdx(SIZE, parent={"parent_linkage": DATA_GUID, "relative_path": "image"})
    with opened_bytes(tmp_path, child.build()) as found:
        assert codes(found) == ["parent-unreadable"]
        assert "circle" in found.facts.problems[0].detail
        with pytest.raises(CorruptStructure):
            device_of(found).read_at(0, 1)


def test_chain_of_three_and_a_smaller_grandparent(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(plain_image())
    second = {0: (PARTIAL, b"\x11" * MIB)}
    middle = Vhdx(SIZE + MIB, blocks=second, present={0: {0}}, data_guid=PARENT_GUID)
    middle.parent = {"parent_linkage": DATA_GUID, "relative_path": "a"}
    (tmp_path / "b").write_bytes(middle.build())
    top = Vhdx(SIZE + MIB, parent={"parent_linkage": PARENT_GUID, "relative_path": "/etc/b"})
    with opened_bytes(tmp_path, top.build()) as found:
        assert_same(device_of(found), b"\x11" * 512 + CONTENT[512:] + bytes(MIB))
        assert [named.file for named in found.facts.parents] == ["b", "a"]


def test_names_of_the_parent(tmp_path: Path) -> None:
    keys = {"absolute_win32_path": "C:\\x\\p.vhdx", "relative_path": "..\\p.vhdx", "parent_linkage": PARENT_GUID}
    (tmp_path / "child").write_bytes(Vhdx(SIZE, parent=keys).build())
    file, host = open_given(tmp_path / "child", (), IoCounter())
    assert vhdx.refers_to(file).parents == ("..\\p.vhdx", "C:\\x\\p.vhdx")
    host.close()


@pytest.mark.parametrize("at", [*HEADERS, *TABLES])
@pytest.mark.parametrize("offset", [0, 4, 9])
def test_one_of_two_is_damaged(tmp_path: Path, at: int, offset: int) -> None:
    image = plain_image()
    image[at + offset] ^= 0x10
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["header-checksum" if at in HEADERS else "region-table-checksum"]
        assert found.facts.problems[0].kind == "damage"
        assert_same(device_of(found), CONTENT)


@pytest.mark.parametrize("pair", [HEADERS, TABLES])
def test_both_are_damaged(tmp_path: Path, pair: tuple[int, int]) -> None:
    image = plain_image()
    for at in pair:
        image[at + 9] ^= 1
    with opened_bytes(tmp_path, image) as found:
        assert found.device is None
        assert codes(found)[-1] == "image-corrupt"


def test_newer_header_counts(tmp_path: Path) -> None:
    image = plain_image()
    image[HEADERS[1] + 66] = 2  # a version of the format that nobody knows, in the newer header
    seal(image, HEADERS[1], 4096)
    with opened_bytes(tmp_path, image) as found:
        assert found.device is None
        assert codes(found) == ["image-unsupported"]
    struct.pack_into("<Q", image, HEADERS[0] + 8, 9)
    seal(image, HEADERS[0], 4096)
    with opened_bytes(tmp_path, image) as found:
        assert_same(device_of(found), CONTENT)


def test_tables_that_differ(tmp_path: Path) -> None:
    image = plain_image()
    struct.pack_into("<I", image, TABLES[1] + 16 + 24, 2 * MIB)
    seal(image, TABLES[1], 65536)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["region-tables-differ"]
        assert_same(device_of(found), CONTENT)


@pytest.mark.parametrize(("flags", "expected"), [(1, None), (0, CONTENT)])
def test_unknown_region(tmp_path: Path, flags: int, expected: bytes | None) -> None:
    image = plain()
    image.extra_regions = [("{12345678-0000-0000-0000-000000000000}", 4 * MIB + (20 * MIB), MIB, flags)]
    with opened_bytes(tmp_path, image.build()) as found:
        if expected is None:
            assert found.device is None
            assert "12345678-0000" in found.facts.problems[0].detail
            assert found.facts.problems[0].kind == "unsupported"
        else:
            assert_same(device_of(found), expected)


@pytest.mark.parametrize(("flags", "expected"), [(4, None), (2, CONTENT)])
def test_unknown_metadata(tmp_path: Path, flags: int, expected: bytes | None) -> None:
    image = plain()
    image.extra_items = [("{12345678-0000-0000-0000-000000000000}", b"what", flags)]
    with opened_bytes(tmp_path, image.build()) as found:
        if expected is None:
            assert found.device is None
            assert "12345678-0000" in found.facts.problems[0].detail
        else:
            assert_same(device_of(found), expected)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, MIB), (MIB, MIB), (2 * MIB, MIB), (3 * MIB + 512, MIB), (1 << 63, MIB), (3 * MIB, 512)]
)
def test_misplaced_table(tmp_path: Path, offset: int, length: int) -> None:
    image = plain_image()
    for at in TABLES:
        struct.pack_into("<QI", image, at + 32, offset, length)
        seal(image, at, 65536)
    with opened_bytes(tmp_path, image) as found:
        if offset == 1 << 63:
            assert codes(found) == ["bat-truncated"]
            with pytest.raises(TruncatedRead):
                device_of(found).read_at(0, 1)
        else:
            assert found.device is None
            assert codes(found) == ["image-corrupt"]


def test_table_with_too_little_room(tmp_path: Path) -> None:
    image = Vhdx(SIZE, blocks=dict(BLOCKS)).build()
    size_at = METADATA_OFFSET + 65536 + 4096
    struct.pack_into("<Q", image, size_at, 1 << 40)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["bat-too-small"]
        assert device_of(found).read_at(0, SIZE) == CONTENT
        with pytest.raises(CorruptStructure):
            device_of(found).read_at((1 << 40) - 1, 1)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_header_fields_at_their_limits(tmp_path: Path, value: int) -> None:
    for field in range(0, 80, 4):
        image = plain_image()
        for at in HEADERS:
            image[at + field : at + field + 4] = bytes([value]) * 4
            if field > 4:
                seal(image, at, 4096)
        _survives(tmp_path, image, field)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_region_table_fields_at_their_limits(tmp_path: Path, value: int) -> None:
    for field in range(0, 80, 4):
        image = plain_image()
        for at in TABLES:
            image[at + field : at + field + 4] = bytes([value]) * 4
            if field > 4:
                seal(image, at, 65536)
        _survives(tmp_path, image, field)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_metadata_fields_at_their_limits(tmp_path: Path, value: int) -> None:
    for field in [*range(0, 192, 4), *(65536 + 4096 * item + at for item in range(5) for at in (0, 4))]:
        image = plain_image()
        image[METADATA_OFFSET + field : METADATA_OFFSET + field + 4] = bytes([value]) * 4
        _survives(tmp_path, image, field)


def _survives(folder: Path, image: bytearray, field: int) -> None:
    """Opening gives facts, and reading gives bytes or an error with a reason."""
    path = folder / "image"
    if not path.exists():
        path.write_bytes(image)
    with path.open("r+b") as file:  # the rest is as in the image before
        for start, end in ((0, 512 << 10), (METADATA_OFFSET, METADATA_OFFSET + (128 << 10))):
            file.seek(start)
            file.write(image[start:end])
    with opened(path) as found:
        assert found.facts.format == "vhdx", field
        if found.device is None:
            assert found.facts.problems, field
            return
        for at in (0, MIB - 1, 2 * MIB, found.device.size - 1):
            with suppress(CorruptStructure, TruncatedRead, MissingPart):
                assert len(found.device.read_at(at, 1)) == 1, field


@pytest.mark.parametrize("entry", [4, 7, FULL | 0xFFFFF << 44, FULL | 1 << 40, FULL | 0x1FFFF << 3, PARTIAL | 5 << 20])
def test_hostile_entries(tmp_path: Path, entry: int) -> None:
    image = plain_image()
    struct.pack_into("<Q", image, BAT_OFFSET + 8, entry)
    with opened_bytes(tmp_path, image) as found:
        device = device_of(found)
        assert device.read_at(0, MIB) == CONTENT[:MIB]
        assert device.read_at(2 * MIB, MIB) == CONTENT[2 * MIB :]
        with pytest.raises((CorruptStructure, TruncatedRead)):
            device.read_at(MIB, 4096)
        assert ("block-beyond-end" in codes(found)) == (entry >> 20 > 5)
        assert ("block-misplaced" in codes(found)) == (entry in {7, FULL | 0x1FFFF << 3})


def test_partial_block_without_bitmap(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").write_bytes(plain_image())
    child = Vhdx(
        SIZE, blocks={0: (PARTIAL, b"x" * MIB)}, parent={"parent_linkage": DATA_GUID, "relative_path": "parent.vhdx"}
    )
    with opened_bytes(tmp_path, child.build()) as found:
        with pytest.raises(CorruptStructure, match="bitmap"):
            device_of(found).read_at(0, 1)
        assert device_of(found).read_at(2 * MIB, MIB) == CONTENT[2 * MIB :]


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (9, "image-corrupt"),
        (64 << 10, "image-corrupt"),
        (100 << 10, "image-corrupt"),
        (192 << 10, "image-corrupt"),
        (MIB, "image-truncated"),
        (2 * MIB + 40, "image-truncated"),
        (3 * MIB, "bat-truncated"),
        (4 * MIB, "block-beyond-end"),
        (5 * MIB, "block-beyond-end"),
        (6 * MIB - 1, "block-beyond-end"),
    ],
)
def test_cut_short(tmp_path: Path, length: int, code: str) -> None:
    image = plain_image()
    assert len(image) == 6 * MIB
    with opened_bytes(tmp_path, image[:length]) as found:
        assert code in codes(found)
        if length >= 4 * MIB:
            whole = min(length - 4 * MIB, MIB)
            assert device_of(found).read_at(0, whole) == CONTENT[:whole]
            assert device_of(found).read_at(MIB, MIB) == bytes(MIB)
            with pytest.raises(TruncatedRead):
                device_of(found).read_at(SIZE - 1, 1)


def test_reads_outside_the_disk(tmp_path: Path) -> None:
    with opened_bytes(tmp_path, plain_image()) as found:
        device = device_of(found)
        assert device.read_at(SIZE, 0) == b""
        for at, length in ((SIZE, 1), (-1, 2), (0, -1), (SIZE - 1, 2), (1 << 70, 1)):
            with pytest.raises(TruncatedRead):
                device.read_at(at, length)
