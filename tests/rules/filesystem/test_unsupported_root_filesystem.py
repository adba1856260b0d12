from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome, with_system, with_volume

from imgscan.model.evidence import AtOffset

RULE = "unsupported-root-filesystem"


@pytest.mark.parametrize(
    ("content", "expected"),
    [(name, "pass") for name in ("ext2", "ext3", "ext4", "btrfs", "jfs", "xfs")]
    + [(name, "fail") for name in ("reiserfs", "f2fs", "zfs_member", "vfat", "ntfs", "bcachefs", "squashfs")]
    + [(None, "unknown")],
)
def test_each_type(content: str | None, expected: str) -> None:
    result = answer(RULE, with_volume(a_linux_machine(), "disk0/p1", content=content))
    assert result.outcome == expected
    assert result.evidence == (AtOffset("disk0/p1", 0, 8, "signature"),)


def test_only_the_root_counts() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p2", content="reiserfs")) == "pass"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", signature=lost())) == "unknown"
    assert outcome(RULE, with_system(a_linux_machine(), root="disk9/p1")) == "unknown"
