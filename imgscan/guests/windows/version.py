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


class WindowsVersion(msgspec.Struct, frozen=True):
    """Facts of `System` with the same names."""

    version: Fact[str | None]
    product: Fact[str | None]
    edition: Fact[str | None]
    build: Fact[str | None]
    installation_type: Fact[str | None]
    service_pack: Fact[str | None]
    release: Fact[str | None]


def read_version(software: HiveFile, system: SystemHive) -> WindowsVersion:
    """Read the values of `CurrentVersion`; the kind of installation of old releases from the SYSTEM hive."""
    build = _first(
        software.number(CURRENT_VERSION, "CurrentBuildNumber"),
        lambda: software.number(CURRENT_VERSION, "CurrentBuild"),  # on Windows XP and 2003 obsolete, and nonsense
    )
    kind = _first(software.text(CURRENT_VERSION, "InstallationType"), lambda: _product_type(system))
    return WindowsVersion(
        version=_joined(_release_number(software), build),
        product=_product(software.text(CURRENT_VERSION, "ProductName"), build, kind),
        edition=software.text(CURRENT_VERSION, "EditionID"),
        build=_joined(build, software.number(CURRENT_VERSION, "UBR"), optional=True),
        installation_type=kind,
        service_pack=software.text(CURRENT_VERSION, "CSDVersion"),
        release=_first(
            software.text(CURRENT_VERSION, "DisplayVersion"), lambda: software.text(CURRENT_VERSION, "ReleaseId")
        ),
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
    """Return `Client` or `Server` from the SYSTEM hive: InstallationType began with Windows 7."""
    try:
        key = system.control(PRODUCT_OPTIONS)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    names = {"winnt": "Client", "servernt": "Server", "lanmannt": "Server"}
    return system.fact(key, "ProductType", lambda value: names.get(value.text().lower()))


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
