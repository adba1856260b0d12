"""Disks for partition tests: made by foreign tools, and GPTs put together by hand for what the tools do not make."""

from __future__ import annotations

import struct
import subprocess
import uuid
import zlib
from pathlib import Path

from tools import require_tool

from imgscan.devices.memory import MemoryDevice
from imgscan.model.disk import PartitionTable
from imgscan.partitions import read_table

MIB = 1 << 20
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def table_of(disk: bytes | bytearray, sector_size: int = 512) -> PartitionTable:
    return read_table(MemoryDevice(bytes(disk), "disk0", sector_size), "disk0")


def codes(table: PartitionTable) -> list[str]:
    return [problem.code for problem in table.problems]


def sfdisk(path: Path, script: str, size: int = 64 * MIB) -> bytearray:
    """Return a disk on which sfdisk wrote what `script` says; it is also at `path`."""
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(size)
    subprocess.run([require_tool("sfdisk"), "-q", str(path)], input=script.encode(), check=True, capture_output=True)
    return bytearray(path.read_bytes())


def mbr_entry(kind: int, start: int, size: int, boot: int = 0) -> bytes:
    return struct.pack("<B3xB3xII", boot, kind, start, size)


def put_mbr(disk: bytearray, *entries: bytes, at: int = 0, signature: bytes = b"\x55\xaa") -> None:
    disk[at + 446 : at + 510] = b"".join(entries).ljust(64, b"\0")
    disk[at + 510 : at + 512] = signature


def gpt_header(
    unit: int, my: int, alternate: int, last_usable: int, entries_lba: int, array: bytes, first_usable: int = 34
) -> bytes:
    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            *(b"EFI PART", 0x10000, 92, checksum, 0, my, alternate, first_usable, last_usable),
            uuid.UUID(int=7).bytes_le,
            *(entries_lba, len(array) // 128, 128, zlib.crc32(array)),
        )

    return packed(zlib.crc32(packed(0))).ljust(unit, b"\0")


def gpt_entry(first: int, last: int, name: str = "", attributes: int = 0, number: int = 1) -> bytes:
    return struct.pack(
        "<16s16sQQQ72s",
        LINUX.bytes_le,
        uuid.UUID(int=100 + number).bytes_le,
        first,
        last,
        attributes,
        name.encode("utf-16-le"),
    )


def gpt_disk(unit: int, sectors: int, *entries: bytes, count: int = 128) -> bytearray:
    """Return a disk of `sectors` sectors of `unit` bytes with a GPT, both copies."""
    array = b"".join(entries).ljust(count * 128, b"\0")
    span = -(-len(array) // unit)
    disk = bytearray(unit * sectors)
    put_mbr(disk, mbr_entry(0xEE, 1, sectors - 1))
    first, last = 2 + span, sectors - 2 - span
    disk[unit : 2 * unit] = gpt_header(unit, 1, sectors - 1, last, 2, array, first)
    disk[2 * unit : 2 * unit + len(array)] = array
    disk[-unit:] = gpt_header(unit, sectors - 1, 1, last, last + 1, array, first)
    disk[(last + 1) * unit : (last + 1) * unit + len(array)] = array
    return disk
