from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts

RULE = "unsupported-kernel"
RELEASE = AtPath("disk0/p1", "/etc/os-release", 3)
IMAGE = AtPath("disk0/p1", "/boot/vmlinuz")


def a_system(name: str, version: str, kernel: str | None) -> MachineFacts:
    """Return a system of that release; SUSE's service pack stands behind the point."""
    pack = version.partition(".")[2] if name == "sles" else ""
    return a_linux_machine(
        id=known(name, RELEASE),
        version=known(version, RELEASE),
        service_pack=known(f"SP{pack}" if pack else None, RELEASE),
        kernel=known(kernel, IMAGE),
    )


@pytest.mark.parametrize(
    ("version", "kernel", "expected"),
    [
        ("11.1", "2.6.32.12-0.7-default", "pass"),
        ("11.1", "2.6.32.12-0.7", "pass"),
        ("11.1", "2.6.32.12-0.7-xen", "pass"),
        ("11.1", "2.6.32.12-0.6-default", "fail"),
        ("11.1", "2.6.32.12-0.70-default", "fail"),
        ("11.1", "2.6.32.13-0.4-default", "fail"),
        ("11.2", "3.0.13-0.27-default", "pass"),
        ("11.2", "3.0.13-0.9-default", "fail"),
        ("11.2", "2.6.32.12-0.7-default", "fail"),  # that of another service pack
        ("11.3", "3.0.76-0.11-default", "pass"),
        ("11.3", "3.0.101-0.8-default", "pass"),
        ("11.3", "3.0.101-0.15-default", "pass"),
        ("11.3", "3.0.101-0.15.1-default", "fail"),
        ("11.3", "3.0.101-0.47.106-default", "fail"),
        ("11.4", "3.0.101-63-default", "pass"),
        ("11.4", "3.0.101-63-pae", "pass"),
        ("11.4", "3.0.101-108.129-default", "fail"),
        ("12", "3.12.28-4-default", "pass"),
        ("12", "3.12.28-3-default", "fail"),
        ("12", "3.12.28-40-default", "fail"),
        ("12.1", "3.12.49-11-default", "pass"),
        ("12.1", "3.12.74-60.64.40-default", "fail"),
        ("12.2", "4.4-default", "pass"),
        ("12.2", "4.4.21-69-default", "pass"),
        ("12.2", "4.40.1-1-default", "fail"),
        ("12.2", "4.3.9-1-default", "fail"),
        ("12.2", "4.12.14-94.41-default", "fail"),
        ("12.3", "4.4.73-5-default", "pass"),
        ("12.3", "4.4.180-94.164-default", "pass"),
    ],
)
def test_the_kernels_of_suse(version: str, kernel: str, expected: str) -> None:
    assert outcome(RULE, a_system("sles", version, kernel)) == expected


@pytest.mark.parametrize(
    ("version", "kernel", "expected"),
    [
        ("5.11", "2.6.39-400.17.1.el5uek", "pass"),
        ("5.10", "2.6.32-400.26.1.el5uek", "pass"),
        ("5.11", "2.6.18-398.el5", "fail"),
        ("5.11", "2.6.39-400.17.1.el6uek", "fail"),
        ("6.10", "2.6.32-754.el6.x86_64", "pass"),
        ("6.1", "2.6.32-131.0.15.el6.x86_64", "pass"),
        ("6.1", "2.6.32-100.34.1.el6uek.x86_64", "fail"),  # that version only as RHEL-compatible kernel
        ("6.4", "2.6.39-400.17.1.el6uek.x86_64", "fail"),
        ("6.6", "3.8.13-44.1.1.el6uek.x86_64", "pass"),
        ("6.10", "4.1.12-124.16.4.el6uek.x86_64", "pass"),
        ("6.10", "4.1.12-124.16.4.el6.x86_64", "fail"),  # and those only as UEK
        ("6.10", "4.14.35-1818.3.3.el7uek.x86_64", "fail"),
        ("7.0", "3.10.0-123.el7.x86_64", "pass"),
        ("7.6", "3.10.0-957.el7.x86_64", "pass"),
        ("7.6", "3.10.1-957.el7.x86_64", "fail"),
        ("7.0", "3.8.13-35.3.1.el7uek.x86_64", "pass"),
        ("7.3", "4.1.12-61.1.18.el7uek.x86_64", "pass"),
        ("7.6", "4.14.35-1818.3.3.el7uek.x86_64", "pass"),
        ("7.6", "5.4.17-2011.7.4.el7uek.x86_64", "fail"),
        ("7.6", "4.14.350-1.el7uek.x86_64", "fail"),
        ("7.6", "4.14.35-own", "fail"),
    ],
)
def test_the_kernels_of_oracle(version: str, kernel: str, expected: str) -> None:
    assert outcome(RULE, a_system("ol", version, kernel)) == expected


def test_it_says_the_kernel_and_the_image() -> None:
    said = answer(RULE, a_system("sles", "11.4", "3.0.101-108-default"))
    assert "3.0.101-108-default, not 3.0.101-63" in said.summary
    assert said.evidence[0] == IMAGE


@pytest.mark.parametrize(
    ("name", "version"),
    [("debian", "8.0"), ("ubuntu", "16.04"), ("rhel", "7.6"), ("centos", "6.6"), ("fedora", "20"), ("arch", "1")],
)
def test_the_list_names_kernels_of_two_distributions_only(name: str, version: str) -> None:
    assert outcome(RULE, a_system(name, version, "1.2.3")) == "not-applicable"


def test_a_release_that_is_not_listed_has_no_kernels() -> None:
    assert outcome(RULE, a_system("sles", "12.5", "4.12.14-120-default")) == "not-applicable"
    assert outcome(RULE, a_system("ol", "8.1", "4.18.0-147.el8.x86_64")) == "not-applicable"


def test_what_was_not_read_is_left_open() -> None:
    assert outcome(RULE, a_system("sles", "11.4", None)) == "unknown"
    assert outcome(RULE, a_system("ol", "7", "3.10.0-957.el7.x86_64")) == "unknown"
    assert outcome(RULE, a_linux_machine(id=lost())) == "unknown"
    for kernel in (lost(), None):
        machine = a_linux_machine(id=known("ol", RELEASE), version=known("7.6", RELEASE), kernel=kernel)
        assert outcome(RULE, machine) == "unknown"
    machine = a_linux_machine(id=known("sles", RELEASE), version=known("11.4", RELEASE), service_pack=lost())
    assert outcome(RULE, machine) == "unknown"
    assert outcome(RULE, a_linux_machine(version=lost(), kernel=lost())) == "not-applicable"
