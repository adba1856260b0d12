"""MBR tables: sfdisk, sleuthkit and blkid say what is expected; then one fault at a time."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest
from partitions.disks import MIB, codes, mbr_entry, put_mbr, sfdisk, table_of
from tools import require_tool, requires_tool

from imgscan.devices.limits import LOGICAL_PARTITIONS
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError
from imgscan.model.evidence import AtOffset
from imgscan.partitions import read_table

SCRIPT = """label: dos
label-id: 0x1234abcd
start=2048, size=8192, type=83, bootable
start=10240, size=4096, type=82
start=16384, size=65536, type=5
start=18432, size=4096, type=83
start=24576, size=8192, type=7
start=40960, size=2048, type=c
"""


@requires_tool("sfdisk", "mmls", "blkid")
def test_primary_and_logical_partitions_are_those_of_sfdisk_and_sleuthkit(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    table = table_of(sfdisk(path, SCRIPT))
    said = json.loads(subprocess.check_output([require_tool("sfdisk"), "--json", str(path)]))["partitiontable"]
    assert table.scheme == "mbr"
    assert table.identifier == said["id"] == "0x1234abcd"
    assert table.problems == ()
    assert [(f"{path}{p.number}", p.start // 512, p.size // 512, p.type, p.active) for p in table.partitions] == [
        (p["node"], p["start"], p["size"], f"0x{int(p['type'], 16):02x}", p.get("bootable", False))
        for p in said["partitions"]
    ]
    lines = subprocess.check_output(["mmls", "-a", str(path)], text=True).splitlines()
    starts = {int(line.split()[2]) for line in lines if line[:3].rstrip(":").isdigit()}
    assert starts == {p.start // 512 for p in table.partitions if p.type != "0x05"}
    for number, partition in ((p.number, p) for p in table.partitions):
        shown = subprocess.run(
            [require_tool("blkid"), "-p", "-o", "export", "-O", str(partition.start), str(path)],
            check=False,
            capture_output=True,
        )
        assert shown.returncode in {0, 2}
        assert partition.uuid == f"1234abcd-{number:02x}"


@requires_tool("sfdisk", "blkid")
def test_an_empty_table_is_a_table_for_blkid_and_here(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    table = table_of(sfdisk(path, "label: dos\n"))
    assert b"PTTYPE=dos" in subprocess.check_output([require_tool("blkid"), "-p", "-o", "export", str(path)])
    assert (table.scheme, table.partitions, table.problems) == ("mbr", (), ())


@pytest.mark.parametrize(
    "command",
    [["mkfs.fat", "-F", "12"], ["mkfs.fat", "-F", "16"], ["mkfs.fat", "-F", "32"], ["mkfs.exfat"], ["mkntfs", "-qQF"]],
    ids=" ".join,
)
def test_the_boot_sector_of_a_volume_is_no_partition_table(tmp_path: Path, command: list[str]) -> None:
    require_tool(command[0])
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(40 * MIB if "16" not in command else 16 * MIB)
    if "12" in command:
        with path.open("r+b") as file:
            file.truncate(1440 * 1024)
    subprocess.run([require_tool(command[0]), *command[1:], str(path)], check=True, capture_output=True)
    said = subprocess.run([require_tool("blkid"), "-p", "-o", "export", str(path)], capture_output=True, check=False)
    # libblkid before 2.39 calls an exFAT boot sector an empty table, too
    assert b"TYPE=exfat" in said.stdout if "exfat" in command[0] else b"PTTYPE" not in said.stdout
    table = table_of(path.read_bytes())
    assert (table.scheme, table.boot_signature, table.problems) == ("none", True, ())


def test_zeros_are_no_table() -> None:
    table = table_of(bytes(MIB))
    assert (table.scheme, table.boot_signature, table.problems) == ("none", False, ())


@requires_tool("fdisk", "sfdisk")
def test_one_bad_boot_indicator_is_reported_and_the_table_read_as_fdisk_does(tmp_path: Path) -> None:
    disk = sfdisk(tmp_path / "good", SCRIPT)
    good = table_of(disk)
    disk[446] = 0x81
    path = tmp_path / "disk"
    path.write_bytes(disk)
    table = table_of(disk)
    assert (table.scheme, codes(table)) == ("mbr", ["bad-boot-indicator"])
    assert table.problems[0].kind == "damage"
    assert table.problems[0].evidence == (AtOffset("disk0", 446, 1, "master boot record entry 1"),)
    assert [(p.name, p.start, p.size, p.type) for p in table.partitions] == [
        (p.name, p.start, p.size, p.type) for p in good.partitions
    ]
    listed = subprocess.check_output([require_tool("fdisk"), "-l", str(path)], text=True)
    assert all(f"{path}{p.number} " in listed for p in table.partitions)


@pytest.mark.parametrize(
    "entries",
    [
        (mbr_entry(0x83, 1, 100, boot=0x41), mbr_entry(0x83, 200, 100, boot=0x42)),  # two of them
        (mbr_entry(0x83, 1, 5000, boot=0x81),),  # not on this disk
        (mbr_entry(0, 1, 100, boot=0x81),),
        (mbr_entry(0x83, 0, 100, boot=0x81),),
        (b"Remove disks or ", b"other media.\xff\r\n", b"Press any key to", b" restart\r\n"),
    ],
)
def test_what_is_no_table_but_for_an_indicator(entries: tuple[bytes, ...]) -> None:
    disk = bytearray(MIB)
    put_mbr(disk, *(entry.ljust(16, b"\0") for entry in entries))
    assert (table_of(disk).scheme, codes(table_of(disk))) == ("none", [])


def test_entries_without_boot_signature_are_listed_and_reported() -> None:
    disk = bytearray(MIB)
    put_mbr(disk, mbr_entry(0x83, 1, 100), signature=b"\0\0")
    table = table_of(disk)
    assert (table.scheme, table.boot_signature, len(table.partitions)) == ("mbr", False, 1)
    assert codes(table) == ["no-boot-signature"]


def test_overlap_end_of_disk_and_several_active() -> None:
    disk = bytearray(MIB)  # 2048 sectors
    put_mbr(disk, mbr_entry(0x83, 1, 1000, 0x80), mbr_entry(0x83, 500, 100, 0x80), mbr_entry(0x83, 2000, 49))
    table = table_of(disk)
    assert codes(table) == ["partition-beyond-end", "partitions-overlap", "several-active-partitions"]
    assert table.problems[0].evidence == (AtOffset("disk0", 446 + 32, 16, "master boot record entry 3"),)
    put_mbr(disk, mbr_entry(0x83, 1, 1000, 0x80), mbr_entry(0x83, 1001, 100), mbr_entry(0x83, 2000, 48))
    assert codes(table_of(disk)) == []


def _logical_disk() -> bytearray:
    disk = bytearray(4 * MIB)
    put_mbr(disk, mbr_entry(0x83, 1, 99), mbr_entry(0x0F, 100, 4000))
    put_mbr(disk, mbr_entry(0x83, 10, 90), mbr_entry(0x05, 100, 100), at=100 * 512)
    put_mbr(disk, mbr_entry(0x83, 10, 90), mbr_entry(0x85, 200, 100), at=200 * 512)
    put_mbr(disk, mbr_entry(0x83, 10, 90), at=300 * 512)
    return disk


def test_a_loop_in_the_chain_ends_and_is_reported() -> None:
    disk = _logical_disk()
    assert [p.number for p in table_of(disk).partitions] == [1, 2, 5, 6, 7]
    assert codes(table_of(disk)) == []
    put_mbr(disk, mbr_entry(0x83, 10, 90), mbr_entry(0x05, 100, 100), at=300 * 512)
    table = table_of(disk)
    assert [p.number for p in table.partitions] == [1, 2, 5, 6, 7]
    assert codes(table) == ["extended-chain-loop"]


def test_a_broken_chain_keeps_what_was_read() -> None:
    disk = _logical_disk()
    disk[300 * 512 + 510] = 0
    table = table_of(disk)
    assert [p.number for p in table.partitions] == [1, 2, 5, 6]
    assert codes(table) == ["extended-chain-broken"]
    disk = _logical_disk()
    put_mbr(disk, mbr_entry(0x83, 10, 90), mbr_entry(0x05, 0xFFFFFFF0, 0xFFFFFFFF), at=300 * 512)
    assert codes(table_of(disk)) == ["extended-chain-broken"]


def test_a_logical_partition_outside_its_container() -> None:
    disk = _logical_disk()
    put_mbr(disk, mbr_entry(0x83, 10, 3900), at=300 * 512)
    assert codes(table_of(disk)) == ["logical-outside-extended"]


def test_a_chain_without_end_is_cut_at_the_limit() -> None:
    disk = bytearray(2 * MIB)
    put_mbr(disk, mbr_entry(0x05, 1, 4000))
    for link in range(1, 400):
        put_mbr(disk, mbr_entry(0x83, 1, 1), mbr_entry(0x05, 2 * link, 2), at=(2 * link - 1) * 512)
    table = table_of(disk)
    assert len(table.partitions) == LOGICAL_PARTITIONS + 1
    assert codes(table) == ["extended-chain-too-long"]


def test_sector_sizes_scale_the_table() -> None:
    disk = bytearray(MIB)
    put_mbr(disk, mbr_entry(0x83, 8, 16))
    (partition,) = table_of(disk, 4096).partitions
    assert (partition.start, partition.size) == (32768, 65536)


def test_nested_and_foreign_tables_are_named() -> None:
    disk = bytearray(MIB)
    put_mbr(disk, mbr_entry(0xA5, 100, 100))
    assert codes(table_of(disk)) == []
    disk[101 * 512 : 101 * 512 + 4] = struct.pack("<I", 0x82564557)
    (problem,) = table_of(disk).problems
    assert (problem.code, problem.kind) == ("nested-table", "unsupported")
    sun = bytearray(MIB)
    sun[508:510] = b"\xda\xbe"
    assert codes(table_of(sun)) == ["unsupported-table"]


@requires_tool("parted")
@pytest.mark.parametrize("label", ["bsd", "mac", "sun", "dvh"])
def test_tables_that_are_not_read_are_named(tmp_path: Path, label: str) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["/usr/sbin/parted", "-s", str(path), "mklabel", label], check=True, capture_output=True)
    table = table_of(path.read_bytes())
    assert table.scheme == "none"
    assert [(p.code, p.kind) for p in table.problems] == [("unsupported-table", "unsupported")]


def test_only_an_unreadable_first_sector_is_an_error() -> None:
    with pytest.raises(ImageError):
        table_of(bytes(511))

    class Cut(MemoryDevice):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset + length > 512:
                raise ImageError("gone")
            return super().read_at(offset, length)

    disk = _logical_disk()
    table = read_table(Cut(bytes(disk)), "disk0")
    assert [p.number for p in table.partitions] == [1, 2]
    assert codes(table) == ["extended-chain-broken"]
