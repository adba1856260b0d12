from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_volume, a_windows_machine, and_volumes, answer, lost, outcome

from imgscan.model.fact import known

RULE = "dirty-filesystem"


@pytest.mark.parametrize(
    ("content", "condition", "expected"),
    [
        ("ext4", "clean", "pass"),
        ("ext4", "journal not replayed", "fail"),
        ("ext4", "not cleanly unmounted", "fail"),
        ("ext4", "errors; not cleanly unmounted", "fail"),
        ("ext4", "errors", "pass"),  # of which another rule speaks
        ("xfs", "log not replayed", "fail"),
        ("btrfs", "it has a log tree that is replayed on mount", "fail"),
        ("btrfs", "1 of its 2 devices are not among the disks given", "pass"),
        ("jfs", "journal on another device not replayed", "fail"),
        ("ntfs", "not cleanly unmounted", "fail"),
        ("vfat", None, "pass"),  # it is not asked; the root is clean
    ],
)
def test_how_a_filesystem_was_left(content: str, condition: str | None, expected: str) -> None:
    volume = a_volume("disk0/p9", content, condition=known(condition))
    result = answer(RULE, and_volumes(a_linux_machine(), volume))
    assert result.outcome == expected
    if expected == "fail":
        assert "disk0/p9" in result.summary
        assert content in result.summary
        assert result.evidence == volume.signature.evidence


def test_healthy_machines_pass() -> None:
    assert outcome(RULE, a_linux_machine()) == outcome(RULE, a_windows_machine()) == "pass"


def test_it_is_only_about_what_is_dirty() -> None:
    volume = a_volume("disk0/p9", "ext4", condition=known("errors; journal not replayed"))
    summary = answer(RULE, and_volumes(a_linux_machine(), volume)).summary
    assert "disk0/p9 (ext4): journal not replayed" in summary
    assert "errors" not in summary


def test_what_was_not_read_is_unknown_unless_another_fails() -> None:
    for unread_volume in (
        a_volume("disk0/p8", "ext4", condition=lost()),
        a_volume("disk0/p8", "ext4", readable=lost(), free=lost(), condition=None),
        a_volume("disk0/p8", None, signature=lost()),
    ):
        machine = and_volumes(a_linux_machine(), unread_volume)
        assert outcome(RULE, machine) == "unknown"
        dirty = a_volume("disk0/p9", "xfs", condition=known("log not replayed"))
        assert outcome(RULE, and_volumes(machine, dirty)) == "fail"


def test_what_has_no_files_is_not_asked() -> None:
    assert outcome(RULE, and_volumes(a_linux_machine(), a_volume("disk0/p9", "LVM2_member"))) == "pass"
