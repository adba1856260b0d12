"""Which Windows it is: name, version, build, edition, from the SOFTWARE hive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.errors import ImageError
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because

CURRENT_VERSION: Final = "Microsoft\\Windows NT\\CurrentVersion"
PRODUCT_OPTIONS: Final = "Control\\ProductOptions"
WINDOWS_11_BUILD: Final = 22000
"""The first build of Windows 11, whose ProductName still says Windows 10."""

_PRODUCT_TYPES: Final = {"winnt": "workstation", "servernt": "server", "lanmannt": "domain-controller"}
_KINDS: Final = {"workstation": "Client", "server": "Server", "domain-controller": "Server", None: None}
"""InstallationType, which began with Windows 7, by product type."""
_SERVER_SUITES: Final = (
    ("datacenter", "ServerDatacenter"),
    ("blade", "ServerWeb"),
    ("small business", "ServerSBS"),
    ("small business(restricted)", "ServerSBS"),
    ("storage server", "ServerStorage"),
    ("compute server", "ServerCluster"),
    ("enterprise", "ServerEnterprise"),
)
_CLIENT_SUITES: Final = (("personal", "Home"),)
"""Suites of `ProductSuite`, the strongest first, and the edition's name as EditionID would have it."""


class WindowsVersion(msgspec.Struct, frozen=True):
    """Facts of `System` with the same names."""

    version: Fact[str | None]
    product: Fact[str | None]
    edition: Fact[str | None]
    build: Fact[str | None]
    installation_type: Fact[str | None]
    service_pack: Fact[str | None]
    release: Fact[str | None]
    product_type: Fact[str | None]


def read_version(software: HiveFile, system: SystemHive) -> WindowsVersion:
    """Read the values of `CurrentVersion`; the kind of installation of old releases from the SYSTEM hive."""
    build = _first(
        software.number(CURRENT_VERSION, "CurrentBuildNumber"),
        lambda: software.number(CURRENT_VERSION, "CurrentBuild"),  # on Windows XP and 2003 obsolete, and nonsense
    )
    product_type = _product_type(system)
    kind = _first(software.text(CURRENT_VERSION, "InstallationType"), lambda: product_type.map(_KINDS.get))
    version = _joined(_release_number(software), build)
    return WindowsVersion(
        version=version,
        product=_product(software.text(CURRENT_VERSION, "ProductName"), build, kind),
        edition=_edition(software, system, version, product_type),
        build=_joined(build, software.number(CURRENT_VERSION, "UBR"), optional=True),
        installation_type=kind,
        service_pack=software.text(CURRENT_VERSION, "CSDVersion"),
        release=_first(
            software.text(CURRENT_VERSION, "DisplayVersion"), lambda: software.text(CURRENT_VERSION, "ReleaseId")
        ),
        product_type=product_type,
    )


def _release_number(software: HiveFile) -> Fact[str | None]:
    """Return `10.0` (since Windows 10 in numbers, as CurrentVersion stays at 6.3), or `6.1`."""
    major = software.number(CURRENT_VERSION, "CurrentMajorVersionNumber")
    if major.is_known and major.value is None:
        return software.text(CURRENT_VERSION, "CurrentVersion")
    return _joined(major, software.number(CURRENT_VERSION, "CurrentMinorVersionNumber"))


def _product(name: Fact[str | None], build: Fact[str | None], kind: Fact[str | None]) -> Fact[str | None]:
    """Return the product's name; Windows 11 calls itself Windows 10 there."""
    title, number = name.value, build.value
    if (
        isinstance(title, str)
        and title.startswith("Windows 10")
        and isinstance(number, str)
        and number.isdecimal()
        and len(number) < 10
        and int(number) >= WINDOWS_11_BUILD
        and kind.value == "Client"
    ):
        return known(f"Windows 11{title[len('Windows 10') :]}", *name.evidence, *build.evidence, *kind.evidence)
    return name


def _product_type(system: SystemHive) -> Fact[str | None]:
    """Return `workstation`, `server` or `domain-controller` from the SYSTEM hive."""
    try:
        key = system.control(PRODUCT_OPTIONS)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    return system.fact(key, "ProductType", lambda value: _PRODUCT_TYPES.get(value.text().lower()))


def _edition(
    software: HiveFile, system: SystemHive, version: Fact[str | None], product_type: Fact[str | None]
) -> Fact[str | None]:
    """Return EditionID, which came with Vista; before it, `ProductSuite` tells the editions apart."""
    edition = software.text(CURRENT_VERSION, "EditionID")
    is_old = isinstance(version.value, str) and version.value.startswith("5.")
    if not edition.is_known or edition.value is not None or not is_old:
        return edition
    if not product_type.is_known:
        return product_type
    is_server = product_type.value in {"server", "domain-controller"}
    try:
        key = system.control(PRODUCT_OPTIONS)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    suites = system.fact(key, "ProductSuite", lambda value: {suite.lower() for suite in value.texts()})
    if not suites.is_known:
        return suites.map(lambda _: None)
    found = suites.value if isinstance(suites.value, set) else set()
    names = [name for suite, name in (_SERVER_SUITES if is_server else _CLIENT_SUITES) if suite in found]
    name = names[0] if names else "ServerStandard" if is_server else "Professional"
    return known(name, *suites.evidence, *product_type.evidence)


def _first(fact: Fact[str | None], other: Callable[[], Fact[str | None]]) -> Fact[str | None]:
    """Return the fact, or the other one when it is known that there is no such value."""
    return other() if fact.is_known and fact.value is None else fact


def _joined(first: Fact[str | None], second: Fact[str | None], *, optional: bool = False) -> Fact[str | None]:
    """Return both joined by a dot; without the second one when that is `optional` and not known."""
    if not first.is_known or first.value is None:
        return first
    if isinstance(second.value, str):
        return known(f"{first.value}.{second.value}", *first.evidence, *second.evidence)
    return first if optional or second.is_known else second
