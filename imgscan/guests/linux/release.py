"""Which Linux it is: os-release, and the files that older distributions have instead.

The names are those that os-release has today (`rhel`, `centos`, `ol`, `sles`, `debian`, ...), also where the system is
older than that file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree, Location, decode, read_file
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError
from imgscan.guests.linux.shell_file import assignments
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown

RELEASE_BYTES: Final = 64 * KIB


class Release(NamedTuple):
    """The identity of an installed Linux."""

    id: Fact[str | None]
    version: Fact[str | None]
    product: Fact[str | None]


class _Said(NamedTuple):
    """What one file says; None where it does not say. The line numbers count from 1."""

    id: str | None
    version: str | None
    product: str | None
    id_line: int = 1
    version_line: int = 1
    product_line: int = 1


class _File(NamedTuple):
    place: Location
    text: str

    def evidence(self, line: int) -> Evidence:
        return self.place.evidence(line)


def read_release(tree: GuestTree) -> Release:
    """Return id, version and product. A file that cannot be read is passed over when another one answers."""
    failed: ImageError | None = None
    for path, parse in _FILES:
        try:
            file = _read(tree, path)
        except ImageError as error:
            failed = failed or error
            continue
        said = parse(file.text) if file is not None else None
        if file is not None and said is not None:
            return _point_release(tree, _release(file, said))
    if failed is not None:
        return Release(unread_because(failed), unread_because(failed), unread_because(failed))
    return Release(known(None), known(None), known(None))


def _read(tree: GuestTree, path: str) -> _File | None:
    place = tree.find(path)
    if place is None or place.entry.kind != "file":
        return None
    return _File(place, decode(read_file(place, RELEASE_BYTES)))


def _release(file: _File, said: _Said) -> Release:
    def fact(value: str | None, line: int) -> Fact[str | None]:
        return known(None if value is None else shown(value), file.evidence(line))

    return Release(
        fact(said.id, said.id_line), fact(said.version, said.version_line), fact(said.product, said.product_line)
    )


_POINT_RELEASES: Final = {"debian": "/etc/debian_version", "centos": "/etc/centos-release"}
"""Distributions whose os-release names the major version only, and the file that has the whole one."""


def _point_release(tree: GuestTree, release: Release) -> Release:
    """Replace a major version by the full one, where a second file has it and agrees."""
    major = release.version.value
    path = _POINT_RELEASES.get(str(release.id.value))
    if path is None or not isinstance(major, str):
        return release
    try:
        file = _read(tree, path)
    except ImageError:  # the major version stands
        return release
    match = re.search(r"\d+(\.\d+)*", file.text) if file is not None else None
    if file is None or match is None or not (match[0] + ".").startswith(major + "."):
        return release
    return release._replace(version=known(match[0], file.evidence(1), *release.version.evidence))


def _os_release(text: str) -> _Said | None:
    values = assignments(text)
    if not values:
        return None
    name = values.get("ID")
    version = values.get("VERSION_ID")
    product = values.get("PRETTY_NAME") or values.get("NAME")
    return _Said(
        name.value.lower() if name and name.value else "linux",  # os-release(5): the default of ID
        version.value or None if version else None,
        product.value if product else None,
        name.line if name else 0,
        version.line if version else 0,
        product.line if product else 0,
    )


_RED_HAT_NAMES: Final = (
    ("red hat enterprise linux", "rhel"),
    ("red hat linux", "rhl"),
    ("centos", "centos"),
    ("oracle", "ol"),
    ("enterprise linux enterprise linux", "ol"),
    ("scientific", "scientific"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("cloudlinux", "cloudlinux"),
    ("amazon linux", "amzn"),
    ("xenserver", "xenserver"),
    ("vmware esx", "esx"),
    ("mageia", "mageia"),
    ("mandriva", "mandriva"),
    ("gentoo", "gentoo"),
    ("vmware photon", "photon"),
    ("slackware", "slackware"),
)


def _red_hat_release(text: str) -> _Said | None:
    """Parse `Red Hat Enterprise Linux Server release 5.11 (Tikanga)` and its like."""
    line = text.strip().partition("\n")[0].strip()
    if not line:
        return None
    lower = line.lower()
    name = next((name for start, name in _RED_HAT_NAMES if lower.startswith(start)), None)
    match = re.search(r"(?:release|version|os|linux|slackware)\s+(\d+(?:\.\d+)*)", lower)
    version = match[1] if match else None
    update = re.search(r"update (\d+)", lower)  # RHEL 3 and 4: "release 4 (Nahant Update 9)"
    if version is not None and update and "." not in version:
        version = f"{version}.{update[1]}"
    return _Said(name or re.split(r"\W", lower)[0] or None, version, line)


def _suse_release(text: str) -> _Said | None:
    lines = text.strip().split("\n")
    if not lines[0]:
        return None
    lower = lines[0].lower()
    name = "opensuse" if "opensuse" in lower else "suse"
    if "enterprise desktop" in lower:
        name = "sled"
    elif "enterprise" in lower:
        name = "sles"
    values = assignments(text.replace(" = ", "="))
    version = values.get("VERSION")
    level = values.get("PATCHLEVEL")
    number = version.value if version else None
    if number is not None and level is not None and level.value not in {"", "0"} and "." not in number:
        number = f"{number}.{level.value}"
    product = lines[0].strip()
    return _Said(name, number, product, version_line=version.line if version else 1)


def _lsb_release(text: str) -> _Said | None:
    values = assignments(text)
    name, version = values.get("DISTRIB_ID"), values.get("DISTRIB_RELEASE")
    if name is None:  # Red Hat's lsb-release lists modules only
        return None
    product = values.get("DISTRIB_DESCRIPTION")
    return _Said(
        name.value.lower(),
        version.value if version else None,
        product.value if product else name.value,
        name.line,
        version.line if version else 0,
        product.line if product else name.line,
    )


def _debian_version(text: str) -> _Said | None:
    version = text.strip()
    number = version if version[:1].isdigit() else None  # "trixie/sid" is no number
    return _Said("debian", number, f"Debian GNU/Linux {version}") if version else None


def _named(name: str, product: str) -> Callable[[str], _Said]:
    """Return a parser for files that hold a version, or nothing."""

    def parse(text: str) -> _Said:
        match = re.search(r"\d+(\.\d+)*", text)
        version = match[0] if match else None
        return _Said(name, version, f"{product} {version}" if version else product)

    return parse


_FILES: Final[tuple[tuple[str, Callable[[str], _Said | None]], ...]] = (
    ("/etc/os-release", _os_release),
    ("/usr/lib/os-release", _os_release),
    ("/etc/oracle-release", _red_hat_release),
    ("/etc/enterprise-release", _red_hat_release),
    ("/etc/centos-release", _red_hat_release),
    ("/etc/rocky-release", _red_hat_release),
    ("/etc/almalinux-release", _red_hat_release),
    ("/etc/fedora-release", _red_hat_release),
    ("/etc/mageia-release", _red_hat_release),
    ("/etc/photon-release", _red_hat_release),
    ("/etc/redhat-release", _red_hat_release),
    ("/etc/system-release", _red_hat_release),
    ("/etc/SuSE-release", _suse_release),
    ("/etc/lsb-release", _lsb_release),
    ("/etc/gentoo-release", _red_hat_release),
    ("/etc/alpine-release", _named("alpine", "Alpine Linux")),
    ("/etc/slackware-version", _red_hat_release),
    ("/etc/debian_version", _debian_version),
    ("/etc/arch-release", _named("arch", "Arch Linux")),
)
"""In this order: the specific ones before redhat-release, which most of their distributions have too."""
