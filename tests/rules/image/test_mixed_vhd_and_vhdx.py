from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, a_problem, and_disks, answer, outcome, with_disk

RULE = "mixed-vhd-and-vhdx"


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        (["vhd"], "pass"),
        (["vhdx"], "pass"),
        (["vhd", "vhd"], "pass"),
        (["vhd", "vhdx"], "fail"),
        (["vhdx", "vmdk", "vhd"], "fail"),
        (["vmdk", "vmdk"], "not-applicable"),
        (["vmdk", "vhdx"], "pass"),  # not this rule's flaw: unsupported where it matters
    ],
)
def test_formats_of_all_disks(formats: list[str], expected: str) -> None:
    machine = a_linux_machine(formats[0])
    more = [a_disk(f"disk{number}", format) for number, format in enumerate(formats[1:], 1)]
    assert outcome(RULE, and_disks(machine, *more)) == expected


def test_both_are_shown() -> None:
    result = answer(RULE, and_disks(a_linux_machine("vhd"), a_disk("disk1", "vhdx")))
    assert [piece.where for piece in result.evidence if piece.where] == ["disk0.vhd", "disk1.vhdx"]  # type: ignore[union-attr]


def test_a_disk_that_could_not_be_read_makes_it_unknown_unless_proven() -> None:
    unread = a_disk("disk1", None, problems=(a_problem("truncated"),))
    assert outcome(RULE, and_disks(a_linux_machine("vhd"), unread)) == "unknown"
    assert outcome(RULE, and_disks(a_linux_machine("vhd"), unread, a_disk("disk2", "vhdx"))) == "fail"


def test_a_file_that_is_no_image_is_neither() -> None:
    assert outcome(RULE, and_disks(a_linux_machine("vhd"), a_disk("disk1", None))) == "pass"


def test_a_single_disk_is_not_mixed_even_unread() -> None:
    machine = with_disk(a_linux_machine(), format=None, problems=(a_problem("truncated"),))
    assert outcome(RULE, machine) == "not-applicable"
