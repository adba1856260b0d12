from __future__ import annotations

import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_problem,
    and_disks,
    answer,
    gpt,
    no_table,
    outcome,
    unread_table,
    with_disk,
    with_table,
)

from imgscan.model.fact import known

RULE = "damaged-partition-table"


def test_a_sound_table_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


def test_a_pass_has_its_place_also_from_facts_without_any() -> None:
    machine = with_disk(a_linux_machine(), partitioning=known("mbr"))
    assert answer(RULE, machine).outcome == "pass"
    assert answer("efi-partition-present", machine).outcome == "pass"  # `answer` asks for evidence


def test_damage_fails_with_its_place() -> None:
    problem = a_problem("damage", "disk0/p2 ends beyond the end of the disk")
    result = answer(RULE, with_table(a_linux_machine(), problems=(problem,)))
    assert result.outcome == "fail"
    assert "beyond the end" in result.summary
    assert result.evidence == problem.evidence


def test_a_damaged_gpt_of_a_data_disk_fails_too() -> None:
    data = a_disk("disk1", **gpt("disk1", problems=(a_problem("damage"),)))
    assert outcome(RULE, and_disks(a_linux_machine(), data)) == "fail"


def test_notes_do_not_fail() -> None:
    assert outcome(RULE, with_table(a_linux_machine(), problems=(a_problem("note"),))) == "pass"


@pytest.mark.parametrize("kind", ["truncated", "missing", "refused", "unsupported", "io-error", "changed"])
def test_a_part_that_could_not_be_read_is_unknown(kind: str) -> None:
    problem = a_problem(kind)  # type: ignore[arg-type]
    assert outcome(RULE, with_table(a_linux_machine(), problems=(problem,))) == "unknown"


def test_an_unread_table_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"


def test_no_table_has_nothing_to_damage() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **no_table())) == "not-applicable"


def test_damage_is_told_also_when_no_table_remained() -> None:
    machine = with_table(with_disk(a_linux_machine(), **no_table()), problems=(a_problem("damage"),))
    assert outcome(RULE, machine) == "fail"
