from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest
from memory_filesystem import Link, MemoryFileSystem
from msgspec.structs import astuple

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError
from imgscan.guests.linux.architecture import architecture, read_architecture
from imgscan.guests.linux.hostname import read_hostname
from imgscan.guests.linux.release import read_release
from imgscan.model.evidence import AtPath

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'

# The files as the distributions ship them; the expected names are those of today's os-release.
RELEASES: list[tuple[dict[str, str | Link], str | None, str | None, str | None]] = [
    ({"etc/os-release": DEBIAN, "etc/debian_version": "12.11\n"}, "debian", "12.11", "Debian GNU/Linux 12 (bookworm)"),
    ({"etc/os-release": DEBIAN, "etc/debian_version": "trixie/sid\n"}, "debian", "12", None),
    ({"usr/lib/os-release": DEBIAN, "etc/os-release": Link("../usr/lib/os-release")}, "debian", "12", None),
    ({"etc/debian_version": "6.0.10\n"}, "debian", "6.0.10", "Debian GNU/Linux 6.0.10"),
    ({"etc/debian_version": "lenny/sid\n"}, "debian", None, "Debian GNU/Linux lenny/sid"),
    (
        {
            "etc/lsb-release": 'DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_DESCRIPTION="Ubuntu 10.04.4 LTS"\n',
            "etc/debian_version": "squeeze/sid\n",
        },
        "ubuntu",
        "10.04",
        "Ubuntu 10.04.4 LTS",
    ),
    (
        {"etc/redhat-release": "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"},
        "rhel",
        "5.11",
        "Red Hat Enterprise Linux Server release 5.11 (Tikanga)",
    ),
    ({"etc/redhat-release": "Red Hat Enterprise Linux Server release 6.0 (Santiago)\n"}, "rhel", "6.0", None),
    ({"etc/redhat-release": "Red Hat Enterprise Linux ES release 4 (Nahant Update 9)\n"}, "rhel", "4.9", None),
    ({"etc/redhat-release": "Red Hat Enterprise Linux Server release 5 (Tikanga)\n"}, "rhel", "5.0", None),
    ({"etc/redhat-release": "Red Hat Enterprise Linux Client release 5.1 (Tikanga)\n"}, "rhel", "5.1", None),
    (
        {
            "etc/os-release": 'NAME="Red Hat Enterprise Linux Server"\nVERSION="7.6 (Maipo)"\nID="rhel"\n'
            'VARIANT="Server"\nVARIANT_ID="server"\nVERSION_ID="7.6"\n',
            "etc/redhat-release": "Red Hat Enterprise Linux Server release 7.6 (Maipo)\n",
        },
        "rhel",
        "7.6",
        "Red Hat Enterprise Linux Server",
    ),
    ({"etc/redhat-release": "CentOS release 5 (Final)\n"}, "centos", "5.0", None),
    ({"etc/redhat-release": "CentOS Linux release 6.0 (Final)\n"}, "centos", "6.0", None),
    ({"etc/redhat-release": "CentOS release 5.11 (Final)\n"}, "centos", "5.11", None),
    (
        {
            "etc/os-release": 'NAME="CentOS Linux"\nID="centos"\nVERSION_ID="7"\n',
            "etc/redhat-release": "CentOS Linux release 7.0.1406 (Core)\n",
        },
        "centos",
        "7.0.1406",
        "CentOS Linux",
    ),
    (
        {
            "etc/os-release": 'NAME="CentOS Stream"\nID="centos"\nVERSION_ID="8"\n',
            "etc/centos-release": "CentOS Stream release 8\n",
        },
        "centos",
        "8",
        "CentOS Stream",
    ),
    (
        {
            "etc/os-release": 'NAME="Oracle Linux Server"\nVERSION="7.6"\nID="ol"\nVERSION_ID="7.6"\n',
            "etc/oracle-release": "Oracle Linux Server release 7.6\n",
            "etc/redhat-release": "Red Hat Enterprise Linux Server release 7.6 (Maipo)\n",
        },
        "ol",
        "7.6",
        None,
    ),
    (
        {"etc/enterprise-release": "Enterprise Linux Enterprise Linux Server release 5 (Carthage)\n"},
        "ol",
        "5.0",
        None,
    ),
    (
        {
            "etc/os-release": 'NAME="Ubuntu"\nVERSION="16.04.7 LTS (Xenial Xerus)"\nID=ubuntu\nID_LIKE=debian\n'
            'PRETTY_NAME="Ubuntu 16.04.7 LTS"\nVERSION_ID="16.04"\n',
            "etc/debian_version": "stretch/sid\n",
        },
        "ubuntu",
        "16.04",
        "Ubuntu 16.04.7 LTS",
    ),
    (
        {
            "etc/os-release": 'NAME="CentOS Linux"\nVERSION="7 (Core)"\nID="centos"\nVERSION_ID="7"\n',
            "etc/redhat-release": "Derived from Red Hat Enterprise Linux 7.6 (Source)\n",
        },
        "centos",
        "7",
        "CentOS Linux",
    ),
    ({"etc/redhat-release": "Derived from Red Hat Enterprise Linux 7.6 (Source)\n"}, None, None, None),
    ({"etc/os-release": "VERSION_ID=8\n", "etc/redhat-release": "CentOS release 6.5 (Final)\n"}, "centos", "6.5", None),
    ({"etc/debian_version": "8.0\n"}, "debian", "8.0", "Debian GNU/Linux 8.0"),
    (
        {
            "etc/os-release": 'NAME="CentOS Linux"\nVERSION="7 (Core)"\nID="centos"\nVERSION_ID="7"\n',
            "etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n",
        },
        "centos",
        "7.9.2009",
        "CentOS Linux",
    ),
    (
        {
            "etc/oracle-release": "Oracle Linux Server release 6.10\n",
            "etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n",
        },
        "ol",
        "6.10",
        "Oracle Linux Server release 6.10",
    ),
    (
        {
            "etc/enterprise-release": "Enterprise Linux Enterprise Linux Server release 5.11 (Carthage)\n",
            "etc/redhat-release": "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n",
        },
        "ol",
        "5.11",
        None,
    ),
    ({"etc/fedora-release": "Fedora release 16 (Verne)\n"}, "fedora", "16", None),
    ({"etc/redhat-release": "Scientific Linux release 6.10 (Carbon)\n"}, "scientific", "6.10", None),
    ({"etc/system-release": "Amazon Linux AMI release 2011.09\n"}, "amzn", "2011.09", None),
    (
        {"etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"},
        "sles",
        "11.4",
        "SUSE Linux Enterprise Server 11 (x86_64)",
    ),
    (
        {"etc/SuSE-release": "SUSE Linux Enterprise Server 10 (i586)\nVERSION = 10\nPATCHLEVEL = 0\n"},
        "sles",
        "10",
        None,
    ),
    ({"etc/SuSE-release": "openSUSE 13.1 (x86_64)\nVERSION = 13.1\nCODENAME = Bottle\n"}, "opensuse", "13.1", None),
    ({"etc/os-release": 'ID="sles"\nVERSION_ID="12.5"\nPRETTY_NAME="SLES 12 SP5"\n'}, "sles", "12.5", "SLES 12 SP5"),
    ({"etc/gentoo-release": "Gentoo Base System release 2.2\n"}, "gentoo", "2.2", None),
    ({"etc/arch-release": ""}, "arch", None, "Arch Linux"),
    ({"etc/alpine-release": "3.18.4\n"}, "alpine", "3.18.4", "Alpine Linux 3.18.4"),
    ({"etc/photon-release": "VMware Photon Linux 1.0\nPHOTON_BUILD_NUMBER=62c543d\n"}, "photon", "1.0", None),
    ({"etc/slackware-version": "Slackware 14.2\n"}, "slackware", "14.2", None),
    ({"etc/os-release": "NAME=Odd\n"}, "linux", None, "Odd"),
    ({"etc/hosts": ""}, None, None, None),
]


@pytest.mark.parametrize(("files", "name", "version", "product"), RELEASES)
def test_release(files: Mapping[str, str | Link], name: str | None, version: str | None, product: str | None) -> None:
    release = read_release(GuestTree({"/": MemoryFileSystem(files)}))
    assert (release.id.get(), release.version.get()) == (name, version)
    if product is not None:
        assert release.product.get() == product


def test_evidence_names_the_file_and_the_line() -> None:
    release = read_release(GuestTree({"/": MemoryFileSystem({"/etc/os-release": DEBIAN})}))
    assert release.id.evidence == (AtPath("disk0/p1", "/etc/os-release", 4),)
    assert release.version.evidence == (AtPath("disk0/p1", "/etc/os-release", 3),)
    assert release.product.evidence == (AtPath("disk0/p1", "/etc/os-release", 1),)


def test_a_file_that_cannot_be_read_leaves_the_others() -> None:
    broken = CorruptStructure("bad block", where="disk0/p1")
    files: dict[str, str | ImageError] = {
        "/etc/os-release": broken,
        "/etc/redhat-release": "CentOS release 6.10 (Final)\n",
    }
    assert read_release(GuestTree({"/": MemoryFileSystem(files)})).version.get() == "6.10"
    alone = read_release(GuestTree({"/": MemoryFileSystem({"/etc/os-release": broken})}))
    assert alone.id.unread == alone.version.unread == "corrupt"


SLES11 = "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = %s\n"
SLES12 = 'NAME="SLES"\nVERSION="12%s"\nVERSION_ID="12%s"\nPRETTY_NAME="SUSE Linux Enterprise Server 12"\nID="sles"\n'


@pytest.mark.parametrize(
    ("files", "service_pack", "line"),
    [
        ({"etc/SuSE-release": SLES11 % "4"}, "SP4", 3),
        ({"etc/SuSE-release": SLES11 % "0"}, None, 3),
        ({"etc/os-release": SLES12 % ("-SP3", ".3")}, "SP3", 3),
        ({"etc/os-release": SLES12 % ("", "")}, None, 3),
        ({"etc/os-release": SLES12 % ("-SP1", ".1"), "etc/SuSE-release": SLES11 % "4"}, "SP1", 3),
        ({"etc/redhat-release": "CentOS release 6.10 (Final)\n"}, None, 1),
        ({"etc/os-release": DEBIAN, "etc/debian_version": "12.3\n"}, None, 4),
    ],
)
def test_service_pack(files: dict[str, str], service_pack: str | None, line: int) -> None:
    fact = read_release(GuestTree({"/": MemoryFileSystem(files)})).service_pack
    assert fact.get() == service_pack
    (evidence,) = fact.evidence
    assert isinstance(evidence, AtPath)
    assert evidence.line == line


@pytest.mark.parametrize(
    "files",
    [
        {"etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\n"},
        {"etc/SuSE-release": SLES11 % "four"},
        {"etc/os-release": "ID=sles\n"},
    ],
)
def test_a_file_that_does_not_say_the_service_pack(files: dict[str, str]) -> None:
    release = read_release(GuestTree({"/": MemoryFileSystem(files)}))
    assert release.id.get() == "sles"
    assert release.service_pack.unread == "missing"


def test_variant() -> None:
    server = 'NAME=Fedora\nVERSION_ID=21\nID=fedora\nVARIANT="Server Edition"\nVARIANT_ID=server\n'
    fact = read_release(GuestTree({"/": MemoryFileSystem({"etc/os-release": server})})).variant
    assert fact.get() == "server"
    assert fact.evidence == (AtPath("disk0/p1", "/etc/os-release", 5),)
    older = read_release(GuestTree({"/": MemoryFileSystem({"etc/os-release": "ID=fedora\nVERSION_ID=20\n"})}))
    assert older.variant.get() is None


def test_a_derivative_is_not_taken_for_what_it_derives_from() -> None:
    """Oracle Linux and Ubuntu have a file in the words of Red Hat and Debian beside their own."""
    broken = CorruptStructure("bad block", where="disk0/p1")
    oracle: dict[str, str | ImageError] = {
        "/etc/oracle-release": broken,
        "/etc/redhat-release": "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n",
    }
    assert read_release(GuestTree({"/": MemoryFileSystem(oracle)})).id.unread == "corrupt"
    ubuntu: dict[str, str | ImageError] = {"/etc/os-release": broken, "/etc/debian_version": "8.0\n"}
    assert read_release(GuestTree({"/": MemoryFileSystem(ubuntu)})).id.unread == "corrupt"


def test_a_file_of_zeros_is_damage() -> None:
    """What a power failure leaves of a file that was being written."""
    release = read_release(GuestTree({"/": MemoryFileSystem({"/etc/os-release": "\0" * 400})}))
    assert {fact.unread for fact in astuple(release)} == {"corrupt"}


def test_hostile_text_is_shown_safely() -> None:
    text = 'ID="a\x1b[31mb"\nVERSION_ID="\u202e1"\nPRETTY_NAME="x'
    release = read_release(GuestTree({"/": MemoryFileSystem({"/etc/os-release": text})}))
    assert release.id.get() == "a\\x1b[31mb"
    assert release.version.get() == "\\u202e1"
    assert release.product.get() == "x"


def elf(bits: int, machine: int, order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(f"{order}HH", 2, machine) + bytes(44)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (elf(64, 62), "x86_64"),
        (elf(32, 3), "x86"),
        (elf(64, 183), "aarch64"),
        (elf(64, 21), "ppc64le"),
        (elf(64, 21, ">"), "ppc64"),
        (elf(64, 22, ">"), "s390x"),
        (elf(64, 999), "elf-machine-999"),
        (b"#!/bin/sh\n" + bytes(64), None),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_architecture_of_a_header(header: bytes, name: str | None) -> None:
    assert architecture(header) == name


def test_architecture_of_the_first_program_that_is_one() -> None:
    files: dict[str, str | bytes] = {"/bin": Link("usr/bin"), "/usr/bin/sh": Link("dash"), "/usr/bin/dash": elf(64, 62)}
    fact = read_architecture(GuestTree({"/": MemoryFileSystem(files)}))
    assert fact.get() == "x86_64"
    assert fact.evidence == (AtPath("disk0/p1", "/usr/bin/dash"),)
    script = read_architecture(GuestTree({"/": MemoryFileSystem({"/bin/sh": "#!x", "/sbin/init": elf(32, 3)})}))
    assert script.get() == "x86"
    assert read_architecture(GuestTree({"/": MemoryFileSystem({"/etc/x": ""})})).get() is None


@pytest.mark.parametrize(
    ("files", "name", "line"),
    [
        ({"/etc/hostname": "# mine\n\n web01 \n"}, "web01", 3),
        ({"/etc/HOSTNAME": "sles11.example.com\n"}, "sles11.example.com", 1),
        ({"/etc/sysconfig/network": 'NETWORKING=yes\nHOSTNAME="rhel5"\n'}, "rhel5", 2),
        ({"/etc/conf.d/hostname": "hostname='gentoo'\n"}, "gentoo", 1),
        ({"/etc/hostname": "\n", "/etc/sysconfig/network": "HOSTNAME=x\n"}, "x", 1),
    ],
)
def test_hostname(files: dict[str, str], name: str, line: int) -> None:
    fact = read_hostname(GuestTree({"/": MemoryFileSystem(files)}))
    assert fact.get() == name
    evidence = fact.evidence[0]
    assert isinstance(evidence, AtPath)
    assert evidence.line == line


def test_no_hostname() -> None:
    assert read_hostname(GuestTree({"/": MemoryFileSystem({"/etc/x": ""})})).get() is None
