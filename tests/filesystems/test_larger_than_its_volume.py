"""A filesystem that is larger than its volume, as after a copy that broke off: it is damaged, whatever can be read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from filesystem_images import run
from tools import requires_tool

from imgscan.cli.main import run as imgscan
from imgscan.scan import inspect_machine

MAKE = {
    "ext2": ("mke2fs", "-q", "-F", "-t", "ext2"),
    "ext4": ("mke2fs", "-q", "-F", "-t", "ext4"),
    "btrfs": ("mkfs.btrfs", "-q"),
    "xfs": ("mkfs.xfs", "-q"),
    "jfs": ("mkfs.jfs", "-q"),
    "ntfs": ("mkntfs", "-F", "-Q", "-q"),
    "vfat": ("mkfs.vfat", "-F", "32", "-s", "1"),
    "exfat": ("mkfs.exfat",),
}
SIZE = 320 << 20

pytestmark = requires_tool(*{command[0] for command in MAKE.values()}, "sfdisk")


def made(folder: Path, content: str) -> Path:
    image = folder / f"{content}.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    run(*MAKE[content], str(image))
    return image


@pytest.mark.parametrize("content", MAKE)
def test_one_that_was_cut_is_damaged(tmp_path: Path, content: str) -> None:
    image = made(tmp_path, content)
    (whole,) = inspect_machine([image]).volumes
    assert whole.content == content
    assert whole.free is not None
    assert whole.free.is_known
    with image.open("r+b") as file:
        file.truncate(SIZE * 5 // 8)
    (cut,) = inspect_machine([image]).volumes
    assert cut.free is not None
    assert (cut.free.unread, cut.size) == ("corrupt", SIZE * 5 // 8)
    assert f"the {content} is " in str(cut.free.detail)


def test_one_in_a_smaller_partition_fails_its_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = made(tmp_path, "ext4")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20) + image.read_bytes()[: 200 << 20])
    subprocess.run(["sfdisk", "-q", disk], input=b"start=2048,size=300000,type=83\n", check=True)
    imgscan(["scan", "--in-process", "--format", "json", str(disk)])
    findings = json.loads(capsys.readouterr().out)["machines"][0]["verdicts"][0]["findings"]
    (damage,) = [each for each in findings if each["rule"] == "damaged-filesystem"]
    assert damage["outcome"] == "fail"
    assert damage["summary"] == f"disk0/p1: the ext4 is {SIZE} bytes large, and its volume 153600000"
    assert damage["evidence"]


@requires_tool("mkfs.xfs")
def test_an_xfs_with_its_log_elsewhere_does_not_say_how_it_was_left(tmp_path: Path) -> None:
    image, log = tmp_path / "x.img", tmp_path / "log.img"
    for path, size in ((image, SIZE), (log, 64 << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    run("mkfs.xfs", "-q", "-l", f"logdev={log},size=64m", str(image))
    (volume,) = inspect_machine([image]).volumes
    assert volume.condition is not None
    assert volume.condition.unread == "unsupported"


@requires_tool("mke2fs")
def test_a_journal_beside_its_filesystem_holds_no_files_that_are_missed(tmp_path: Path) -> None:
    journal = tmp_path / "journal.img"
    with journal.open("wb") as file:
        file.truncate(32 << 20)
    run("mke2fs", "-q", "-F", "-O", "journal_dev", str(journal))
    machine = inspect_machine([made(tmp_path, "ext4"), journal])
    assert [volume.content for volume in machine.volumes] == ["ext4", "jbd"]
    assert machine.volumes[1].readable is None
    assert machine.unread == ()
    assert machine.systems_searched.is_known
