"""The faults of the cases are what they are called: foreign tools say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from disk_builder import MIB, ROOT_SIZE, run
from rules_on_images import boot_cases, image_cases
from rules_on_images.machines import Change, changed, data_disk, debian, image, linux, windows_bios
from tools import requires_tool
from windows_builder import WINDOWS_2003


@requires_tool("sgdisk", "sfdisk")
@pytest.mark.parametrize(
    ("fault", "says"),
    [(boot_cases.spoil_gpt_entries, "CRC doesn't check out"), (boot_cases.overlap_in_gpt, "2 and 1 overlap")],
)
def test_a_damaged_gpt(fault: Change, says: str, tmp_path: Path) -> None:
    assert says in run("sgdisk", "--verify", changed(data_disk(scheme="gpt"), tmp_path, fault))


@requires_tool("sfdisk")
def test_a_partition_behind_the_end(tmp_path: Path) -> None:
    disk = changed(data_disk(), tmp_path, boot_cases.partition_beyond_end)
    assert "Total allocated sectors 135169 greater than the maximum 135168" in run("sfdisk", "--verify", disk)


@requires_tool("qemu-img")
def test_the_vhdx_with_a_log_is_the_whole_disk_once_the_log_is_replayed(tmp_path: Path) -> None:
    disk = image(debian(), "vhdx", tmp_path, image_cases.leave_log_in_vhdx)
    with pytest.raises(RuntimeError, match="contains a log that needs to be replayed"):
        run("qemu-img", "info", disk)
    run("qemu-img", "check", "-q", "-r", "all", disk)
    run("qemu-img", "compare", "-q", "-f", "vhdx", "-F", "raw", disk, debian())


@requires_tool("qemu-img")
def test_the_delta_names_its_base(tmp_path: Path) -> None:
    (delta,) = image_cases.vmdk_snapshot(tmp_path)
    assert "backing file: base.vmdk" in run("qemu-img", "info", delta)


@requires_tool("blkid", "mkfs.f2fs", "mkfs.exfat", "mkfs.xfs")
@pytest.mark.parametrize(
    ("disk", "start", "content"),
    [
        (lambda: linux(root="vfat"), MIB, "vfat"),
        (lambda: linux(data="exfat"), (1 + ROOT_SIZE) * MIB, "exfat"),
        (lambda: data_disk("f2fs"), MIB, "f2fs"),
        (lambda: data_disk("xfs"), MIB, "xfs"),
        (lambda: windows_bios(WINDOWS_2003, "vfat"), MIB, "vfat"),
        (lambda: windows_bios(WINDOWS_2003), MIB, "ntfs"),
    ],
)
def test_filesystems(disk: Callable[[], Path], start: int, content: str) -> None:
    assert f'TYPE="{content}"' in run("blkid", "--probe", "--offset", str(start), disk())
