from __future__ import annotations

from typing import Any

import pytest
from facts_builder import (
    a_linux_machine,
    a_mount,
    a_problem,
    a_volume,
    a_windows_machine,
    and_volumes,
    answer,
    lost,
    outcome,
    unread_table,
    with_disk,
    with_system,
    without_systems,
)
from msgspec.structs import replace

from imgscan.model.disk import Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known, unread
from imgscan.model.machine import MachineFacts
from imgscan.model.system import Reference
from imgscan.model.volume import Volume

RULE = "incomplete-volume-group"
GROUP = {"group": "vg0"}
MISSING = Problem(
    "missing-physical-volume", "missing", "a physical volume is gone", (AtOffset("disk0/p2", 4096, 0, "LVM2"),)
)
TWICE = a_problem("damage", "one physical volume is there twice", "duplicate-physical-volume")
REDUNDANT = a_problem("unclean", "a mirror stands in", "missing-physical-volume")
BESIDE = a_problem("note", "the group is incomplete", "incomplete-volume-group")


def a_logical_volume(name: str = "vg0/root", *problems: Problem, **changes: Any) -> Volume:
    fields: dict[str, Any] = {
        "content": "ext4",
        "kind": "logical-volume",
        "on": ("disk0/p2",),
        "metadata": GROUP,
        "problems": problems,
    }
    return a_volume(name, **{**fields, **changes})


def machine_with(*problems: Problem, root: str = "vg0/root", **changes: Any) -> MachineFacts:
    """A Linux whose root is the logical volume, or another volume."""
    machine = and_volumes(a_linux_machine(), a_logical_volume("vg0/root", *problems, **changes))
    return with_system(machine, root=root)


def test_a_complete_group_passes() -> None:
    result = answer(RULE, machine_with())
    assert result.outcome == "pass"
    assert "vg0" in result.summary


@pytest.mark.parametrize("problem", [MISSING, TWICE], ids=lambda problem: problem.code)
def test_a_root_that_lost_a_part_fails(problem: Problem) -> None:
    result = answer(RULE, machine_with(problem))
    assert result.outcome == "fail"
    assert problem.detail in result.summary
    assert result.evidence == problem.evidence


def test_a_volume_of_which_nothing_was_read_fails_all_the_same() -> None:
    machine = machine_with(MISSING, content=None, signature=unread("missing", "it is gone"), readable=None)
    assert outcome(RULE, machine) == "fail"


@pytest.mark.parametrize("problem", [REDUNDANT, BESIDE], ids=lambda problem: problem.kind)
def test_what_can_do_without_the_missing_part_does_not_fail(problem: Problem) -> None:
    assert outcome(RULE, machine_with(problem)) == "pass"


@pytest.mark.parametrize(
    ("options", "expected"), [("defaults", "fail"), ("defaults,nofail", "pass"), ("noauto", "pass")]
)
def test_a_mount_fails_unless_the_system_starts_without_it(options: str, expected: str) -> None:
    mounts = known((a_mount("/", "disk0/p1"), a_mount("/srv", "vg0/root", options=options)))
    machine = with_system(machine_with(MISSING, root="disk0/p1"), mounts=mounts)
    assert outcome(RULE, machine) == expected


def test_what_the_boot_loader_refers_to_is_needed() -> None:
    references = known((Reference(role="boot", source="x", volume="vg0/root"),))
    assert outcome(RULE, with_system(machine_with(MISSING, root="disk0/p1"), references=references)) == "fail"


@pytest.mark.parametrize("fact", ["mounts", "references"])
def test_unread_mounts_decide_nothing(fact: str) -> None:
    changes: dict[str, Any] = {fact: lost()}
    assert outcome(RULE, with_system(machine_with(MISSING, root="disk0/p1"), **changes)) == "unknown"
    assert outcome(RULE, with_system(machine_with(root="disk0/p1"), **changes)) == "pass"


def test_an_unresolved_mount_may_be_the_volume_that_was_lost() -> None:
    lost_volume = a_logical_volume(
        "vg0/data", MISSING, content=None, signature=unread("missing", "gone"), readable=None
    )
    machine = and_volumes(a_linux_machine(), lost_volume)
    for options, expected in (("defaults", "unknown"), ("nofail", "pass")):
        mounts = known((a_mount("/", "disk0/p1"), replace(a_mount("/srv", None, options=options), source="UUID=1")))
        assert outcome(RULE, with_system(machine, mounts=mounts)) == expected


def test_without_a_system_every_volume_is_needed() -> None:
    assert outcome(RULE, without_systems(machine_with(MISSING))) == "fail"


def test_without_a_group_there_is_nothing_to_ask() -> None:
    assert outcome(RULE, a_linux_machine()) == "not-applicable"
    assert outcome(RULE, a_windows_machine()) == "not-applicable"


def test_what_was_not_read_may_hold_a_group() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"
    member = a_volume("disk0/p9", "LVM2_member", readable=unread("crashed", "it failed"))
    assert outcome(RULE, and_volumes(a_linux_machine(), member)) == "unknown"
    hidden = a_volume("disk0/p9", None, signature=unread("io-error", "it failed"))
    assert outcome(RULE, and_volumes(a_linux_machine(), hidden)) == "unknown"


def test_a_fail_stands_beside_what_was_not_read() -> None:
    machine = machine_with(MISSING)
    hidden = a_volume("disk0/p9", None, signature=unread("io-error", "it failed"))
    assert outcome(RULE, replace(machine, volumes=(hidden, *machine.volumes))) == "fail"
