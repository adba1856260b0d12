"""GPT tables: sgdisk, sfdisk and blkid say what is expected; then one fault at a time."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest
from partitions.disks import MIB, codes, gpt_disk, gpt_entry, gpt_header, mbr_entry, put_mbr, sfdisk, table_of
from tools import require_tool, requires_tool

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError
from imgscan.partitions import read_table

SCRIPT = """label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
start=4096, size=16384, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI Süß"
start=20480, size=8192, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, attrs="LegacyBIOSBootable GUID:63"
"""
ONE, TWO = gpt_entry(100, 199), gpt_entry(200, 299, number=2)


@requires_tool("sfdisk", "blkid", "mmls")
def test_partitions_are_those_of_sfdisk_and_blkid(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    table = table_of(sfdisk(path, SCRIPT))
    said = json.loads(subprocess.check_output([require_tool("sfdisk"), "--json", str(path)]))["partitiontable"]
    assert (table.scheme, table.protective, table.problems) == ("gpt", "protective", ())
    assert table.identifier == said["id"].lower()
    for partition, expected in zip(table.partitions, said["partitions"], strict=True):
        assert (partition.start // 512, partition.size // 512) == (expected["start"], expected["size"])
        assert (partition.type, partition.uuid) == (expected["type"].lower(), expected["uuid"].lower())
        assert partition.label == expected.get("name")
        assert partition.active == ("LegacyBIOSBootable" in expected.get("attrs", ""))
    assert table.partitions[2].attributes == 1 << 63 | 4
    exported = subprocess.check_output([require_tool("blkid"), "-p", "-o", "export", str(path)], text=True)
    assert f"PTUUID={table.identifier}" in exported
    lines = subprocess.check_output(["mmls", "-a", str(path)], text=True).splitlines()
    starts = [int(line.split()[2]) for line in lines if line[:3].rstrip(":").isdigit()]
    assert starts == [p.start // 512 for p in table.partitions]


@requires_tool("sgdisk")
def test_a_hand_made_table_is_good_for_sgdisk(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(gpt_disk(512, 4096, ONE, TWO))
    verified = subprocess.run([require_tool("sgdisk"), "-v", str(path)], capture_output=True, text=True, check=False)
    assert "No problems found" in verified.stdout
    assert table_of(path.read_bytes()).problems == ()


@pytest.mark.parametrize("device_unit", [512, 4096])
@pytest.mark.parametrize("unit", [512, 4096])
def test_sector_sizes(unit: int, device_unit: int) -> None:
    table = table_of(gpt_disk(unit, 4096, ONE), device_unit)
    (partition,) = table.partitions
    assert (partition.start, partition.size) == (100 * unit, 100 * unit)
    assert codes(table) == ([] if unit == device_unit else ["sector-size-differs"])


def test_the_damaged_primary_is_replaced_by_the_backup() -> None:
    for offset, expected in ((512 + 60, "gpt-header-checksum"), (1024 + 17, "gpt-entries-checksum")):
        disk = gpt_disk(512, 4096, ONE, TWO)
        disk[offset] ^= 1
        table = table_of(disk)
        assert [p.start for p in table.partitions] == [100 * 512, 200 * 512]
        assert sorted(codes(table)) == sorted(["gpt-backup-used", expected])


def test_the_missing_primary_is_replaced_by_the_backup() -> None:
    for unit in (512, 4096):
        disk = gpt_disk(unit, 4096, ONE)
        disk[unit : 40 * unit] = bytes(39 * unit)
        table = table_of(disk)
        assert table.scheme == "gpt"
        assert len(table.partitions) == 1
        assert codes(table)[0] == "gpt-primary-missing"


def test_the_backup_damaged_or_missing() -> None:
    disk = gpt_disk(512, 4096, ONE)
    disk[-512 + 60] ^= 1
    assert codes(table_of(disk)) == ["gpt-header-checksum"]
    disk = gpt_disk(512, 4096, ONE)
    disk[-512:] = bytes(512)
    table = table_of(disk)
    assert (codes(table), len(table.partitions)) == (["gpt-backup-missing"], 1)


def test_a_disk_that_grew_or_shrank() -> None:
    disk = gpt_disk(512, 4096, ONE)
    grown = table_of(disk + bytes(MIB))
    assert [(p.code, p.kind) for p in grown.problems] == [("gpt-backup-not-at-end", "note")]
    cut = table_of(disk[: 3000 * 512])
    assert set(codes(cut)) == {"gpt-backup-missing", "gpt-beyond-end", "gpt-not-valid"}
    assert len(cut.partitions) == 1


def test_copies_that_differ() -> None:
    disk, other = gpt_disk(512, 4096, ONE), gpt_disk(512, 4096, ONE, TWO)
    disk[-33 * 512 :] = other[-33 * 512 :]
    table = table_of(disk)
    assert (codes(table), len(table.partitions)) == (["gpt-copies-differ"], 1)


def test_both_copies_damaged_are_listed_and_said_to_be_unusable() -> None:
    disk = gpt_disk(512, 4096, ONE)
    disk[1024 + 17] ^= 1
    disk[-33 * 512 + 17] ^= 1
    table = table_of(disk)
    assert len(table.partitions) == 1
    assert "gpt-not-valid" in codes(table)


def test_overlap_range_and_end() -> None:
    disk = gpt_disk(512, 4096, ONE, gpt_entry(150, 250, number=2), gpt_entry(4000, 4095, number=3))
    assert codes(table_of(disk)) == ["partition-out-of-range", "partitions-overlap"]
    disk = gpt_disk(512, 4096, gpt_entry(200, 100), TWO)
    table = table_of(disk)
    assert ([p.number for p in table.partitions], codes(table)) == ([2], ["partition-out-of-range"])
    disk = gpt_disk(512, 4096, gpt_entry(200, 5000))
    assert codes(table_of(disk)) == ["partition-out-of-range", "partition-beyond-end"]


def test_protective_and_hybrid_mbr() -> None:
    disk = gpt_disk(512, 4096, ONE)
    put_mbr(disk, mbr_entry(0xEE, 1, 99), mbr_entry(0x07, 100, 100, 0x80))
    table = table_of(disk)
    assert (table.scheme, table.protective, codes(table)) == ("gpt", "hybrid", ["hybrid-mbr"])
    put_mbr(disk, mbr_entry(0x07, 100, 100, 0x80))
    table = table_of(disk)
    assert (table.scheme, table.protective, codes(table)) == ("mbr", None, ["stray-gpt"])
    disk[:512] = bytes(512)
    table = table_of(disk)
    assert (table.scheme, codes(table)) == ("gpt", ["protective-mbr-missing"])


def test_a_protective_mbr_without_gpt() -> None:
    disk = bytearray(MIB)
    put_mbr(disk, mbr_entry(0xEE, 1, 2047))
    table = table_of(disk)
    assert (table.scheme, codes(table)) == ("mbr", ["gpt-missing"])


def test_an_unused_backup_on_a_disk_with_another_content_is_not_taken() -> None:
    disk = gpt_disk(512, 4096, ONE)
    disk[: 40 * 512] = bytes(40 * 512)
    assert table_of(disk).scheme == "none"


@pytest.mark.parametrize(("count", "size"), [(0xFFFFFFFF, 128), (128, 0), (128, 129), (128, 0x80000000), (0, 128)])
def test_impossible_arrays_are_refused(count: int, size: int) -> None:
    disk = gpt_disk(512, 4096, ONE)
    for at in (512, len(disk) - 512):
        struct.pack_into("<II", disk, at + 80, count, size)
    table = table_of(disk)
    assert table.partitions == ()
    assert "gpt-header-invalid" in codes(table)


def test_names_are_shown_safely() -> None:
    evil = gpt_entry(100, 199)[:56] + "a\x1b[31m\u202e".encode("utf-16-le").ljust(70, b"\0") + b"\x00\xd8"
    (partition,) = table_of(gpt_disk(512, 4096, evil)).partitions
    assert partition.label == r"a\x1b[31m\u202e"


def test_thousands_of_problems_are_cut() -> None:
    disk = gpt_disk(512, 8192, *(gpt_entry(5000 - n % 2, 5100, number=n) for n in range(1000)), count=1000)
    table = table_of(disk)
    assert len(table.partitions) == 1000
    assert codes(table).count("partitions-overlap") == 17


def test_an_unreadable_end_is_no_error() -> None:
    class Cut(MemoryDevice):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset + length > MIB:
                raise ImageError("gone")
            return super().read_at(offset, length)

    table = read_table(Cut(bytes(gpt_disk(512, 4096, ONE)), "disk0"), "disk0")
    assert (codes(table), len(table.partitions)) == (["gpt-backup-unread"], 1)


def test_a_header_that_lies_about_its_place() -> None:
    disk = gpt_disk(512, 4096, ONE)
    array = bytes(disk[1024 : 1024 + 128 * 128])
    disk[512:1024] = gpt_header(512, 9, 4095, 4062, 2, array)
    assert sorted(codes(table_of(disk))) == ["gpt-backup-used", "gpt-header-invalid"]
