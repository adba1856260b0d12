"""Databases that rpm of real systems wrote in each of its forms: imgscan lists the packages that rpm lists."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from debian_tree import CACHE
from folder_filesystem import FolderFileSystem
from real_system import RealSystem, real_system
from tools import require_tool, requires_tool

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.linux.kernel_package import read_kernel_package, read_packages
from imgscan.model.linux_boot import DefaultKernel

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "rpmbuild")]
KERNEL = "5.14.0-284.el9.x86_64"
LIBRARIES = 60
SPEC = f"""\
Name: many
Version: 1.2
Release: 3
Summary: x
License: GPL
Vendor: Red Hat, Inc.
BuildArch: x86_64
%description
x
%package -n kernel-core
Summary: x
Version: 5.14.0
Release: 284.el9
%description -n kernel-core
x
{
    "".join(
        f'''%package -n lib{number}
Summary: a library
%description -n lib{number}
{"A description of some length. " * (number % 7)}
%files -n lib{number}
/usr/lib/lib{number}.so
'''
        for number in range(LIBRARIES)
    )
}
%install
mkdir -p %{{buildroot}}/boot %{{buildroot}}/usr/lib %{{buildroot}}/lib/modules/{KERNEL}/kernel
echo a > %{{buildroot}}/boot/vmlinuz-{KERNEL}
for i in $(seq 0 {LIBRARIES - 1}); do echo $i > %{{buildroot}}/usr/lib/lib$i.so; done
for i in $(seq 1 3000); do echo $i > %{{buildroot}}/lib/modules/{KERNEL}/kernel/module-with-a-long-name-$i.ko; done
%files
%files -n kernel-core
/boot/vmlinuz-{KERNEL}
/lib/modules/{KERNEL}
"""
"""A kernel whose header fills many pages, and many small packages, some of which are taken out again."""
FORMS = [("debian11", "bdb", "Packages"), ("debian13", "ndb", "Packages.db"), ("debian13", "sqlite", "rpmdb.sqlite"),
         ("debian12-tools", "sqlite", "rpmdb.sqlite")]  # fmt: skip


@cache
def packages() -> Path:
    """Return a folder with the packages, built by rpmbuild."""
    folder = CACHE / "packages"
    shutil.rmtree(folder, ignore_errors=True)
    with TemporaryDirectory(dir=CACHE) as name:
        (Path(name) / "many.spec").write_text(SPEC)
        define = ["--define", f"_topdir {name}", "--define", "_binary_payload w1.gzdio", "--target", "x86_64"]
        subprocess.run(
            [require_tool("rpmbuild"), *define, "-bb", "many.spec"], cwd=name, check=True, capture_output=True
        )
        shutil.copytree(Path(name) / "RPMS" / "x86_64", folder)
    return folder


def installed(guest: RealSystem, backend: str) -> list[str]:
    """Install them, take some out, and return what rpm lists."""
    shutil.copytree(packages(), guest.folder / "root/packages")
    rpm = f"rpm --define '_db_backend {backend}' --dbpath /var/lib/rpm"
    flags = "--nodeps --justdb --noscripts --ignorearch --ignoreos --nosignature"
    guest.run("sh", "-ec", f"mkdir -p /var/lib/rpm; {rpm} --initdb; {rpm} {flags} -i /root/packages/*.rpm")
    gone = " ".join(f"lib{number}" for number in range(0, LIBRARIES, 4))
    guest.run("sh", "-ec", f"{rpm} --nodeps --justdb --noscripts -e {gone}")
    guest.run("sh", "-ec", f"{rpm} {flags} -i /root/packages/lib0-*.rpm /root/packages/lib4-*.rpm")
    return guest.run(
        "sh", "-ec", f"{rpm} -qa --queryformat '%{{NAME}} %{{VERSION}}-%{{RELEASE}} %{{ARCH}}\\n'"
    ).splitlines()


@pytest.mark.parametrize(("name", "backend", "file"), FORMS)
def test_all_packages_and_the_owner_of_the_kernel(name: str, backend: str, file: str) -> None:
    with real_system(name) as guest, TemporaryDirectory() as folder:
        listed = installed(guest, backend)
        assert len(listed) == 2 + LIBRARIES * 3 // 4 + 2
        # without dpkg's database, which comes first
        shutil.copytree(guest.folder / "var/lib/rpm", Path(folder) / "var/lib/rpm")
        assert (Path(folder) / "var/lib/rpm" / file).is_file()
        tree = GuestTree({"/": FolderFileSystem(Path(folder))})
        found = read_packages(tree).get()
        assert found is not None
        assert sorted(f"{each.name} {each.version} {each.architecture}" for each in found) == sorted(listed)
        kernel = DefaultKernel(path=f"/boot/vmlinuz-{KERNEL}", volume="disk0/p1", version=KERNEL)
        owner = read_kernel_package(tree, kernel).get()
        assert owner is not None
        assert (owner.name, owner.version, owner.release, owner.vendor) == (
            "kernel-core",
            "5.14.0",
            "284.el9",
            "Red Hat, Inc.",
        )
