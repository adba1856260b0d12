from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome

from imgscan.model.access import Firewall
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known, unread

RULE = "firewall-blocks-ssh"
LINE = AtPath("disk0/p1", "/etc/nftables.conf", 12)
ALLOWS = Firewall(name="ufw", decision=known("allow", LINE))
BLOCKS = Firewall(name="nftables", decision=known("block", LINE), detail="/etc/nftables.conf")
OTHER = Firewall(name="CSF", decision=unread("unsupported", "its rules are not followed", LINE))


@pytest.mark.parametrize(
    ("firewalls", "expected"),
    [
        ((), "pass"),
        ((ALLOWS,), "pass"),
        ((BLOCKS,), "fail"),
        ((OTHER,), "unknown"),
        ((ALLOWS, OTHER), "unknown"),
        ((OTHER, BLOCKS), "fail"),
        ((ALLOWS, BLOCKS), "fail"),
    ],
)
def test_each_firewall(firewalls: tuple[Firewall, ...], expected: str) -> None:
    assert outcome(RULE, a_linux_machine(firewalls=known(firewalls))) == expected


def test_the_line_and_the_name_are_shown() -> None:
    result = answer(RULE, a_linux_machine(firewalls=known((BLOCKS,))))
    assert result.evidence == (LINE,)
    assert result.summary == "nftables (/etc/nftables.conf) blocks new connections to the SSH server"
    assert answer(RULE, a_linux_machine(firewalls=known((OTHER,)))).summary == "CSF: its rules are not followed"


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, a_linux_machine(firewalls=lost())) == "unknown"
