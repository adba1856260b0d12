from __future__ import annotations

import pytest
from facts_builder import TIB, a_disk, a_linux_machine, and_disks, answer, lost, outcome, with_boot, with_disk

RULE = "boot-disk-too-large"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(512, "pass"), (2 * TIB - 512, "pass"), (2 * TIB, "pass"), (2 * TIB + 512, "fail"), (64 * TIB, "fail")],
)
def test_the_limit_is_inclusive(size: int, expected: str) -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), virtual_size=size)) == expected


def test_the_figures_are_told() -> None:
    summary = answer(RULE, with_disk(a_linux_machine(), virtual_size=2 * TIB + 512)).summary
    assert "2199023256064" in summary
    assert "512 more" in summary


def test_a_large_data_disk_passes() -> None:
    assert outcome(RULE, and_disks(a_linux_machine(), a_disk("disk1", size=3 * TIB))) == "pass"


def test_an_unknown_size_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), virtual_size=None)) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=())) == "not-applicable"


def test_a_size_that_cannot_be_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), virtual_size=-5)) == "unknown"


def test_an_unread_boot_disk_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=lost())) == "unknown"


def test_a_boot_disk_that_is_not_described_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=("disk7",))) == "unknown"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1 * TIB, 1 * TIB, "pass"), (3 * TIB, 3 * TIB, "fail"), (1 * TIB, 3 * TIB, "unknown"), (3 * TIB, None, "unknown")],
)
def test_several_candidates_must_agree(first: int, second: int | None, expected: str) -> None:
    machine = and_disks(with_disk(a_linux_machine(), virtual_size=first), a_disk("disk1", size=second))
    assert outcome(RULE, with_boot(machine, disk=("disk0", "disk1"))) == expected
