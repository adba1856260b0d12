from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.model.windows import Update

RULE = "hotfix-missing"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SOFTWARE")


def a_windows(version: str, clock: str, dst: str, *, universal: bool = False, **changes: Any) -> MachineFacts:
    updates = (
        Update(name="KB2922223", state=clock),  # type: ignore[arg-type] # one of the three words
        Update(name="KB2800213", state=dst),  # type: ignore[arg-type] # the same
    )
    facts: dict[str, Any] = {"updates": known(updates, PLACE), "universal_clock": known(universal, PLACE)} | changes
    return a_windows_machine(version=known(version, PLACE), **facts)


@pytest.mark.parametrize(
    ("version", "clock", "dst", "universal", "expected"),
    [
        ("5.2.3790", "absent", "absent", True, "not-applicable"),
        ("6.0.6002", "absent", "installed", True, "pass"),
        ("6.0.6002", "absent", "absent", False, "fail"),
        ("6.1.7601", "absent", "installed", False, "pass"),
        ("6.1.7601", "absent", "installed", True, "fail"),
        ("6.1.7601", "installed", "installed", True, "pass"),
        ("6.1.7601", "superseded", "superseded", False, "unknown"),
        ("6.1.7601", "absent", "superseded", True, "fail"),
        ("6.2.9200", "absent", "absent", False, "pass"),
        ("6.3.9600", "absent", "absent", True, "fail"),
        ("6.3.9600", "superseded", "absent", True, "unknown"),
        ("10.0.14393", "absent", "absent", True, "not-applicable"),
    ],
)
def test_each_windows(version: str, clock: str, dst: str, universal: bool, expected: str) -> None:
    assert outcome(RULE, a_windows(version, clock, dst, universal=universal)) == expected


def test_it_names_what_is_missing() -> None:
    assert answer(RULE, a_windows("6.1.7601", "absent", "absent")).summary == (
        "the Windows on disk0/p2 lacks KB2800213"
    )


def test_what_was_not_read() -> None:
    assert outcome(RULE, a_windows_machine(version=lost())) == "unknown"
    assert outcome(RULE, a_windows("6.1.7601", "absent", "absent", updates=lost())) == "unknown"
    assert outcome(RULE, a_windows("6.1.7601", "absent", "absent", universal_clock=lost())) == "unknown"
    assert outcome(RULE, a_windows("6.0.6002", "absent", "installed", universal_clock=lost())) == "pass"
    assert outcome(RULE, a_windows("6.1.7601", "installed", "installed", updates=known((), PLACE))) == "unknown"
