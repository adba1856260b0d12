"""Which Linux it is: os-release, and the files that older distributions have instead.

The names are those that os-release has today (`rhel`, `centos`, `ol`, `sles`, `debian`, ...), also where the system is
older than that file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError
from imgscan.guests.linux.shell_file import Assignment, assignments
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.text import shown

RELEASE_BYTES: Final = 64 * KIB


class Release(msgspec.Struct, frozen=True):
    """The identity of an installed Linux: `service_pack` is `SP3`, `variant` is `server`, `workstation`, ..."""

    id: Fact[str | None]
    version: Fact[str | None]
    product: Fact[str | None]
    service_pack: Fact[str | None]
    variant: Fact[str | None]


class _Said(msgspec.Struct, frozen=True):
    """What one file says; None where it does not say. The line numbers count from 1.

    `service_pack` is its number, `0` for none.
    """

    id: str | None
    version: str | None
    product: str | None
    id_line: int = 1
    version_line: int = 1
    product_line: int = 1
    service_pack: Assignment | None = None
    variant: Assignment | None = None


class _File(msgspec.Struct, frozen=True):
    place: Location
    text: str

    def evidence(self, line: int) -> Evidence:
        return self.place.evidence(line)


def read_release(tree: GuestTree) -> Release:
    """Return who the system is.

    A file that cannot be read is passed over when another one answers that only this distribution has.
    """
    failed: ImageError | None = None
    nameless: Release | None = None
    for path, parse in _FILES:
        try:
            file = _read(tree, path)
        except ImageError as error:
            failed = failed or error
            continue
        said = parse(file.text) if file is not None else None
        if file is None or said is None:
            continue
        if said.id is None:  # an os-release without ID: an older file beside it may have the name
            nameless = nameless or _release(file, msgspec.structs.replace(said, id=_DEFAULT_ID))
        elif failed is None or (path, said.id) not in _SHARED:
            return _point_release(tree, _release(file, said))
    if failed is not None:
        return Release(*(unread_because(failed) for _ in Release.__struct_fields__))
    nothing: Fact[str | None] = known(None)
    return nameless or Release(nothing, nothing, nothing, nothing, nothing)


def _read(tree: GuestTree, path: str) -> _File | None:
    place = tree.find(path)
    if place is None or place.entry.kind != "file":
        return None
    return _File(place, read_text(place, RELEASE_BYTES))


def _release(file: _File, said: _Said) -> Release:
    def fact(value: str | None, line: int) -> Fact[str | None]:
        return known(None if value is None else shown(value), file.evidence(line))

    variant = said.variant
    return Release(
        fact(said.id, said.id_line),
        fact(said.version, said.version_line),
        fact(said.product, said.product_line),
        _service_pack(file, said),
        fact(variant.value, variant.line) if variant is not None and variant.value else fact(None, 0),
    )


def _service_pack(file: _File, said: _Said) -> Fact[str | None]:
    """Return the service pack of a SUSE Linux Enterprise, None for its first release and for all others."""
    if said.id is None or not said.id.startswith(_WITH_SERVICE_PACKS):
        return known(None, file.evidence(said.id_line))
    if said.service_pack is None or not re.fullmatch(r"[0-9]{1,3}", said.service_pack.value):
        return unread("missing", f"{file.place.path} does not say the service pack", file.evidence(0))
    number = int(said.service_pack.value)
    return known(f"SP{number}" if number else None, file.evidence(said.service_pack.line))


_DEFAULT_ID: Final = "linux"
"""os-release(5): the default of ID."""
_WITH_SERVICE_PACKS: Final = ("sles", "sled", "sle_hpc")
_POINT_RELEASES: Final = {
    "debian": ("/etc/debian_version",),
    "centos": ("/etc/centos-release", "/etc/redhat-release"),
}
"""Distributions whose os-release names the major version only, and the files that have the whole one."""


def _point_release(tree: GuestTree, release: Release) -> Release:
    """Replace a major version by the full one, where a second file has it and agrees."""
    major = release.version.value
    if not isinstance(major, str):
        return release
    for path in _POINT_RELEASES.get(str(release.id.value), ()):
        try:
            file = _read(tree, path)
        except ImageError:  # the major version stands
            continue
        said = _PARSERS[path](file.text) if file is not None else None
        version = said.version if said is not None and said.id == release.id.value else None
        match = re.match(r"[0-9]+(\.[0-9]+)*", version or "")
        if file is not None and match is not None and f"{match[0]}.".startswith(f"{major}."):
            return msgspec.structs.replace(
                release, version=known(match[0], file.evidence(1), *release.version.evidence)
            )
    return release


def _os_release(text: str) -> _Said | None:
    values = assignments(text)
    if not values:
        return None
    name = values.get("ID")
    version = values.get("VERSION_ID")
    product = values.get("PRETTY_NAME") or values.get("NAME")
    pack = None
    if version is not None and version.value:  # SUSE's "12.3" is 12 SP3, and "12" has none
        pack = Assignment(version.value.partition(".")[2] or "0", version.line)
    return _Said(
        name.value.lower() if name and name.value else None,
        version.value or None if version else None,
        product.value if product else None,
        name.line if name else 0,
        version.line if version else 0,
        product.line if product else 0,
        pack,
        values.get("VARIANT_ID"),
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
    lower = line.lower()
    if not line or lower.startswith("derived from"):  # CentOS says so of what it is made of
        return None
    name = next((name for start, name in _RED_HAT_NAMES if lower.startswith(start)), None)
    match = re.search(r"(?:release|version|os|linux|slackware)\s+(\d+(?:\.\d+)*)", lower)
    version = match[1] if match else None
    update = re.search(r"update (\d+)", lower)  # RHEL 3 and 4: "release 4 (Nahant Update 9)"
    if version is not None and update and "." not in version:
        version = f"{version}.{update[1]}"
    if version == "5" and name in {"rhel", "centos", "ol"}:  # 5.0 was just "release 5 (Tikanga)"
        version = "5.0"
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
    return _Said(name, number, product, version_line=version.line if version else 1, service_pack=level)


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
_PARSERS: Final = dict(_FILES)
_SHARED: Final = frozenset(
    {("/etc/redhat-release", "rhel"), ("/etc/system-release", "rhel"), ("/etc/debian_version", "debian")}
)
"""Files that derived distributions have too, in the words of the one that they derive from (Oracle, Ubuntu)."""
