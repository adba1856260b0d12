"""VMDK headers: every field from its place, as qemu-img wrote them or as packed here."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from msgspec.structs import astuple
from tools import requires_tool

from imgscan.layouts import vmdk


@requires_tool("qemu-img")
def test_a_header_that_qemu_wrote(tmp_path: Path) -> None:
    path = tmp_path / "d.vmdk"
    subprocess.run(["qemu-img", "create", "-f", "vmdk", path, "20G"], check=True, capture_output=True)
    header = vmdk.parse_sparse_header(path.read_bytes()[:512])
    assert (header.version, header.flags) == (1, vmdk.FLAG_NEWLINES | vmdk.FLAG_REDUNDANT)
    assert (header.capacity, header.grain_size, header.grain_table_entries) == (20 << 21, 128, 512)
    assert (header.descriptor_offset, header.descriptor_size) == (1, 20)
    assert header.redundant_directory == 21
    assert header.directory == 21 + 5 + 640 * 4  # 640 tables of 4 sectors behind a directory of 5
    assert header.overhead % 128 == 0
    assert (header.unclean, header.newlines, header.compression) == (0, b"\n \r\n", 0)


def test_every_hosted_field() -> None:
    values = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, b"abcd", 13)
    data = struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", *values).ljust(512, b"\0")
    assert astuple(vmdk.parse_sparse_header(data)) == values


def test_every_cowd_field() -> None:
    data = bytearray(struct.pack("<4s7I", b"COWD", 1, 2, 3, 4, 5, 6, 7).ljust(2048, b"\0"))
    struct.pack_into("<I", data, 1648, 8)
    assert astuple(vmdk.parse_cowd_header(bytes(data))) == (1, 2, 3, 4, 5, 6, 7, 8)


def test_every_sesparse_field() -> None:
    data = struct.pack("<26Q", *range(26)).ljust(512, b"\0")
    header = vmdk.parse_sesparse_header(data)
    assert astuple(header)[:5] == (1, 2, 3, 4, 5)
    assert header.volatile_header == 10
    assert (header.directory, header.directory_size) == (16, 17)
    assert (header.grain_tables, header.grain_tables_size, header.grains) == (18, 19, 24)
    assert vmdk.parse_sesparse_volatile(data) == (0, 3)
