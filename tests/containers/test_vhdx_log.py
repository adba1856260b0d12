"""The log of a VHDX, replayed in memory. The oracle is QEMU, which replays it into a copy of the file."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tools import requires_tool
from vhd_opening import assert_same, codes, device_of, opened, opened_bytes, some_bytes
from vhdx_images import (
    BAT_OFFSET,
    FULL,
    LOG_GUID,
    LOG_OFFSET,
    MIB,
    Vhdx,
    Write,
    log_entry,
    put_log,
    seal,
    set_log_guid,
)

FIRST, SECOND = some_bytes(1, MIB), some_bytes(2, MIB)


def base() -> tuple[bytearray, bytearray]:
    """A disk of three blocks whose table has lost its entries, and the table as it should be."""
    image = Vhdx(3 * MIB, blocks={0: (FULL, FIRST), 2: (FULL, SECOND)}).build()
    table = image[BAT_OFFSET : BAT_OFFSET + 4096]
    image[BAT_OFFSET : BAT_OFFSET + 4096] = bytes(4096)
    set_log_guid(image)
    return image, table


WHOLE = FIRST + bytes(MIB) + SECOND


@requires_tool("qemu-img")
@pytest.mark.parametrize("layout", ["one entry", "three entries", "over the end of the ring", "old entries around"])
def test_replay_is_what_qemu_replays(tmp_path: Path, layout: str) -> None:
    source = some_bytes(3, 5 * MIB + 512 * 9)
    (tmp_path / "raw").write_bytes(source)
    path = tmp_path / "dirty.vhdx"
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", tmp_path / "raw", path], check=True
    )
    image = bytearray(path.read_bytes())
    bat_offset = _region(image)
    log_offset = struct.unpack_from("<Q", image, (64 << 10) + 72)[0]
    table = bytes(image[bat_offset : bat_offset + 4096])
    image[bat_offset : bat_offset + 4096] = bytes(4096)
    block = struct.unpack_from("<Q", table, 8)[0] >> 20 << 20  # of the disk's second MiB
    new = some_bytes(4, 4096)
    expected = bytearray(source)
    size = len(image)
    ring = 0
    entries: list[tuple[int, bytearray]] = []
    writes: list[list[Write]]
    if layout == "one entry":
        writes = [[(bat_offset, table)]]
    elif layout == "three entries":
        # data, then zeros over it, then data over the zeros
        many: list[Write] = [(block + 4096 * n, new) for n in range(120)]
        writes = [[(bat_offset, table), *many], [(block + 4096, 8192)], [(block + 8192, new)]]
        expected[MIB : MIB + 120 * 4096] = new * 120
        expected[MIB + 4096 : MIB + 8192] = bytes(4096)
    elif layout == "over the end of the ring":
        ring = MIB - 4096
        writes = [[(bat_offset, table)], [(block, new), (block + 4096, 4096)]]
        expected[MIB : MIB + 8192] = new + bytes(4096)
    else:
        ring = 16384
        # entries of an earlier life of the log: another GUID, and lower numbers
        entries.append((0, log_entry(3, 0, [(bat_offset, bytes(4096))], size, "{" + "7" * 8 + LOG_GUID[9:])))
        entries.append((8192, log_entry(90, 8192, [(block, bytes(4096))], size)))
        writes = [[(bat_offset, table)], [(block, new)]]
        expected[MIB : MIB + 4096] = new
    tail = ring
    for number, what in enumerate(writes):
        entry = log_entry(100 + number, tail, what, size)
        entries.append((ring, entry))
        ring = (ring + len(entry)) % MIB
    put_log(image, entries, log_offset, MIB)
    set_log_guid(image)
    path.write_bytes(image)

    with opened(path) as found:
        assert "log-not-empty" in codes(found)
        assert found.facts.unclean.value is True
        assert_same(device_of(found), bytes(expected))
    assert path.read_bytes() == image  # never written
    if layout == "over the end of the ring":
        return  # QEMU begins at the ring's first byte and takes no sequence that lies over its end
    shutil.copy(path, tmp_path / "copy.vhdx")
    subprocess.run(["qemu-img", "check", "-q", "-r", "all", tmp_path / "copy.vhdx"], check=True)
    subprocess.run(
        ["qemu-img", "convert", "-f", "vhdx", "-O", "raw", tmp_path / "copy.vhdx", tmp_path / "out"], check=True
    )
    assert (tmp_path / "out").read_bytes() == expected


def _region(image: bytearray) -> int:
    """Return where the block allocation table of an image is."""
    wanted = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
    at = image.index(wanted, 192 << 10)
    offset: int = struct.unpack_from("<Q", image, at + 16)[0]
    return offset


def test_log_with_the_table_is_replayed(tmp_path: Path) -> None:
    image, table = base()
    put_log(image, [(0, log_entry(5, 0, [(BAT_OFFSET, bytes(table))], len(image)))], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image) as found:
        assert_same(device_of(found), WHOLE)
        assert codes(found) == ["log-not-empty"]


def test_descriptors_of_several_sectors(tmp_path: Path) -> None:
    # QEMU reads each sector of descriptors over the one before, and refuses such a log
    image, table = base()
    first = struct.unpack_from("<Q", table)[0] >> 20 << 20
    writes: list[Write] = [(first + 4096 * n, some_bytes(n, 4096)) for n in range(255)]
    put_log(
        image, [(0, log_entry(1 << 40, 0, [(BAT_OFFSET, bytes(table)), *writes[:-15]], len(image)))], LOG_OFFSET, MIB
    )
    with opened_bytes(tmp_path, image) as found:
        changed = b"".join(some_bytes(n, 4096) for n in range(240)) + FIRST[240 * 4096 :]
        assert_same(device_of(found), changed + WHOLE[MIB:])


def test_clean_log_is_not_read(tmp_path: Path) -> None:
    image = Vhdx(3 * MIB, blocks={0: (FULL, FIRST), 2: (FULL, SECOND)}).build()
    put_log(image, [(0, log_entry(5, 0, [(BAT_OFFSET, bytes(4096))], len(image)))], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image) as found:
        assert_same(device_of(found), WHOLE)
        assert found.facts.unclean.value is False
        assert codes(found) == []


@pytest.mark.parametrize(
    "flaw",
    [
        "no entry",
        "checksum",
        "data of another entry",
        "gap",
        "guid",
        "tail outside",
        "length",
        "descriptor",
        "number 0",
    ],
)
def test_log_without_a_valid_sequence_is_damage_and_the_rest_is_read(tmp_path: Path, flaw: str) -> None:
    image, table = base()
    entry = log_entry(5, 0, [(BAT_OFFSET, bytes(table))], len(image))
    if flaw == "checksum":
        entry[5000] ^= 1
    elif flaw == "data of another entry":
        struct.pack_into("<I", entry, len(entry) - 4, 4)
    elif flaw == "gap":
        entry = log_entry(5, 8192, [(BAT_OFFSET, bytes(table))], len(image))  # its tail, entry 4, is not there
    elif flaw == "guid":
        entry = log_entry(5, 0, [(BAT_OFFSET, bytes(table))], len(image), "{" + "7" * 8 + LOG_GUID[9:])
    elif flaw == "tail outside":
        struct.pack_into("<I", entry, 12, 0x7FFFF000)
    elif flaw == "length":
        struct.pack_into("<I", entry, 8, 0xFFFFF000)
    elif flaw == "descriptor":
        struct.pack_into("<Q", entry, 64 + 16, BAT_OFFSET + 512)
    elif flaw == "number 0":
        entry = log_entry(0, 0, [(BAT_OFFSET, bytes(table))], len(image))
    if flaw not in {"checksum", "length"}:
        seal(entry, 0, len(entry))
    if flaw != "no entry":
        put_log(image, [(0, entry)], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image) as found:
        assert codes(found) == ["log-invalid"]
        assert found.facts.unclean.value is True
        assert_same(device_of(found), bytes(3 * MIB))


def test_file_shorter_than_the_log_promises_is_truncated(tmp_path: Path) -> None:
    image, table = base()
    put_log(image, [(0, log_entry(5, 0, [(BAT_OFFSET, bytes(table))], len(image)))], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image[: -MIB // 2]) as found:
        assert codes(found) == ["log-not-empty", "file-truncated"]
        assert device_of(found).read_at(0, MIB) == FIRST


def test_file_grows_to_the_last_offset_of_the_log(tmp_path: Path) -> None:
    image, table = base()
    end = len(image)
    table[8:16] = struct.pack("<Q", end | FULL)  # the second block, in the part that the file does not have yet
    entry = log_entry(5, 0, [(BAT_OFFSET, bytes(table)), (end + 4096, some_bytes(9, 4096))], end)
    struct.pack_into("<Q", entry, 56, end + MIB)
    seal(entry, 0, len(entry))
    put_log(image, [(0, entry)], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image) as found:
        second = bytes(4096) + some_bytes(9, 4096) + bytes(MIB - 8192)
        assert_same(device_of(found), FIRST + second + SECOND)
        assert codes(found) == ["log-not-empty"]


@pytest.mark.parametrize(("at", "value", "why"), [(64, 1, "unsupported"), (68, 0xFFF00000, "limit")])
def test_log_that_cannot_be_followed_refuses_the_disk(tmp_path: Path, at: int, value: int, why: str) -> None:
    image, _ = base()
    for header in (64 << 10, 128 << 10):
        struct.pack_into("<H" if at == 64 else "<I", image, header + at, value)
        seal(image, header, 4096)
    with opened_bytes(tmp_path, image) as found:
        assert found.device is None
        assert codes(found) == [f"image-{why}"]
        assert found.facts.unclean.value is True


def test_log_that_zeroes_without_end_is_bounded(tmp_path: Path) -> None:
    image, table = base()
    everything = (1 << 63) - 4096
    writes: list[Write] = [(BAT_OFFSET, bytes(table)), *[(BAT_OFFSET + MIB, everything)] * 5000]
    put_log(image, [(0, log_entry(5, 0, writes, len(image)))], LOG_OFFSET, MIB)
    with opened_bytes(tmp_path, image) as found:
        assert device_of(found).read_at(0, 3 * MIB) == bytes(3 * MIB)
