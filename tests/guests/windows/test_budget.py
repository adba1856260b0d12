"""What a Windows with a large registry costs: a SOFTWARE hive of more than 60 MiB, on a real NTFS, by the command."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hive_logs import base_block
from test_budgets import cost
from tools import requires_tool, shared_data
from windows_builder import MIB, WINDOWS_7_X86, ntfs_image, windows_files

pytestmark = [pytest.mark.long, requires_tool("mkntfs", "ntfs-3g", "hivexregedit")]
BIN = 64 << 10


def grown(hive: bytes, size: int) -> bytes:
    """Return a hive with empty bins behind its own, as one has that shrank."""
    (bins,) = struct.unpack_from("<I", hive, 40)
    added = b"".join(
        struct.pack("<4sIIQQI", b"hbin", offset, BIN, 0, 0, 0).ljust(32, b"\0")
        + struct.pack("<i", BIN - 32)
        + bytes(BIN - 36)
        for offset in range(bins, size - 4096, BIN)
    )
    whole = bytearray(hive[: 4096 + bins] + added)
    struct.pack_into("<I", whole, 40, bins + len(added))
    sequence = struct.unpack_from("<I", hive, 4)[0]
    return base_block(bytes(whole), sequence, sequence) + bytes(whole[512:])


def test_a_software_hive_of_60_mebibytes(tmp_path: Path) -> None:
    files = windows_files(WINDOWS_7_X86)
    files["/Windows/System32/config/SOFTWARE"] = grown(shared_data("hives/SOFTWARE_WIN7.xz"), 62 * MIB)
    files["/Windows/System32/config/SYSTEM"] = shared_data("hives/SYSTEM.xz")
    spent = cost(ntfs_image(files, size=120 * MIB), tmp_path, 1.0)
    (machine,) = spent.report["machines"]
    (system,) = machine["systems"]
    assert system["product"]["value"] == "Windows 7 Ultimate"
    assert [hive["value"]["state"] for hive in system["hives"]] == ["clean", "clean"]
    assert [update["state"] for update in system["updates"]["value"]] == ["absent", "absent"]
    assert spent.seconds < 1.0
    assert machine["io"]["reads"] < 1000
    assert machine["io"]["bytes"] < 16 * MIB
