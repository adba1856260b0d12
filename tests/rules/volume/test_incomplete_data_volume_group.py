from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_mount, a_problem, a_volume, and_volumes, answer, lost, outcome, with_system

from imgscan.model.disk import Problem
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts

RULE = "incomplete-data-volume-group"
MISSING = a_problem("missing", "a physical volume is gone", "missing-physical-volume")
TWICE = a_problem("damage", "one physical volume is there twice", "duplicate-physical-volume")
REDUNDANT = a_problem("unclean", "a mirror stands in", "missing-physical-volume")
BESIDE = a_problem("note", "the group is incomplete", "incomplete-volume-group")
OLD = a_problem("note", "a copy is old", "lvm-metadata-old")


def machine_with(*problems: Problem) -> MachineFacts:
    """A Linux with a logical volume that it does not mount."""
    volume = a_volume("vg0/data", "ext4", kind="logical-volume", metadata={"group": "vg0"}, problems=problems)
    return and_volumes(a_linux_machine(), volume)


def test_a_complete_group_passes() -> None:
    assert outcome(RULE, machine_with()) == "pass"
    assert outcome(RULE, machine_with(OLD)) == "pass"


@pytest.mark.parametrize("problem", [MISSING, TWICE, REDUNDANT, BESIDE], ids=lambda problem: problem.kind)
def test_a_volume_that_no_system_needs_fails(problem: Problem) -> None:
    result = answer(RULE, machine_with(problem))
    assert result.outcome == "fail"
    assert problem.detail in result.summary


def test_a_needed_volume_is_left_to_the_other_rule() -> None:
    mounted = known((a_mount("/", "disk0/p1"), a_mount("/srv", "vg0/data")))
    assert outcome(RULE, with_system(machine_with(MISSING), mounts=mounted)) == "not-applicable"
    assert outcome(RULE, with_system(machine_with(REDUNDANT), mounts=mounted)) == "fail"


def test_unread_mounts_decide_nothing() -> None:
    assert outcome(RULE, with_system(machine_with(MISSING), mounts=lost())) == "unknown"


def test_without_a_group_there_is_nothing_to_ask() -> None:
    assert outcome(RULE, a_linux_machine()) == "not-applicable"
