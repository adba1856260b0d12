from __future__ import annotations

import pytest
from demo_builder import EXPORT, PACKAGE_LIST
from disk_builder import dpkg_status
from memory_filesystem import MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.guests.linux import dpkg
from imgscan.guests.linux.dpkg import DATABASE, read_dpkg
from imgscan.model.evidence import AtPath
from imgscan.model.package import Package
from imgscan.scan import open_machine

STATUS = """\
Package: libc6
Status: install ok installed
Priority: optional
Architecture: amd64
Multi-Arch: same
Version: 2.19-18
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf 593ad12389ab2b6f952e7ede67b8fbbf
Description: GNU C Library: Shared libraries
 Package: this line is part of the description
 .
 and this one too

Package: nano
Status: deinstall ok config-files
Architecture: amd64
Version: 2.2.6-3

Package: dropbear
Status: install reinstreq half-configured
Architecture: amd64
Version: 2014.65-1

Package: ghost
Status: purge ok not-installed
Architecture: all
"""


def read(text: str) -> tuple[Package, ...] | None:
    return read_dpkg(GuestTree({"/": MemoryFileSystem({DATABASE: text})})).get()


def test_packages_in_each_state() -> None:
    assert read(STATUS) == (
        Package("libc6", "2.19-18", "amd64", "installed", 1),
        Package("nano", "2.2.6-3", "amd64", "config-files", 14),
        Package("dropbear", "2014.65-1", "amd64", "half-configured", 19),
        Package("ghost", None, "all", "not-installed", 24),
    )
    assert read(STATUS.replace("Package: nano", "package:nano")) == read(STATUS)
    assert read("\n\n" + dpkg_status() + "\n\n\n") is not None


def test_a_real_database() -> None:
    """The package list is what dpkg-query printed when the export was made."""
    with open_machine([EXPORT]) as machine:
        fact = read_dpkg(machine.trees[0])
    theirs = [tuple(line.split("\t")[:2]) for line in PACKAGE_LIST.read_text().splitlines()]
    assert sorted((package.name, package.version) for package in fact.get() or ()) == sorted(theirs)
    assert fact.evidence == (AtPath("disk0/p1", DATABASE),)


def test_no_database_and_an_empty_one() -> None:
    assert read_dpkg(GuestTree({"/": MemoryFileSystem({"/etc/hosts": ""})})).get() is None
    assert read("") == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Package: nano\nVersion: 1\n", "corrupt"),
        ("Package: nano\nStatus: install ok\nVersion: 1\n", "corrupt"),
        ("Status: install ok installed\nVersion: 1\n", "corrupt"),
        ("Package: nano\nStatus: install ok installed\n", "corrupt"),
        (STATUS[:130] + "\n\nDescription: half a package\n", "corrupt"),
        (STATUS + "\nsomething else\n", "corrupt"),
        ("\0" * 4096, "corrupt"),
    ],
)
def test_damage_is_not_a_short_list(text: str, why: str) -> None:
    with pytest.raises(ImageError) as raised:
        read(text)
    assert raised.value.why == why


def test_more_packages_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpkg, "PACKAGES", 3)
    with pytest.raises(ImageError) as raised:
        read(STATUS)
    assert raised.value.why == "limit"
