from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, a_problem, and_disks, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "rhel5-on-vhdx"
RELEASE = AtPath("disk0/p1", "/etc/redhat-release", 1)


@pytest.mark.parametrize(
    ("format", "id", "version", "expected"),
    [
        ("vhdx", "rhel", "5", "fail"),
        ("vhdx", "rhel", "5.0", "fail"),
        ("vhdx", "rhel", "5.11", "fail"),
        ("vhdx", "rhel", "6.5", "pass"),
        ("vhdx", "rhel", "50", "pass"),
        ("vhdx", "centos", "5.11", "pass"),
        ("vhdx", "ol", "5.11", "pass"),
        ("vhdx", "rhel", None, "unknown"),
        ("vhdx", None, None, "unknown"),
        ("vhd", "rhel", "5.11", "pass"),
        ("vmdk", "rhel", "5.11", "pass"),
    ],
)
def test_each_release_and_format(format: str, id: str | None, version: str | None, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(format, id=known(id, RELEASE), version=known(version, RELEASE))) == expected


def test_one_vhdx_among_the_disks_is_enough() -> None:
    machine = a_linux_machine("vhd", id=known("rhel", RELEASE), version=known("5.11", RELEASE))
    assert outcome(RULE, and_disks(machine, a_disk("disk1", "vhdx"))) == "fail"


def test_unread_is_unknown_only_where_it_decides() -> None:
    assert outcome(RULE, a_linux_machine("vhdx", id=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine("vhdx", id=known("rhel", RELEASE), version=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine("vhdx", version=lost())) == "pass"
    assert outcome(RULE, a_linux_machine("vmdk", id=lost())) == "pass"
    unread = a_disk("disk1", None, problems=(a_problem("truncated"),))
    machine = and_disks(a_linux_machine("vhd", id=known("debian")), unread)
    assert outcome(RULE, machine) == "pass"  # `answer` asks for evidence, which these facts do not give
    machine = a_linux_machine("vhd", id=known("rhel", RELEASE), version=known("5.11", RELEASE))
    assert outcome(RULE, and_disks(machine, unread)) == "unknown"
    assert outcome(RULE, and_disks(a_linux_machine("vhd"), unread)) == "pass"
