"""Files whose content Windows keeps elsewhere, on an NTFS where ntfs-3g set the attribute: never empty or zeros."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tools import requires_tool
from wim_compression import wof_stream
from windows_builder import WINDOWS_2019, ntfs_image, windows_files

from imgscan.cli.main import run

pytestmark = requires_tool("mkntfs", "ntfs-3g", "hivexregedit")
DRIVERS = "/Windows/System32/drivers"
SYSTEM = "/Windows/System32/config/SYSTEM"


def reparse(tag: int, body: bytes = bytes(16)) -> bytes:
    return struct.pack("<IHH", tag, len(body), 0) + body


def wof(algorithm: int) -> bytes:
    return reparse(0x80000017, struct.pack("<4I", 1, 2, 1, algorithm))


KEPT = {
    "new.sys": (wof(9), "Windows keeps it compressed by the system (WOF)"),
    "wim.sys": (
        reparse(0x80000017, struct.pack("<2I", 1, 1) + bytes(32)),
        "Windows keeps it compressed by the system (WOF, in a WIM image)",
    ),
    "dedup.sys": (reparse(0x80000013), "its data is deduplicated"),
    "onedrive.sys": (reparse(0x9000701A), "it is a placeholder of a cloud"),
    "other.sys": (reparse(0x80000F0F), "its data is kept elsewhere (reparse tag 0x80000f0f)"),
}


@pytest.fixture(scope="module")
def image() -> Path:
    files = windows_files(WINDOWS_2019) | {f"{DRIVERS}/{name}": b"MZ" * 30_000 for name in (*KEPT, "plain.sys")}
    points = {f"{DRIVERS}/{name}": data for name, (data, _) in KEPT.items()}
    return ntfs_image(files, reparse={**points, SYSTEM: reparse(0x80000013)})


@pytest.mark.parametrize("name", KEPT)
def test_content_is_refused(name: str, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{DRIVERS}/{name}"
    assert run(["cat", "--in-process", str(image), path]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert KEPT[name][1] in err
    assert "unsupported" in err
    assert run(["stat", "--in-process", str(image), path]) == 0
    out, err = capsys.readouterr()
    assert "60000 bytes" in out
    assert f"content   unread (unsupported): node {out.partition('inode ')[2].split()[0]}: " in out
    assert KEPT[name][1] in out


def test_a_file_that_is_whole_says_nothing(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stat", "--in-process", str(image), f"{DRIVERS}/plain.sys"]) == 0
    assert "content" not in capsys.readouterr().out


def facts(image: Path, capsys: pytest.CaptureFixture[Any]) -> dict[str, Any]:
    run(["inspect", "--in-process", "--format", "json", str(image)])
    machine: dict[str, Any] = json.loads(capsys.readouterr().out)["machine"]
    (system,) = machine["systems"]
    return dict(system)


def test_a_hive_that_is_elsewhere(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = facts(image, capsys)
    assert system["product"]["value"] == "Windows Server 2019 Standard"
    for fact in ("hostname", "page_files", "network", "remote_desktop", "products", "mounts"):
        assert system[fact]["unread"] == "unsupported", fact
        assert "its data is deduplicated" in system[fact]["detail"]
    assert system["hives"][1]["unread"] == "unsupported"


@requires_tool("wimlib-imagex")
def test_a_windows_that_is_compressed_is_read_like_another(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Hives and programs in all four ways, compressed by libwim, in the streams that Windows has them in."""
    files = windows_files(WINDOWS_2019)
    driver = f"{DRIVERS}/storport.sys"
    files[driver] = b"".join(b"MZ%d " % number for number in range(9_000))
    ways = {
        SYSTEM: 0,
        driver: 1,
        "/Windows/System32/ntoskrnl.exe": 1,
        "/Windows/System32/config/SOFTWARE": 2,
        "/Boot/BCD": 3,
    }
    streams = {f"{path}:WofCompressedData": wof_stream(files[path], way) for path, way in ways.items()}
    plain, packed = (tmp_path / name / "disk.raw" for name in ("plain", "packed"))
    for copy, made in (
        (plain, ntfs_image(files)),
        (packed, ntfs_image(files, streams=streams, reparse={path: wof(way) for path, way in ways.items()})),
    ):
        copy.parent.mkdir()
        copy.write_bytes(made.read_bytes())
    assert facts(packed, capsysbinary) == facts(plain, capsysbinary)
    for path in ways:
        assert run(["cat", "--in-process", str(packed), path]) == 0
        assert capsysbinary.readouterr().out == files[path]
