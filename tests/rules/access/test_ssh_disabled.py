# ruff: noqa: S104 - addresses of sshd_config
from __future__ import annotations

import pytest
from facts_builder import a_kernel, a_linux_machine, answer, lost, outcome, with_system

from imgscan.model.access import ServiceStart, SshSettings
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.system import MenuEntry

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


MENU = AtPath("disk0/p1", "/boot/grub/grub.cfg", 117)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("root=/dev/sda1 ro quiet", "pass"),
        ("ro systemd.unit=rescue.target", "fail"),
        ("ro systemd.unit=rescue.target systemd.unit=multi-user.target", "pass"),
        ("ro single 3", "pass"),
        ("ro 3 single", "fail"),
        ("ro emergency", "fail"),
        ("ro -- 1", "fail"),
        ("ro systemd.unit=own.target", "unknown"),
        ("ro init=/bin/sh", "fail"),
        ("ro init=/bin/sh init=/lib/systemd/systemd", "pass"),
        ("ro init=/sbin/own", "unknown"),
        ("ro systemd.mask=ssh", "fail"),
        ("ro systemd.mask=ssh.service", "fail"),
        ("ro systemd.mask=sshd.service", "unknown"),
        ("ro systemd.mask=multi-user.target", "unknown"),
        ("ro systemd.mask=snapd.service rd.systemd.unit=own.target", "pass"),
        ("ro rd.break=pre-mount", "unknown"),
    ],
)
def test_the_command_line_of_the_default_entry(arguments: str, expected: str) -> None:
    machine = a_linux_machine(default_kernel=known(a_kernel(arguments=arguments, evidence=(MENU,))))
    result = answer(RULE, machine)
    assert result.outcome == expected
    if expected != "pass":
        assert result.evidence == (MENU,)
    entry = MenuEntry(title="x", kind="own", default=True, arguments=arguments, evidence=(MENU,))
    unread_kernel = a_linux_machine(default_kernel=lost(), menu=known((entry,)))
    assert outcome(RULE, unread_kernel) == expected


def test_other_init_systems_and_their_runlevels() -> None:
    start = ServiceStart(starts=True, manager="sysvinit", unit="S55sshd", detail="S55sshd starts it", evidence=(UNIT,))
    for arguments, expected in (("ro S", "fail"), ("ro 3", "unknown"), ("ro systemd.unit=rescue.target", "pass")):
        kernel = known(a_kernel(arguments=arguments))
        assert outcome(RULE, a_linux_machine(ssh_start=known(start, UNIT), default_kernel=kernel)) == expected


def test_a_command_line_that_was_not_read_is_unknown() -> None:
    assert outcome(RULE, a_linux_machine(default_kernel=lost(), menu=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=known(None))) == "pass"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SshSettings(deny_users=("*",)), "fail"),
        (SshSettings(deny_users=("root", "*")), "fail"),
        (SshSettings(deny_groups=("*",)), "fail"),
        (SshSettings(allow_users=("none",)), "unknown"),
        (SshSettings(allow_users=("none", "alice")), "pass"),
        (SshSettings(deny_users=("root",)), "pass"),
    ],
)
def test_nobody_may_log_in(settings: SshSettings, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(ssh_settings=known(settings))) == expected
