from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_linux_machine, a_volume, a_windows_machine, and_volumes, answer, lost, outcome

from imgscan.errors import Why
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread

RULE = "damaged-filesystem"
PLACE = AtOffset("disk0/p9", 512)


@pytest.mark.parametrize(
    ("content", "condition", "expected"),
    [
        ("ext4", "clean", "pass"),
        ("ext4", "errors", "fail"),
        ("ext4", "errors; journal not replayed", "fail"),
        ("ext4", "journal not replayed", "pass"),  # of which another rule speaks
        ("jfs", "errors", "fail"),
        ("btrfs", "the first superblock is damaged: its checksum is wrong", "fail"),
        ("btrfs", "1 of its 2 devices are not among the disks given", "pass"),
        ("vfat", None, "pass"),
    ],
)
def test_what_a_filesystem_says_of_itself(content: str, condition: str | None, expected: str) -> None:
    volume = a_volume("disk0/p9", content, condition=known(condition))
    result = answer(RULE, and_volumes(a_linux_machine(), volume))
    assert result.outcome == expected
    if expected == "fail":
        assert "disk0/p9" in result.summary
        assert result.evidence == volume.signature.evidence


@pytest.mark.parametrize("why", ["corrupt", "truncated"])
def test_damage_that_reading_met(why: Why) -> None:
    broken: Fact[Any] = unread(why, "its superblock has a wrong checksum", PLACE)
    for volume in (
        a_volume("disk0/p9", "xfs", readable=broken, free=broken, condition=None),
        a_volume("disk0/p9", "xfs", free=broken),
        a_volume("disk0/p9", "xfs", condition=broken),
    ):
        result = answer(RULE, and_volumes(a_linux_machine(), volume))
        assert result.outcome == "fail"
        assert "its superblock has a wrong checksum" in result.summary
        assert result.evidence == (PLACE,)


def test_what_was_not_read_is_unknown_unless_another_fails() -> None:
    sealed: Fact[Any] = unread("unsupported", "f2fs is recognised, and not read by this version")
    for unread_volume in (
        a_volume("disk0/p8", "ext4", condition=lost()),
        a_volume("disk0/p8", "f2fs", readable=sealed, free=sealed, condition=None),
        a_volume("disk0/p8", None, signature=lost()),
    ):
        machine = and_volumes(a_linux_machine(), unread_volume)
        assert outcome(RULE, machine) == "unknown"
        damaged = a_volume("disk0/p9", "ext4", condition=known("errors"))
        assert outcome(RULE, and_volumes(machine, damaged)) == "fail"


def test_free_space_that_was_not_counted_is_no_damage() -> None:
    volume = a_volume("disk0/p9", "ntfs", free=unread("not-collected", "it would read much"))
    assert outcome(RULE, and_volumes(a_windows_machine(), volume)) == "pass"


def test_healthy_machines_pass() -> None:
    assert outcome(RULE, a_linux_machine()) == outcome(RULE, a_windows_machine()) == "pass"
