"""Which package the default kernel came with, by dpkg's or rpm's database.

Sources: dpkg(1), "Files" (info/PACKAGE.list); deb-control(5) (Maintainer); RPM Reference Manual (vendor, files).
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.guests.linux.dpkg import DATABASE, DATABASE_BYTES
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.kernel_package import KernelPackage
from imgscan.model.linux_boot import DefaultKernel
from imgscan.model.package import Package
from imgscan.model.text import shown

_INFO: Final = "/var/lib/dpkg/info"
_LIST_BYTES: Final = 4 * MIB
"""The files of one package; a kernel with all its modules has 500 KiB."""
_LISTS: Final = 64
"""Packages of kernels that are looked into."""
_NAMES: Final = 400_000
"""Names in dpkg's folder: four for each package."""
_STANZA_BYTES: Final = 64 * KIB


def read_kernel_package(tree: GuestTree, kernel: DefaultKernel) -> Fact[KernelPackage | None]:
    """Return the package that owns the default kernel's file; None when the system has no package database.

    With dpkg the lists of packages named linux-* and kernel-* are asked; with rpm all packages.

    :raises ImageError: the database cannot be read
    """
    if tree.find(DATABASE) is not None:
        return _by_dpkg(tree, kernel)
    from imgscan.guests.linux.rpm_database import find_rpm_database  # noqa: PLC0415 - start-up time

    database = find_rpm_database(tree)
    if database is None:
        return known(None, AtPath(tree.resolve("/").filesystem.volume, "/var/lib"))
    from imgscan.layouts.rpm_header import ARCH, NAME, RELEASE, VENDOR, VERSION  # noqa: PLC0415 - the same

    found = database.owner(_names(kernel))
    package = KernelPackage(manager="rpm", file=kernel.path)
    if found is not None:
        name, version, release, architecture, vendor = map(found.text, (NAME, VERSION, RELEASE, ARCH, VENDOR))
        package = KernelPackage(
            manager="rpm",
            file=kernel.path,
            name=_shown(name),
            version=_shown(version),
            release=_shown(release),
            architecture=_shown(architecture),
            vendor=_shown(vendor),
        )
    return known(package, database.place.evidence())


def read_packages(tree: GuestTree) -> Fact[tuple[Package, ...] | None]:
    """Return all packages that dpkg or rpm knows; None when there is no database.

    :raises ImageError: the database cannot be read
    """
    from imgscan.guests.linux.dpkg import read_dpkg  # noqa: PLC0415 - start-up time

    found = read_dpkg(tree)
    if not found.is_known or found.get() is not None:
        return found
    from imgscan.guests.linux.rpm_database import find_rpm_database  # noqa: PLC0415 - the same

    database = find_rpm_database(tree)
    if database is None:
        return known(None, AtPath(tree.resolve("/").filesystem.volume, "/var/lib"))
    from imgscan.layouts.rpm_header import ARCH, NAME, RELEASE, VERSION  # noqa: PLC0415 - the same

    packages: list[Package] = []
    for header in database.headers():
        name, version, release, architecture = map(header.text, (NAME, VERSION, RELEASE, ARCH))
        if name is None or version is None:
            raise CorruptStructure("a package of the database has no name or no version", where=database.place.path)
        whole = version if release is None else f"{version}-{release}"
        packages.append(Package(shown(name), shown(whole), _shown(architecture), "installed"))
    return known(tuple(packages), database.place.evidence())


def _names(kernel: DefaultKernel) -> list[str]:
    """Return the names that a package may have the file under: kernels lie in /boot and beside their modules."""
    names = [kernel.path]
    if kernel.path.startswith("/usr/lib/"):
        names.append(kernel.path.removeprefix("/usr"))
    elif kernel.path.startswith("/lib/"):
        names.append(f"/usr{kernel.path}")
    if kernel.version is not None:
        names += [f"{folder}/{kernel.version}/vmlinuz" for folder in ("/lib/modules", "/usr/lib/modules")]
        names += [f"/boot/vmlinuz-{kernel.version}"]
    return list(dict.fromkeys(names))


def _shown(text: str | None) -> str | None:
    return None if text is None else shown(text)


def _by_dpkg(tree: GuestTree, kernel: DefaultKernel) -> Fact[KernelPackage | None]:
    wanted = frozenset(_names(kernel))
    folder = tree.find(_INFO)
    lists: list[str] = []
    if folder is not None and folder.entry.kind == "directory":
        for number, entry in enumerate(tree.list(_INFO)):
            if number >= _NAMES:
                raise LimitExceeded(f"{_INFO} has more than {_NAMES} entries", where=folder.filesystem.volume)
            if entry.name.endswith(".list") and entry.name.startswith(("linux-", "kernel-")):
                lists.append(entry.name)
    # the name that the version makes comes first: it is the answer as a rule
    lists.sort(key=lambda name: (kernel.version is None or kernel.version not in name, "image" not in name, name))
    for name in lists[:_LISTS]:
        place = tree.resolve(f"{_INFO}/{name}")
        if wanted.intersection(read_text(place, _LIST_BYTES).split("\n")):
            package, line = _package(tree, name.removesuffix(".list").partition(":")[0], kernel)
            status = tree.resolve(DATABASE)
            return known(package, place.evidence(), status.evidence(line))
    if len(lists) > _LISTS:
        raise LimitExceeded(f"{_INFO} has the lists of {len(lists)} kernels' packages")
    return known(KernelPackage(manager="dpkg", file=kernel.path), tree.resolve(DATABASE).evidence())


def _package(tree: GuestTree, name: str, kernel: DefaultKernel) -> tuple[KernelPackage, int]:
    """Return what dpkg's database says of a package, and the line."""
    text = read_text(tree.resolve(DATABASE), DATABASE_BYTES)
    head = f"Package: {name}\n"
    at = 0 if text.startswith(head) else text.find(f"\n{head}") + 1
    fields: dict[str, str] = {}
    if at or text.startswith(head):
        end = text.find("\n\n", at)
        stanza = text[at : at + _STANZA_BYTES if end < 0 else min(end, at + _STANZA_BYTES)]
        for line in stanza.split("\n"):
            key, colon, value = line.partition(":")
            if colon and line[:1] not in {" ", "\t"}:
                fields.setdefault(key.lower(), value.strip())
    package = KernelPackage(
        manager="dpkg",
        file=kernel.path,
        name=shown(name),
        version=_shown(fields.get("version")),
        architecture=_shown(fields.get("architecture")),
        vendor=_shown(fields.get("maintainer")),
    )
    return package, text.count("\n", 0, at) + 1 if fields else 0
