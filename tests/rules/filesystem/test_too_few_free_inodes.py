from __future__ import annotations

import pytest
from facts_builder import GIB, a_linux_machine, lost, outcome, with_volume

from imgscan.model.fact import known
from imgscan.model.volume import Free

RULE = "too-few-free-inodes"


@pytest.mark.parametrize(("inodes", "expected"), [(100, "pass"), (99, "fail"), (0, "fail"), (None, "pass")])
def test_the_limit_is_enough(inodes: int | None, expected: str) -> None:
    machine = with_volume(a_linux_machine(), "disk0/p1", free=known(Free(GIB, GIB, inodes)))
    assert outcome(RULE, machine) == expected


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=lost())) == "unknown"
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=None)) == "unknown"
