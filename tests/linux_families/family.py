"""What a machine of a family is: its files, and what has to be found in it."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from disk_builder import FileSystemType, Link, elf, initramfs, kernel
from rpm_builder import berkeley_database, header, sqlite_database

Files = dict[str, bytes]
"""Content by path without a leading slash; a Link is a symbolic link."""


@dataclass(frozen=True)
class Family:
    """`facts` are what `found` of test_families.py makes of the report; every other rule's outcome is `pass`.

    `root` and `boot` are types of filesystems (None: no /boot of its own), `loader` is in the boot sector,
    `labels` is whether filesystems are named after their mount points.
    """

    name: str
    files: Files
    facts: Mapping[str, Any]
    outcomes: Mapping[str, str] = field(default_factory=dict)
    root: FileSystemType = "ext4"
    boot: FileSystemType | None = "ext4"
    loader: Literal["grub2", "grub-legacy"] = "grub2"
    labels: bool = False


def texts(files: Mapping[str, str]) -> Files:
    """Return files of text."""
    return {path: text.encode() for path, text in files.items()}


def programs(*paths: str) -> Files:
    """Return programs for x86-64."""
    return dict.fromkeys(paths, elf())


def links(targets: Mapping[str, str]) -> Files:
    """Return symbolic links by their path."""
    return {path: Link(target.encode()) for path, target in targets.items()}


def runlevel(folder: str, scripts: str, *names: str) -> Files:
    """Return the start links of a runlevel's folder, and the scripts in `scripts`, which is relative to it."""
    found = links({f"{folder}/{name}": f"{scripts}/{name[3:]}" for name in names})
    return found | {
        posixpath.normpath(f"{folder}/{scripts}/{name[3:]}"): f"#!/bin/sh\n# {name[3:]}\n".encode() for name in names
    }


def boot_files(
    version: str,
    initrd: str,
    modules: Iterable[str] = (),
    *,
    protocol: int = 0x20C,
    builtin: str | None = "",
    compress: str = "gzip -n -9",
    inside: Iterable[str] = (),
) -> Files:
    """Return a kernel with its initramfs and modules.

    `modules` lie below /lib/modules/VERSION/kernel, `inside` are the paths of those in the initramfs; `protocol` is
    that of the kernel's set-up header, which says from 2.12 on whether it is for 64 bit.
    """
    image = bytearray(kernel(f"{version} (build@host) #1 SMP"))
    struct.pack_into("<H", image, 0x206, protocol)
    if protocol < 0x20C:
        image[0x236] = 0
    names = sorted(f"kernel/{name}" for name in modules)
    folder = f"lib/modules/{version}"
    files: Files = {
        f"boot/vmlinuz-{version}": bytes(image),
        f"boot/{initrd}": initramfs(*inside, drivers=(), compress=compress),
        f"{folder}/modules.dep": "".join(f"{name}:\n" for name in names).encode(),
    }
    if builtin is not None:
        files[f"{folder}/modules.builtin"] = builtin.encode()
    return files


Rpm = tuple[str, str, str, str]
"""Name, version, release and file of a package."""


def rpm_headers(vendor: str, *packages: Rpm) -> list[bytes]:
    return [header(name, version, release, vendor, [path]) for name, version, release, path in packages]


def rpm_berkeley(vendor: str, *packages: Rpm) -> Files:
    """Return rpm's database as all had it up to EL8, Fedora 32 and SLES 12."""
    return {"var/lib/rpm/Packages": berkeley_database(rpm_headers(vendor, *packages))}


def rpm_sqlite(vendor: str, *packages: Rpm) -> Files:
    """Return rpm's database as EL9 has it."""
    names = {path.rpartition("/")[2]: number for number, (_, _, _, path) in enumerate(packages, 1)}
    return {"var/lib/rpm/rpmdb.sqlite": sqlite_database(rpm_headers(vendor, *packages), names)}


def dpkg(maintainer: str, lists: Mapping[str, str], *packages: tuple[str, str]) -> Files:
    """Return dpkg's database: `lists` are the files of packages by their name."""
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nPriority: optional\nMaintainer: {maintainer}\n"
        f"Architecture: amd64\nVersion: {version}\nDescription: {name}\n"
        for name, version in packages
    )
    return texts(
        {"var/lib/dpkg/status": status} | {f"var/lib/dpkg/info/{n}.list": f"/.\n{p}\n" for n, p in lists.items()}
    )
