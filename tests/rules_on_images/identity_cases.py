"""Faults of which Linux it is: its release, its kernel, what it is built for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from disk_builder import KERNEL, MODULES_DEP, elf, kernel
from rpm_builder import kernel_database
from rules_on_images.case import NO_DATA_VOLUME, Case, Outcomes, linux_outcomes
from rules_on_images.machines import linux, one_disk

ORACLE = "Oracle Linux Server release 6.10\n"
OF_KERNELS: Outcomes = linux_outcomes("vmdk", unsupported_kernel="pass", **NO_DATA_VOLUME)
HEALTHY: Outcomes = linux_outcomes("vmdk", **NO_DATA_VOLUME)


def released(**files: str | bytes | None) -> Callable[[], Path]:
    """Return a Linux with these release files below /etc (_ for -) and no other."""
    named = {f"etc/{name.replace('_', '-')}": content for name, content in files.items()}
    named.setdefault("etc/debian_version", None)
    if "redhat" in "".join(named):
        named |= kernel_of("kernel", "Red Hat, Inc." if "Red Hat" in str(files) else "CentOS")
    os_release = named.pop("etc/os-release", None)
    assert os_release is None or isinstance(os_release, str)
    return lambda: linux(os_release=os_release, files=named)


def suse(release: str, starts: str) -> Callable[[], Path]:
    """Return a SUSE Linux Enterprise Server 11 with that /etc/SuSE-release, whose default kernel is of that version."""
    files: dict[str, str | bytes | None] = {
        "etc/SuSE-release": release,
        "etc/debian_version": None,
        **kernel_of("kernel-default", "SUSE LINUX Products GmbH, Nuernberg, Germany"),
        **image_of(starts),
    }
    return lambda: linux(os_release=None, files=files)


def image_of(version: str) -> dict[str, str | bytes | None]:
    """Return the kernel that the boot menu names, as one of another version."""
    return {
        f"boot/vmlinuz-{KERNEL}": kernel(f"{version} (builder@host) #1 SMP"),
        f"lib/modules/{version}/modules.dep": MODULES_DEP,
    }


def kernel_of(name: str, vendor: str) -> dict[str, str | bytes | None]:
    """Return rpm's database in place of dpkg's, in which that package owns the kernel."""
    return {
        "var/lib/dpkg/status": None,
        "var/lib/rpm/rpmdb.sqlite": kernel_database(name, vendor, f"/boot/vmlinuz-{KERNEL}"),
    }


def fedora(variant: str) -> Callable[[], Path]:
    release = f"NAME=Fedora\nID=fedora\nVERSION_ID=21\nVARIANT_ID={variant}\n"
    return lambda: linux(os_release=release, files=kernel_of("kernel-core", "Fedora Project"))


def sles11(patch_level: int) -> str:
    return f"SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = {patch_level}\n"


def oracle(starts: str) -> Callable[[], Path]:
    files: dict[str, str | bytes | None] = {
        "etc/oracle-release": ORACLE,
        "etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n",
        "etc/debian_version": None,
        **kernel_of("kernel-uek" if "uek" in starts else "kernel", "Oracle America"),
        **image_of(starts),
    }
    return lambda: linux(os_release=None, files=files)


def elf_of_32_bit() -> bytes:
    """Return the start of a program for i386 (System V ABI: ELFCLASS32, EM_386)."""
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x08048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)


CASES = (
    Case(
        "unsupported-operating-system/0",
        "Debian 8.1, against 8.0",
        one_disk(linux),
        one_disk(lambda: linux(files={"etc/debian_version": "8.1\n"})),
        HEALTHY,
    ),
    Case(
        "unsupported-operating-system/0",
        "CentOS 6.0, which the list excludes, against 6.1",
        one_disk(released(redhat_release="CentOS Linux release 6.1 (Final)\n")),
        one_disk(released(redhat_release="CentOS Linux release 6.0 (Final)\n")),
        HEALTHY,
    ),
    Case(
        "unsupported-operating-system/0",
        "Fedora 21 Workstation, against Server",
        one_disk(fedora("server")),
        one_disk(fedora("workstation")),
        HEALTHY,
    ),
    Case(
        "unsupported-kernel/0",
        "SLES 11 SP4 with a kernel of an update, against the one that is listed",
        one_disk(suse(sles11(4), "3.0.101-63-default")),
        one_disk(suse(sles11(4), "3.0.101-108.129-default")),
        OF_KERNELS,
    ),
    Case(
        "unsupported-kernel/0",
        "Oracle Linux 6.10 with the first UEK, against the RHEL-compatible kernel",
        one_disk(oracle("2.6.32-754.el6.x86_64")),
        one_disk(oracle("2.6.32-100.34.1.el6uek.x86_64")),
        OF_KERNELS,
    ),
    Case(
        "unsupported-architecture/0",
        "programs for 32 bit",
        one_disk(linux),
        one_disk(lambda: linux(files={"bin/sh": elf_of_32_bit(), "lib/systemd/systemd": elf_of_32_bit()})),
        HEALTHY,
    ),
    Case(
        "unsupported-architecture/0",
        "programs for ARM",
        one_disk(linux),
        one_disk(lambda: linux(files={"bin/sh": elf(183), "lib/systemd/systemd": elf(183)})),
        HEALTHY,
    ),
)
