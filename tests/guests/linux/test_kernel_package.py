"""Who owns the default kernel: dpkg's lists, and rpm's databases in each of their forms."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from disk_builder import KERNEL, dpkg_status
from memory_filesystem import Content, MemoryFileSystem
from rpm_builder import berkeley_database, header, kernel_database, ndb_database, sqlite_database
from tools import require_tool, requires_tool

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat
from imgscan.guests.linux.kernel_package import read_kernel_package, read_packages
from imgscan.guests.linux.rpm_database import find_rpm_database
from imgscan.layouts.rpm_header import RpmHeader
from imgscan.model.evidence import AtPath
from imgscan.model.kernel_package import KernelPackage
from imgscan.model.linux_boot import DefaultKernel

STATUS, LIST = "/var/lib/dpkg/status", f"/var/lib/dpkg/info/linux-image-{KERNEL}.list"


def read(files: Mapping[str, Content], version: str = KERNEL, path: str = "") -> KernelPackage | None:
    kernel = DefaultKernel(path=path or f"/boot/vmlinuz-{version}", volume="disk0/p1", version=version)
    return read_kernel_package(GuestTree({"/": MemoryFileSystem(files)}), kernel).get()


def test_the_owner_by_dpkg_with_its_line() -> None:
    files = {
        STATUS: dpkg_status(),
        LIST: f"/.\n/boot\n/boot/vmlinuz-{KERNEL}\n",
        "/var/lib/dpkg/info/zlib1g.list": "/x",
    }
    kernel = DefaultKernel(path=f"/boot/vmlinuz-{KERNEL}", volume="disk0/p1", version=KERNEL)
    fact = read_kernel_package(GuestTree({"/": MemoryFileSystem(files)}), kernel)
    assert fact.get() == KernelPackage(
        manager="dpkg",
        file=f"/boot/vmlinuz-{KERNEL}",
        name=f"linux-image-{KERNEL}",
        version="3.16.7-ckt9-3~deb8u1",
        architecture="amd64",
        vendor="Debian Kernel Team <debian-kernel@lists.debian.org>",
    )
    line = dpkg_status().split("\n").index(f"Package: linux-image-{KERNEL}") + 1
    assert fact.evidence == (AtPath("disk0/p1", LIST), AtPath("disk0/p1", STATUS, line))


def test_lists_of_other_names() -> None:
    """Ubuntu's unsigned kernels; a package that has a kernel of the same name elsewhere."""
    named = {STATUS: dpkg_status(), f"/var/lib/dpkg/info/linux-image-unsigned-{KERNEL}.list": f"/boot/vmlinuz-{KERNEL}"}
    found = read(named)
    assert found is not None
    assert found.name == f"linux-image-unsigned-{KERNEL}"
    other = {STATUS: dpkg_status(), LIST: f"/usr/share/vmlinuz-{KERNEL}\n/boot/vmlinuz-{KERNEL}.old"}
    assert read(other) == KernelPackage(manager="dpkg", file=f"/boot/vmlinuz-{KERNEL}")
    assert read({STATUS: dpkg_status()}) == KernelPackage(manager="dpkg", file=f"/boot/vmlinuz-{KERNEL}")


def test_no_database() -> None:
    assert read({"/etc/x": ""}) is None


# --- rpm -------------------------------------------------------------------------------------------------------------

EL9 = "5.14.0-284.el9.x86_64"
SPEC = f"""\
Name: kernel
Version: 5.14.0
Release: 284.el9
Summary: x
License: GPL
Vendor: Red Hat, Inc.
%description
x
%package core
Summary: x
%description core
x
%package modules
Summary: x
%description modules
x
%install
mkdir -p %{{buildroot}}/boot %{{buildroot}}/lib/modules/{EL9} %{{buildroot}}/usr/share/k
echo a > %{{buildroot}}/boot/vmlinuz-{EL9}
echo a > %{{buildroot}}/lib/modules/{EL9}/vmlinuz
for i in $(seq 1 400); do echo > %{{buildroot}}/lib/modules/{EL9}/module-with-a-long-name-$i.ko; done
echo > %{{buildroot}}/usr/share/k/f
%files
/usr/share/k/f
%files core
%ghost /boot/vmlinuz-{EL9}
/lib/modules/{EL9}/vmlinuz
%files modules
/lib/modules/{EL9}/*.ko
"""
REAL = requires_tool("rpmbuild", "rpm", "db5.3_load", "db5.3_dump")


@cache
def real_database() -> bytes:
    """Return rpmdb.sqlite that rpm wrote itself when it installed three packages."""
    with TemporaryDirectory() as name:
        top = Path(name)
        (top / "k.spec").write_text(SPEC)
        define = ["--define", f"_topdir {top}"]
        build = [require_tool("rpmbuild"), *define, "--target", "x86_64", "-bb", "k.spec"]
        subprocess.run(build, cwd=top, check=True, capture_output=True)
        packages = [str(path) for path in top.glob("RPMS/*/*.rpm")]
        flags = ["--define", "_db_backend sqlite", "--dbpath", str(top / "db"), "--nodeps", "--justdb", "--noscripts"]
        install = [require_tool("rpm"), *flags, "--ignorearch", "--ignoreos", "-i", *packages]
        subprocess.run(install, check=True, capture_output=True)
        assert len(packages) == 3
        return (top / "db" / "rpmdb.sqlite").read_bytes()


@cache
def real_headers() -> tuple[bytes, ...]:
    with TemporaryDirectory() as name:
        path = Path(name) / "rpmdb.sqlite"
        path.write_bytes(real_database())
        connection = sqlite3.connect(path)
        found = tuple(blob for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum"))
        connection.close()
        return found


OWNED = KernelPackage(
    manager="rpm",
    file=f"/boot/vmlinuz-{EL9}",
    name="kernel-core",
    version="5.14.0",
    release="284.el9",
    architecture="x86_64",
    vendor="Red Hat, Inc.",
)
FORMS: list[tuple[str, Callable[[], bytes]]] = [
    ("/var/lib/rpm/rpmdb.sqlite", real_database),
    ("/usr/lib/sysimage/rpm/rpmdb.sqlite", real_database),
    ("/var/lib/rpm/Packages", lambda: berkeley_database(real_headers())),
    ("/var/lib/rpm/Packages", lambda: berkeley_database(real_headers(), 512)),
    ("/usr/lib/sysimage/rpm/Packages.db", lambda: ndb_database(real_headers())),
]


@REAL
@pytest.mark.parametrize(("path", "make"), FORMS)
def test_the_owner_by_rpm_in_each_form(path: str, make: Callable[[], bytes]) -> None:
    files = {path: make()}
    assert read(files, EL9) == OWNED
    by_modules = read(files, EL9, f"/usr/lib/modules/{EL9}/vmlinuz")
    assert by_modules is not None
    assert by_modules.name == "kernel-core"
    assert read(files, "4.18.0-own") == KernelPackage(manager="rpm", file="/boot/vmlinuz-4.18.0-own")
    packages = read_packages(GuestTree({"/": MemoryFileSystem(files)})).get()
    assert packages is not None
    assert sorted(package.name for package in packages) == ["kernel", "kernel-core", "kernel-modules"]
    assert {package.version for package in packages} == {"5.14.0-284.el9"}


@REAL
def test_rpm_itself_reads_the_hash_that_stands_for_old_systems(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_bytes(berkeley_database(real_headers()))
    flags = ["--define", "_db_backend bdb_ro", "--dbpath", str(tmp_path)]
    done = subprocess.run([require_tool("rpm"), *flags, "-qa"], capture_output=True, text=True, check=True)
    assert "kernel-core-5.14.0-284.el9.x86_64" in done.stdout.split()


def many(count: int) -> list[bytes]:
    return [
        header(f"package{number}", "1", "1", "x", [f"/usr/share/{number}/{file}" for file in range(number % 60 + 1)])
        for number in range(count)
    ]


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_large_sqlite_database(page_size: int) -> None:
    """Interior pages of tables and indexes, and rows on many overflow pages."""
    owner = header("kernel", "3", "1", "CentOS", ["/boot/vmlinuz-3", *(f"/lib/modules/3/{n}.ko" for n in range(3000))])
    files = {f"file-{number}": number % 300 + 1 for number in range(3000)} | {"vmlinuz-3": 151}
    headers = [*many(150), owner, *many(150)]
    found = read({"/var/lib/rpm/rpmdb.sqlite": sqlite_database(headers, files, page_size)}, "3")
    assert found is not None
    assert (found.name, found.vendor) == ("kernel", "CentOS")


def test_what_stands_in_the_write_ahead_log_counts(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(kernel_database("kernel", "CentOS", "/boot/vmlinuz-1"))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    newer = header("kernel", "2", "1", "CentOS", ["/boot/vmlinuz-2"])
    connection.execute("INSERT INTO Packages (blob) VALUES (?)", (newer,))
    connection.execute("INSERT INTO Basenames VALUES ('vmlinuz-2', 2, 0)")
    connection.commit()
    log = Path(f"{path}-wal").read_bytes()
    files = {"/var/lib/rpm/rpmdb.sqlite": path.read_bytes()}
    connection.close()
    assert read(files, "2") == KernelPackage(manager="rpm", file="/boot/vmlinuz-2")
    found = read({**files, "/var/lib/rpm/rpmdb.sqlite-wal": log}, "2")
    assert found is not None
    assert found.version == "2"


def test_a_kernel_of_a_package_with_another_name() -> None:
    blobs = [header("own-linux-build", "1", "1", None, ["/boot/vmlinuz-9"]), *many(3)]
    found = read({"/var/lib/rpm/Packages.db": ndb_database(blobs)}, "9")
    assert found is not None
    assert (found.name, found.vendor) == ("own-linux-build", None)


def test_old_headers_with_whole_names() -> None:
    """rpm before 4.0 kept OLDFILENAMES (1027) alone."""
    names = b"/boot/a\0/boot/vmlinuz-2.2\0"
    data = struct.pack(">II", 1, len(names)) + struct.pack(">IIII", 1027, 8, 0, 2) + names
    assert RpmHeader(data).has_file("/boot/vmlinuz-2.2")
    assert not RpmHeader(data).has_file("/boot/vmlinuz")


@pytest.mark.parametrize(
    ("path", "data", "error"),
    [
        ("/var/lib/rpm/rpmdb.sqlite", b"x" * 5000, UnsupportedFormat),
        ("/var/lib/rpm/Packages.db", b"x" * 5000, UnsupportedFormat),
        ("/var/lib/rpm/Packages", b"x" * 5000, UnsupportedFormat),
        ("/var/lib/rpm/Packages.db", ndb_database(many(3))[:4200], ImageError),
        ("/var/lib/rpm/Packages.db", ndb_database(many(3)).replace(b"BlbS", b"Xlbs"), CorruptStructure),
        ("/var/lib/rpm/rpmdb.sqlite", kernel_database("k", "v", "/boot/vmlinuz-1")[:8192], ImageError),
        ("/var/lib/rpm/rpmdb.sqlite", CorruptStructure("bad extent", where="disk0/p1"), CorruptStructure),
    ],
)
def test_damage_is_never_no_owner(path: str, data: Content, error: type[ImageError]) -> None:
    with pytest.raises(error):
        read({path: data}, "1")


def flipped(data: bytes) -> Sequence[bytes]:
    """Return copies with a byte changed here and there."""
    steps = range(0, len(data), max(1, len(data) // 150))
    return [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in steps]


@pytest.mark.parametrize("make", [lambda h: sqlite_database(h, {"vmlinuz-1": 2}, 512), ndb_database])
def test_no_byte_makes_it_fail_otherwise_than_by_an_error_of_images(make: Callable[[list[bytes]], bytes]) -> None:
    path = "/var/lib/rpm/Packages.db" if make is ndb_database else "/var/lib/rpm/rpmdb.sqlite"
    blobs = [*many(2), header("kernel", "1", "1", "x", ["/boot/vmlinuz-1"])]
    for data in flipped(make(blobs)):
        try:
            read({path: data}, "1")
        except ImageError:
            continue


@requires_tool("db5.3_load")
def test_no_byte_of_a_hash_makes_it_fail_otherwise() -> None:
    for data in flipped(berkeley_database([*many(4), header("kernel", "1", "1", "x", ["/boot/vmlinuz-1"])], 512)):
        tree = GuestTree({"/": MemoryFileSystem({"/var/lib/rpm/Packages": data})})
        try:
            database = find_rpm_database(tree)
            assert database is not None
            database.owner(["/boot/vmlinuz-1"])
        except ImageError:
            continue
