"""A Btrfs on several disks in a whole scan: one filesystem by the name of its first member."""

from __future__ import annotations

import json
from pathlib import Path

from btrfs_images import expected, kept
from imgscan_command import imgscan

from imgscan import inspect_machine


def test_the_first_member_stands_for_all(tmp_path: Path) -> None:
    paths = [device.save(tmp_path / f"{device.name}.raw") for device in kept("raid10")]
    facts = inspect_machine(paths)
    first, *others = facts.volumes
    assert first.on == ("disk1", "disk2", "disk3")
    assert first.readable is not None
    assert first.readable.get()
    assert first.free is not None
    assert [first.free.get().bytes, first.free.get().available] == expected("raid10")["df"]
    assert facts.disks_below("disk0") == {"disk0", "disk1", "disk2", "disk3"}
    for other in others:
        assert other.free is None
        assert other.readable == first.readable
        assert other.metadata == {"part_of": "disk0"}
    assert facts.systems_searched.get() == ("disk0",)
    assert not facts.unread


def test_a_missing_member_is_said(tmp_path: Path) -> None:
    first, second, _ = kept("raid0")
    paths = [device.save(tmp_path / f"{device.name}.raw") for device in (first, second)]
    facts = inspect_machine(paths)
    (place,) = facts.unread
    assert (place.where, place.why) == ("disk0", "missing")
    assert place.detail == "1 of its devices are not among the disks given"


def test_two_copies_of_one_disk_are_two_filesystems(tmp_path: Path) -> None:
    (device,) = kept("ubuntu")
    paths = [device.save(tmp_path / name) for name in ("a.raw", "b.raw")]
    facts = inspect_machine(paths)
    assert [volume.on for volume in facts.volumes] == [(), ()]
    assert [system.root for system in facts.systems] == ["disk0", "disk1"]


def test_subvolumes_from_the_command_line(tmp_path: Path) -> None:
    (device,) = kept("ubuntu")
    image = str(device.save(tmp_path / "a.raw"))
    assert imgscan("cat", image, "/home/user/notes").stdout == "notes"
    assert imgscan("cat", image, "disk0:/subvol:@home/user/notes").stdout == "notes"
    assert imgscan("ls", image, "disk0:/").stdout.split() == ["@", "@home", "timeshift-btrfs"]
    listed = imgscan("stat", image, "/etc/fstab").stdout
    assert "of subvolume 256" in listed
    gone = imgscan("ls", image, "/gone", check=False)
    assert gone.returncode == 3
    assert "there is no subvolume @gone (missing)" in gone.stderr
    report = json.loads(imgscan("inspect", "--format", "json", image).stdout)
    (system,) = report["machine"]["systems"]
    assert (system["root"], system["directory"]) == ("disk0", "/subvol:@")
