"""`imgscan tree`: the whole guest with its mounts, against debugfs; what is lost is said where it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from disk_builder import MIB, build_linux, run, write_at
from tools import requires_tool

from imgscan.cli.main import run as imgscan

pytestmark = requires_tool("sfdisk", "mke2fs", "debugfs", "mkfs.xfs", "mkfs.btrfs", "grub-mkimage")
FILES = {"home/a": "x", "home/b/c/d": "y", "opt/last": "z"}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_linux(tmp_path_factory.mktemp("tree"), boot="xfs", data="btrfs", files=FILES)


def tree(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    status = imgscan(["tree", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def names_by_debugfs(volume: Path, folder: str) -> list[str]:
    lines = run("debugfs", "-R", f"ls -p {folder}", volume).splitlines()
    names = [line.split("/")[5] for line in lines if line]
    return sorted(name for name in names if name not in {".", "..", ""})


def root_volume(disk: Path, folder: Path) -> tuple[Path, int]:
    """Copy the root partition, the second; return the copy and where it starts."""
    start = int(run("sfdisk", "--dump", disk).splitlines()[-2].split("start=")[1].split(",")[0]) * 512
    path = folder / "root.img"
    with disk.open("rb") as file, path.open("wb") as copy:
        file.seek(start)
        copy.write(file.read(64 * MIB))
    return path, start


def test_names_kinds_and_mounts(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = tree(capsys, disk, "/")
    assert (status, err) == (0, "")
    assert lines[0] == "/ [disk0/p2, ext4]"
    names = [line[4:].partition(" ")[0] for line in lines if line[:4] in {"├── ", "└── "}]
    # systemd makes the folder that a volume of fstab is mounted on where there is none
    assert names == sorted([*names_by_debugfs(root_volume(disk, tmp_path)[0], "/"), "srv"])
    assert "├── boot [disk0/p1, xfs]" in lines
    at = lines.index("├── srv [disk0/p3, btrfs]")
    assert lines[at + 1 : at + 2] == ["│   └── data.txt"]
    at = next(index for index, line in enumerate(lines) if line.endswith(" home"))
    below = ["│   ├── a", "│   └── b", "│       └── c", "│           └── d"]
    assert lines[at + 1 : at + 5] == below


def test_one_volume_and_depth(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, _ = tree(capsys, disk, "disk0/p2:/home", "--depth", "1", "-l")
    assert status == 0
    assert [line.rpartition(" ")[2] for line in lines[1:3]] == ["a", "b"]
    assert lines[1].startswith("├── [-rw-r--r--   1 ")
    assert lines[2].startswith("└── [drwxr-xr-x ")
    assert lines[-1] == "1 folder, 1 other"


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, start = root_volume(disk, tmp_path)
    block = int(run("debugfs", "-R", "bmap /home/b 0", volume))
    size = int(run("debugfs", "-R", "stats -h", volume).split("Block size:")[1].split()[0])
    damaged = tmp_path / "damaged.raw"
    damaged.write_bytes(disk.read_bytes())
    write_at(damaged, start + block * size, b"\xff" * size)
    status, lines, err = tree(capsys, damaged, "/")
    assert status == 3
    assert err.startswith("imgscan: disk0/p2: not all could be read: ")
    assert err.count("\n") == 1
    at = lines.index("│   └── b")
    assert "(cannot be read: " in lines[at + 1]
    assert any(line.endswith(" last") for line in lines[at:])
    assert lines[-1].endswith(" others")
