from __future__ import annotations

import pytest
from facts_builder import MIB, a_linux_machine, answer, lost, outcome, with_volume

from imgscan.model.fact import known
from imgscan.model.volume import Free

RULE = "too-little-free-space"


@pytest.mark.parametrize(
    ("size", "expected"), [(250 * MIB, "pass"), (250 * MIB - 1, "fail"), (0, "fail"), (1 << 60, "pass")]
)
def test_the_limit_is_enough(size: int, expected: str) -> None:
    machine = with_volume(a_linux_machine(), "disk0/p1", free=known(Free(size, 0, 1000)))
    assert outcome(RULE, machine) == expected


def test_the_figure_is_never_rounded_up() -> None:
    machine = with_volume(a_linux_machine(), "disk0/p1", free=known(Free(250 * MIB - 1, 0, 1000)))
    assert answer(RULE, machine).summary == "249.9 MiB of the root disk0/p1 are free, less than 250.0 MiB"


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=lost())) == "unknown"
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=None)) == "unknown"
