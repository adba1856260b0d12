from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.model.windows import Framework

RULE = "dotnet-missing"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SOFTWARE")


def a_windows(kind: str, version: str, frameworks: str) -> MachineFacts:
    found = tuple(Framework(version=each) for each in frameworks.split())
    return a_windows_machine(
        product_type=known(kind, PLACE), version=known(version, PLACE), frameworks=known(found, PLACE)
    )


@pytest.mark.parametrize(
    ("kind", "version", "frameworks", "expected"),
    [
        ("server", "5.2.3790", "2.0 3.0 3.5", "pass"),
        ("server", "5.2.3790", "2.0", "fail"),
        ("server", "5.2.3790", "", "fail"),
        ("server", "6.0.6002", "4.0", "pass"),  # any later version
        ("server", "6.1.7601", "3.5 4.0", "fail"),
        ("server", "6.1.7601", "3.5 4.5", "pass"),
        ("domain-controller", "6.2.9200", "3.5", "fail"),
        ("server", "10.0.17763", "4.7.2", "pass"),
        ("workstation", "6.1.7601", "3.5", "pass"),
        ("workstation", "6.2.9200", "3.5", "pass"),
        ("workstation", "6.2.9200", "3.0", "fail"),
        ("workstation", "6.3.9600", "3.5", "fail"),
        ("workstation", "10.0.19045", "4.8.1", "pass"),
        ("workstation", "10.0.19045", "new", "unknown"),
    ],
)
def test_each_windows(kind: str, version: str, frameworks: str, expected: str) -> None:
    assert outcome(RULE, a_windows(kind, version, frameworks)) == expected


def test_it_names_what_is_there_and_what_is_asked_for() -> None:
    assert answer(RULE, a_windows("server", "6.1.7601", "3.5")).summary == (
        "Windows Server 2008 R2 on disk0/p2 has .NET Framework 3.5, and not 4.5 or later"
    )


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(frameworks=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(version=lost())) == "unknown"
