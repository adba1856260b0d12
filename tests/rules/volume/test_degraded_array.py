from __future__ import annotations

from typing import Any

import pytest
from facts_builder import (
    a_linux_machine,
    a_problem,
    a_volume,
    a_windows_machine,
    and_volumes,
    answer,
    outcome,
    unread_table,
    with_disk,
)
from msgspec.structs import replace

from imgscan.model.disk import Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import unread
from imgscan.model.machine import MachineFacts
from imgscan.model.volume import Volume

RULE = "degraded-array"
SUPERBLOCK = AtOffset("disk0/p9", 4096, 256, "MD superblock")


def an_array(*problems: Problem, **changes: Any) -> Volume:
    fields: dict[str, Any] = {
        "content": "ext4",
        "kind": "raid-array",
        "on": ("disk0/p9", "disk1/p1"),
        "metadata": {"level": "raid1", "raid_devices": "2"},
        "problems": problems,
    }
    return a_volume("md/01234567", **{**fields, **changes})


def machine_with(*volumes: Volume) -> MachineFacts:
    return and_volumes(a_linux_machine(), *volumes)


def test_a_whole_array_passes() -> None:
    result = answer(RULE, machine_with(an_array()))
    assert result.outcome == "pass"
    assert "raid1" in result.summary
    assert "2 members" in result.summary


@pytest.mark.parametrize(
    "code",
    [
        "array-degraded",
        "member-missing",
        "array-rebuilding",
        "array-reshaping",
        "event-counts-differ",
        "members-diverged",
        "duplicate-member",
        "superblock-checksum",
    ],
)
def test_an_array_that_lacks_something_fails(code: str) -> None:
    problem = Problem(code, "missing", "1 of 2 members hold all data", (SUPERBLOCK,))
    result = answer(RULE, machine_with(an_array(problem)))
    assert result.outcome == "fail"
    assert problem.detail in result.summary
    assert result.evidence == (SUPERBLOCK,)
    gone = an_array(problem, content=None, signature=unread("missing", "2 of 3 members are not there"), readable=None)
    assert outcome(RULE, machine_with(gone)) == "fail"


@pytest.mark.parametrize("code", ["bad-blocks", "array-journal", "array-not-in-sync"])
def test_other_problems_are_no_degradation(code: str) -> None:
    assert outcome(RULE, machine_with(an_array(a_problem("note", "something", code)))) == "pass"


def test_one_degraded_of_two_fails() -> None:
    whole = an_array()
    other = replace(an_array(a_problem("missing", "half of it", "array-degraded")), name="md/89abcdef")
    result = answer(RULE, machine_with(whole, other))
    assert result.outcome == "fail"
    assert "md/89abcdef" in result.summary
    assert "md/01234567" not in result.summary


def test_without_an_array_there_is_nothing_to_ask() -> None:
    assert outcome(RULE, a_linux_machine()) == "not-applicable"
    assert outcome(RULE, a_windows_machine()) == "not-applicable"


def test_what_was_not_read_may_be_an_array() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"
    member = a_volume("disk0/p9", "linux_raid_member", readable=unread("crashed", "it failed"))
    assert outcome(RULE, machine_with(member)) == "unknown"
    nameless = an_array(metadata={}, content=None, signature=unread("corrupt", "no superblock"), readable=None)
    assert outcome(RULE, machine_with(nameless)) == "unknown"
    hidden = a_volume("disk0/p9", None, signature=unread("io-error", "it failed"))
    assert outcome(RULE, machine_with(hidden)) == "unknown"


def test_a_logical_volume_that_lost_an_image_fails() -> None:
    problem = a_problem("missing", "image 1 of 2 is missing", "degraded-volume")
    volume = a_volume("vg0/root", "ext4", kind="logical-volume", metadata={"group": "vg0"}, problems=(problem,))
    result = answer(RULE, and_volumes(a_linux_machine(), volume))
    assert (result.outcome, result.evidence) == ("fail", problem.evidence)
