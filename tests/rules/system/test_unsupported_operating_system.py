from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome, use_of

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


# --- Windows ---------------------------------------------------------------------------------------------------------

SERVERS = [
    # version, product name, edition, service pack, what is on the list: 64 bit, 32 bit; the name
    ("5.0.2195", "Microsoft Windows 2000", "ServerStandard", "Service Pack 4", "", "Windows 2000 Server"),
    ("5.2.3790", "Microsoft Windows Server 2003", "ServerStandard", "Service Pack 1", "64 32", "Windows Server 2003"),
    ("5.2.3790", "Microsoft Windows Server 2003", "ServerDatacenter", "Service Pack 2", "64 32", "Windows Server 2003"),
    ("5.2.3790", "Microsoft Windows Server 2003", "ServerEnterprise", None, "", "Windows Server 2003"),
    ("5.2.3790", "Microsoft Windows Server 2003", "ServerWeb", "Service Pack 2", "", "Windows Server 2003"),
    ("5.2.3790", "Microsoft Windows Server 2003 R2", "ServerStandard", None, "64 32", "Windows Server 2003 R2"),
    ("6.0.6001", "Windows Server (R) 2008 Standard", "ServerStandard", "x", "64 32", "Windows Server 2008"),
    ("6.0.6002", "Windows Server 2008", "ServerEnterpriseV", "Service Pack 2", "64 32", "Windows Server 2008"),
    ("6.0.6003", "Windows Server 2008", "ServerWeb", "Service Pack 2", "", "Windows Server 2008"),
    ("6.1.7601", "x", "ServerWeb", "Service Pack 1", "64", "Windows Server 2008 R2"),
    ("6.1.7601", "x", "ServerEnterpriseCore", "Service Pack 1", "64", "Windows Server 2008 R2"),
    ("6.1.7600", "x", "ServerFoundation", None, "", "Windows Server 2008 R2"),
    ("6.2.9200", "x", "ServerStandard", None, "64", "Windows Server 2012"),
    ("6.2.9200", "x", "ServerEnterprise", None, "", "Windows Server 2012"),
    ("6.3.9600", "x", "ServerDatacenter", None, "64", "Windows Server 2012 R2"),
    ("6.3.9600", "x", "ServerSolution", None, "", "Windows Server 2012 R2"),
    ("10.0.14393", "x", "ServerStandardEval", None, "64", "Windows Server 2016"),
    ("10.0.16299", "x", "ServerDatacenterACor", None, "64", "Windows Server 1709"),
    ("10.0.17134", "x", "ServerStandardACor", None, "64", "Windows Server 1803"),
    ("10.0.17763", "x", "ServerStandard", None, "64", "Windows Server 2019"),
    ("10.0.17763", "x", "ServerDatacenterCor", None, "64", "Windows Server 2019"),
    ("10.0.17763", "x", "ServerDatacenterACor", None, "", "Windows Server 1809"),
    ("10.0.18362", "x", "ServerStandardACor", None, "", "Windows Server 1903"),
    ("10.0.19042", "x", "ServerStandardACor", None, "", "Windows Server 20H2"),
    ("10.0.20348", "x", "ServerStandard", None, "", "Windows Server 2022"),
    ("10.0.20348", "x", "ServerTurbine", None, "", "Windows Server 2022"),
    ("10.0.26100", "x", "ServerDatacenter", None, "", "Windows Server 2025"),
    ("10.0.29999", "x", "ServerDatacenter", None, "", "Windows Server build 29999"),
]
CLIENTS = [
    ("5.1.2600", "x", "Professional", "Service Pack 3", "", "Windows XP"),
    ("5.2.3790", "x", "Professional", "Service Pack 2", "", "Windows XP x64"),
    ("6.0.6002", "x", "Business", "Service Pack 2", "", "Windows Vista"),
    ("6.1.7601", "x", "HomePremium", "Service Pack 1", "64 32", "Windows 7"),
    ("6.1.7600", "x", "ProfessionalN", None, "64 32", "Windows 7"),
    ("6.1.7601", "x", "UltimateKN", "Service Pack 1", "64 32", "Windows 7"),
    ("6.1.7601", "x", "Starter", "Service Pack 1", "", "Windows 7"),
    ("6.2.9200", "x", "Core", None, "64 32", "Windows 8"),
    ("6.2.9200", "x", "ProfessionalWMC", None, "64 32", "Windows 8"),
    ("6.3.9600", "x", "Core", None, "", "Windows 8.1"),
    ("6.3.9600", "x", "Enterprise", None, "64", "Windows 8.1"),
    ("10.0.10240", "Windows 10 Home", "CoreSingleLanguage", None, "64", "Windows 10"),
    ("10.0.17763", "Windows 10 Enterprise LTSC", "EnterpriseS", None, "64", "Windows 10"),
    ("10.0.19045", "Windows 10 Education", "EducationN", None, "64", "Windows 10"),
    ("10.0.19045", "Windows 10 Enterprise", "ServerRdsh", None, "", "Windows 10"),
    ("10.0.22000", "Windows 10 Pro", "Professional", None, "", "Windows 11"),
    ("10.0.26100", "Windows 10 Pro", "Professional", None, "", "Windows 11"),
]
HIVE = AtPath("disk0/p2", "/Windows/System32/config/SOFTWARE")


def a_windows(kind: str, version: str, product: str, edition: str | None, pack: str | None, bits: int) -> MachineFacts:
    return a_windows_machine(
        version=known(version, HIVE),
        product=known(product, HIVE),
        edition=known(edition, HIVE),
        service_pack=known(pack, HIVE),
        product_type=known(kind, HIVE),
        architecture=known({32: "x86", 64: "x86_64"}[bits], HIVE),
    )


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("kind", "line"),
    [*(("server", line) for line in SERVERS), *(("workstation", line) for line in CLIENTS)],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]} {value[2]}",
)
def test_every_windows(kind: str, line: tuple[str, str, str, str | None, str, str], bits: int) -> None:
    version, product, edition, pack, listed, name = line
    said = answer(RULE, a_windows(kind, version, product, edition, pack, bits))
    assert said.outcome == ("pass" if str(bits) in listed.split() else "fail"), said.summary
    assert said.summary.startswith(name)


def test_a_domain_controller_is_a_server() -> None:
    machine = a_windows("domain-controller", "6.3.9600", "x", "ServerStandard", None, 64)
    assert outcome(RULE, machine) == "pass"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"installation_type": known("Nano Server", HIVE)}, "fail"),
        ({"edition": known("ServerDatacenterNano", HIVE)}, "fail"),
        ({"installation_type": known("Server Core", HIVE)}, "pass"),
        ({"installation_type": known(None, HIVE)}, "pass"),
        ({"installation_type": lost()}, "unknown"),
        ({"version": known("10.0", HIVE)}, "unknown"),
        ({"version": known(None, HIVE)}, "unknown"),
        ({"version": known("new", HIVE)}, "unknown"),
        ({"version": lost()}, "unknown"),
        ({"product_type": known(None, HIVE)}, "unknown"),
        ({"product_type": lost()}, "unknown"),
        ({"product_type": None}, "unknown"),
        ({"edition": known(None, HIVE)}, "unknown"),
        ({"edition": lost()}, "unknown"),
        ({"architecture": lost()}, "unknown"),
        ({"architecture": known(None, HIVE)}, "unknown"),
        ({"architecture": known("aarch64", HIVE)}, "pass"),  # that is unsupported-architecture's question
        ({"product": lost(), "service_pack": lost(), "build": lost()}, "pass"),
        ({"version": known("5.2.3790", HIVE), "service_pack": lost()}, "unknown"),
        ({"version": known("5.2.3790", HIVE), "service_pack": known("Paket", HIVE)}, "unknown"),
        ({"version": known("6.0.6002", HIVE), "architecture": lost()}, "pass"),  # the list has both
    ],
)
def test_what_decides_about_a_windows(changes: dict[str, Any], expected: str) -> None:
    assert outcome(RULE, a_windows_machine(**changes)) == expected


def test_nano_server_is_named() -> None:
    machine = a_windows_machine(version=known("6.3.9600", HIVE), installation_type=known("Nano Server", HIVE))
    assert answer(RULE, machine).summary == (
        "Windows Server 2012 R2 Nano Server on disk0/p2 is not on the list: Nano Server: the list rules it out"
    )


def test_the_list_of_windows_is_the_page_s() -> None:
    lines = [str(line) for line in use_of(RULE, "windows").params.windows]
    assert lines == [
        "windows-server-2003 SP1 or later (Standard, Datacenter, Enterprise; 32 or 64 bit)",
        "windows-server-2003-r2 (Standard, Datacenter, Enterprise; 32 or 64 bit)",
        "windows-server-2008 (Standard, Datacenter, Enterprise; 32 or 64 bit)",
        "windows-server-2008-r2 (Standard, Web Server, Datacenter, Enterprise; 64 bit)",
        *(f"windows-server-{name} (Standard, Datacenter; 64 bit)" for name in ("2012", "2012-r2", "2016", "1709")),
        *(f"windows-server-{name} (Standard, Datacenter; 64 bit)" for name in ("1803", "2019")),
        "windows-7 (Home, Professional, Enterprise, Ultimate; 32 or 64 bit)",
        "windows-8 (Home, Professional, Enterprise; 32 or 64 bit)",
        "windows-8.1 (Professional, Enterprise; 64 bit)",
        "windows-10 (Home, Professional, Enterprise, Education; 64 bit)",
    ]
