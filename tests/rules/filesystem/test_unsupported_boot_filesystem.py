from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome, with_system, with_volume

from imgscan.model.evidence import AtOffset

RULE = "unsupported-boot-filesystem"


@pytest.mark.parametrize(
    ("content", "expected"),
    [("ntfs", "pass"), ("vfat", "fail"), ("ReFS", "fail"), ("exfat", "fail"), (None, "unknown")],
)
def test_each_type(content: str | None, expected: str) -> None:
    result = answer(RULE, with_volume(a_windows_machine(), "disk0/p2", content=content))
    assert result.outcome == expected
    assert result.evidence == (AtOffset("disk0/p2", 0, 8, "signature"),)


def test_only_the_windows_volume_counts() -> None:
    assert outcome(RULE, with_volume(a_windows_machine(), "disk0/p1", content="vfat")) == "pass"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_windows_machine(), "disk0/p2", signature=lost())) == "unknown"
    assert outcome(RULE, with_system(a_windows_machine(), root="disk9/p1")) == "unknown"
