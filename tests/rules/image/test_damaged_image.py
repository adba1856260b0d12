from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, a_problem, and_disks, answer, outcome, unread_table, with_disk

RULE = "damaged-image"


def test_a_sound_image_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


@pytest.mark.parametrize("kind", ["damage", "truncated"])
def test_proven_damage_fails_while_something_is_readable(kind: str) -> None:
    problem = a_problem(kind, "the footer's checksum is wrong")  # type: ignore[arg-type]
    result = answer(RULE, with_disk(a_linux_machine(), problems=(problem,)))
    assert result.outcome == "fail"
    assert "footer's checksum" in result.summary
    assert problem.evidence[0] in result.evidence


@pytest.mark.parametrize("kind", ["damage", "truncated"])
def test_it_is_unknown_when_nothing_is_readable(kind: str) -> None:
    problem = a_problem(kind)  # type: ignore[arg-type]
    assert outcome(RULE, with_disk(a_linux_machine(), problems=(problem,), **unread_table())) == "unknown"


@pytest.mark.parametrize("kind", ["missing", "refused", "unsupported", "encrypted", "io-error", "changed"])
def test_a_part_that_was_not_checked_makes_it_unknown(kind: str) -> None:
    problem = a_problem(kind)  # type: ignore[arg-type]
    assert outcome(RULE, with_disk(a_linux_machine(), problems=(problem,))) == "unknown"


@pytest.mark.parametrize("kind", ["note", "unclean"])
def test_what_is_no_damage_passes(kind: str) -> None:
    problem = a_problem(kind)  # type: ignore[arg-type]
    assert outcome(RULE, with_disk(a_linux_machine(), problems=(problem,))) == "pass"


def test_an_unrecognised_file_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), format=None)) == "unknown"


def test_an_image_of_which_no_data_was_read_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"


def test_damage_of_one_disk_stands_beside_an_unread_one() -> None:
    machine = with_disk(a_linux_machine(), problems=(a_problem("refused"),))
    assert outcome(RULE, and_disks(machine, a_disk("disk1", problems=(a_problem("damage"),)))) == "fail"
