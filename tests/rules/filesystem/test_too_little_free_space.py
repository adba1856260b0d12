from __future__ import annotations

import pytest
from facts_builder import GIB, MIB, a_linux_machine, a_windows_machine, answer, lost, outcome, with_volume

from imgscan.model.fact import known
from imgscan.model.volume import Free

RULE = "too-little-free-space"


@pytest.mark.parametrize(
    ("size", "expected"), [(250 * MIB, "pass"), (250 * MIB - 1, "fail"), (0, "fail"), (1 << 60, "pass")]
)
def test_the_limit_is_enough(size: int, expected: str) -> None:
    machine = with_volume(a_linux_machine(), "disk0/p1", free=known(Free(size, 0, 1000)))
    assert outcome(RULE, machine) == expected


@pytest.mark.parametrize(("size", "expected"), [(6 * GIB, "pass"), (6 * GIB - 1, "fail"), (250 * MIB, "fail")])
def test_windows_needs_more(size: int, expected: str) -> None:
    machine = with_volume(a_windows_machine(), "disk0/p2", free=known(Free(size, size, None)))
    assert outcome(RULE, machine) == expected


def test_the_figure_is_never_rounded_up() -> None:
    machine = with_volume(a_linux_machine(), "disk0/p1", free=known(Free(250 * MIB - 1, 0, 1000)))
    assert answer(RULE, machine).summary == "249.9 MiB of the root disk0/p1 are free, less than 250.0 MiB"


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=lost())) == "unknown"
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p1", free=None)) == "unknown"
