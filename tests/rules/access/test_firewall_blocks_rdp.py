from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread

RULE = "firewall-blocks-rdp"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")
ALLOW: Fact[Decision] = known("allow", PLACE)
BLOCK: Fact[Decision] = known("block", PLACE)
OPEN: Fact[Decision] = unread("unsupported", "not known", PLACE)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ((), "pass"),
        ((ALLOW,), "pass"),
        ((BLOCK,), "fail"),
        ((OPEN,), "unknown"),
        ((ALLOW, OPEN), "unknown"),
        ((OPEN, BLOCK), "fail"),
    ],
)
def test_each_decision(decisions: tuple[Fact[Decision], ...], expected: str) -> None:
    firewalls = tuple(Firewall(name=f"firewall {n}", decision=decision) for n, decision in enumerate(decisions))
    assert outcome(RULE, a_windows_machine(firewalls=known(firewalls, PLACE))) == expected


def test_it_names_firewall_and_port() -> None:
    firewalls = (Firewall(name="Windows Firewall", decision=BLOCK, detail="no rule allows the port"),)
    said = answer(RULE, a_windows_machine(firewalls=known(firewalls, PLACE)))
    assert said.summary == (
        "Windows Firewall (no rule allows the port) blocks new connections to Remote Desktop at port 3389"
    )


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(firewalls=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(firewalls=lost(), remote_desktop=lost())) == "unknown"
