# ruff: noqa: S104 - addresses of sshd_config
from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome, with_system

from imgscan.model.access import ServiceStart, SshSettings
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "ssh-disabled"
UNIT = AtPath("disk0/p1", "/etc/systemd/system/ssh.service")


def test_a_server_that_starts_passes() -> None:
    result = answer(RULE, a_linux_machine())
    assert result.outcome == "pass"
    assert "port 22" in result.summary


def test_each_fault_fails_and_is_shown() -> None:
    masked = ServiceStart(
        starts=False, manager="systemd", unit="ssh.service", detail="ssh.service is masked", evidence=(UNIT,)
    )
    result = answer(RULE, a_linux_machine(ssh_start=known(masked, UNIT)))
    assert (result.outcome, result.evidence[0]) == ("fail", UNIT)
    assert "masked" in result.summary
    assert outcome(RULE, a_linux_machine(ssh_server=known(None))) == "fail"
    assert outcome(RULE, a_linux_machine(ssh_settings=known(None))) == "fail"


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ((), "pass"),
        (("0.0.0.0",), "pass"),
        (("::",), "fail"),  # of IPv6 only: sshd(8) opens a socket for each family
        (("0:0:0::0", "127.0.0.1"), "fail"),
        (("::", "0.0.0.0"), "pass"),
        (("127.0.0.1",), "fail"),
        (("::1", "localhost"), "fail"),
        (("192.168.1.5",), "fail"),
        (("fe80::1%eth0",), "fail"),
        (("192.168.1.5", "0.0.0.0"), "pass"),
        (("localhost4",), "fail"),
        (("web01",), "unknown"),
        (("web01", "0.0.0.0"), "pass"),
    ],
)
def test_where_it_listens(addresses: tuple[str, ...], expected: str) -> None:
    settings = SshSettings(listen_addresses=addresses)
    assert outcome(RULE, a_linux_machine(ssh_settings=known(settings))) == expected


@pytest.mark.parametrize("fact", ["ssh_server", "ssh_start", "ssh_settings"])
def test_what_was_not_read_is_unknown(fact: str) -> None:
    assert outcome(RULE, with_system(a_linux_machine(), 0, **{fact: lost()})) == "unknown"


def test_a_failure_that_is_proven_stands() -> None:
    assert outcome(RULE, a_linux_machine(ssh_server=known(None), ssh_start=lost(), ssh_settings=lost())) == "fail"
