from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome, use_of

from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.machine import MachineFacts

RULE = "unsupported-operating-system"
RELEASE = AtPath("disk0/p1", "/etc/os-release", 3)


def a_system(
    name: str | None, version: str | None, pack: Fact[str | None] | None = None, variant: Fact[str | None] | None = None
) -> MachineFacts:
    return a_linux_machine(
        id=known(name, RELEASE),
        version=known(version, RELEASE),
        service_pack=pack or known(None, RELEASE),
        variant=variant or known(None, RELEASE),
    )


# Each line of the page's list: what is on it (first and last of every range), and what lies just outside.
LINES = [
    (
        "ubuntu",
        "12.04 12.10 13.04 13.10 14.04 14.10 15.04 16.04 16.10 17.04 18.04 16.04.7",
        "11.10 12.05 15.10 16.05 17.10 18.05 18.10 20.04 8.04 1.04",
    ),
    (
        "rhel",
        "5.1 5.2 5.9 5.10 5.11 6.1 6.9 7.0 7.6 7.6.1",
        "5.0 5.12 4.9 6.0 6.10 7.7 7.9 8 8.0 9.4 51.1",
    ),
    (
        "centos",
        "5.1 5.11 6.1 6.6 7.0 7.0.1406 7.6 7.6.1810",
        "5.0 5.12 6.0 6.7 6.10 7.7.1908 7.9.2009 8 8.3.2011 9",
    ),
    (
        "debian",
        "6.0 6.0.0 6.0.8 7.0 7.0.0 7.1 7.8 7.8.0 8.0 8.0.0",
        "5.0.10 6.0.9 6.0.10 6.1 7.9 7.9.0 7.11 8.1 8.0.1 8.11 9 9.0 12.15 12",
    ),
    ("ol", "5.10 5.11 6.1 6.9 6.10 7.0 7.6", "5.9 5.0 5.12 6.0 6.11 7.7 8 8.10"),
    ("fedora", "19 20", "18 22 39"),
]
RELEASES = [(name, version, "pass") for name, good, _ in LINES for version in good.split()]
RELEASES += [(name, version, "fail") for name, _, bad in LINES for version in bad.split()]


@pytest.mark.parametrize(("name", "version", "expected"), RELEASES)
def test_every_line_of_the_list(name: str, version: str, expected: str) -> None:
    assert outcome(RULE, a_system(name, version)) == expected


@pytest.mark.parametrize(
    ("version", "pack", "expected"),
    [
        ("10.4", "SP4", "fail"),
        ("11", None, "fail"),  # the page has no Enterprise Server 11 without a service pack
        ("11.1", "SP1", "pass"),
        ("11.2", "SP2", "pass"),
        ("11.3", "SP3", "pass"),
        ("11.4", "SP4", "pass"),
        ("11.5", "SP5", "fail"),
        ("12", None, "pass"),
        ("12.1", "SP1", "pass"),
        ("12.2", "SP2", "pass"),
        ("12.3", "SP3", "pass"),
        ("12.4", "SP4", "fail"),
        ("12.5", "SP5", "fail"),
        ("13", None, "fail"),
        ("15", None, "fail"),
        ("15.1", "SP1", "fail"),
        ("11.4", "Service Pack 4", "pass"),
        ("11.4", "four", "unknown"),
    ],
)
def test_the_service_packs_of_suse(version: str, pack: str | None, expected: str) -> None:
    assert outcome(RULE, a_system("sles", version, known(pack, RELEASE))) == expected


@pytest.mark.parametrize(
    ("version", "variant", "expected"),
    [
        ("18", "server", "fail"),
        ("19", None, "pass"),
        ("20", None, "pass"),
        ("21", "server", "pass"),
        ("21", "workstation", "fail"),
        ("21", "cloud", "fail"),
        ("21", None, "unknown"),
        ("22", "server", "fail"),
    ],
)
def test_the_variants_of_fedora(version: str, variant: str | None, expected: str) -> None:
    assert outcome(RULE, a_system("fedora", version, variant=known(variant, RELEASE))) == expected


@pytest.mark.parametrize("name", ["amzn", "almalinux", "rocky", "opensuse", "sled", "scientific", "arch", "raspbian"])
def test_what_has_no_line_needs_no_release(name: str) -> None:
    assert outcome(RULE, a_system(name, None)) == "fail"


@pytest.mark.parametrize(
    ("name", "version"),
    [("debian", "8"), ("debian", "7"), ("centos", "7"), ("centos", "5"), ("rhel", "6"), ("ol", "7"), ("ubuntu", "16")],
)
def test_a_major_release_alone_is_left_open(name: str, version: str) -> None:
    assert outcome(RULE, a_system(name, version)) == "unknown"


@pytest.mark.parametrize("version", [None, "", "rawhide", "sid", "9" * 5000, "\u0668.\u0660"])
def test_what_is_no_release_is_left_open(version: str | None) -> None:
    assert outcome(RULE, a_system("debian", version)) == "unknown"


@pytest.mark.parametrize("version", ["18.4", "18.040", "14.4.5"])
def test_a_month_has_two_digits(version: str) -> None:
    assert outcome(RULE, a_system("ubuntu", version)) == "unknown"


def test_what_was_not_read_is_left_open() -> None:
    assert outcome(RULE, a_linux_machine(id=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(id=known(None, RELEASE))) == "unknown"
    assert outcome(RULE, a_linux_machine(id=known("linux", RELEASE))) == "unknown"
    assert outcome(RULE, a_linux_machine(version=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(service_pack=lost(), variant=lost(), product=lost())) == "pass"
    assert outcome(RULE, a_system("sles", "11.4", lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(id=known("sles"), version=known("11.4"), service_pack=None)) == "unknown"
    assert outcome(RULE, a_system("fedora", "21", variant=lost())) == "unknown"


def test_the_exclusion_has_its_reason() -> None:
    for name in ("rhel", "centos"):
        assert "6.0 lacks required drivers" in answer(RULE, a_system(name, "6.0")).summary


def test_the_answer_says_what_is_listed_and_where_it_was_read() -> None:
    said = answer(RULE, a_system("debian", "12.15"))
    assert "Debian 12.15 on disk0/p1" in said.summary
    assert "listed are 6.0.0 to 6.0.8, 7.0.0 to 7.8.0, 8.0.0" in said.summary
    assert said.evidence == (RELEASE, RELEASE)
    assert (
        "SUSE Linux Enterprise Server 12 SP5" in answer(RULE, a_system("sles", "12.5", known("SP5", RELEASE))).summary
    )


def test_the_list_is_the_page_s() -> None:
    """Every line of the page's list, as it is written there."""
    lines = [
        (line.name, line.service_pack, [str(release) for release in line.releases], [str(k) for k in line.kernels])
        for line in use_of(RULE, "linux").params.systems
    ]
    sles = "SUSE Linux Enterprise Server"
    assert lines == [
        (
            "Ubuntu",
            None,
            ["12.04", "12.10", "13.04", "13.10", "14.04", "14.10", "15.04", "16.04", "16.10", "17.04", "18.04"],
            [],
        ),
        ("Red Hat Enterprise Linux (RHEL)", None, ["5.1 to 5.11", "6.1 to 6.9", "7.0 to 7.6"], []),
        (sles, 1, ["11"], ["2.6.32.12-0.7"]),
        (sles, 2, ["11"], ["3.0.13-0.27"]),
        (sles, 3, ["11"], ["3.0.76-0.11", "3.0.101-0.8", "3.0.101-0.15"]),
        (sles, 4, ["11"], ["3.0.101-63"]),
        (sles, 0, ["12"], ["3.12.28-4"]),
        (sles, 1, ["12"], ["3.12.49-11"]),
        (sles, 2, ["12"], ["4.4"]),
        (sles, 3, ["12"], ["4.4"]),
        ("CentOS", None, ["5.1 to 5.11", "6.1 to 6.6", "7.0 to 7.6"], []),
        ("Debian", None, ["6.0.0 to 6.0.8", "7.0.0 to 7.8.0", "8.0.0"], []),
        ("Oracle Linux", None, ["5.10 to 5.11"], ["el5uek"]),
        ("Oracle Linux", None, ["6.1 to 6.10"], ["RHEL-compatible 2.6.32", "UEK 3.8.13", "UEK 4.1.12"]),
        (
            "Oracle Linux",
            None,
            ["7.0 to 7.6"],
            ["RHEL compatible 3.10.0", "UEK 3.8.13", "UEK 4.1.12", "UEK 4.14.35"],
        ),
        ("Fedora Server", None, ["19 to 21"], []),
    ]
    assert {bits for line in use_of(RULE, "linux").params.systems for bits in line.bits} == {64}
