"""A target's list of Windows versions, as a profile has it, and what of it a system is.

The list is the profile's data (``[[systems.windows]]``), in the words of the target's own page. Which Windows a system
is follows from its version number, build and product type: names in the registry differ by edition, and Windows 11
calls itself Windows 10 there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.fact import NOT_COLLECTED, Fact
from imgscan.model.system import System

_SERVERS: Final = {
    "5.0": ("windows-2000-server", "Windows 2000 Server"),
    "5.2": ("windows-server-2003", "Windows Server 2003"),
    "6.0": ("windows-server-2008", "Windows Server 2008"),
    "6.1": ("windows-server-2008-r2", "Windows Server 2008 R2"),
    "6.2": ("windows-server-2012", "Windows Server 2012"),
    "6.3": ("windows-server-2012-r2", "Windows Server 2012 R2"),
}
_SERVER_BUILDS: Final = {
    14393: "2016",
    16299: "1709",
    17134: "1803",
    17763: "2019",
    18362: "1903",
    18363: "1909",
    19041: "2004",
    19042: "20H2",
    20348: "2022",
    25398: "23H2",
    26100: "2025",
}
"""Releases of Windows Server with the version number 10.0, by build; 17763 is 1809 too."""
_CLIENTS: Final = {
    "5.0": ("windows-2000", "Windows 2000 Professional"),
    "5.1": ("windows-xp", "Windows XP"),
    "5.2": ("windows-xp-x64", "Windows XP x64"),
    "6.0": ("windows-vista", "Windows Vista"),
    "6.1": ("windows-7", "Windows 7"),
    "6.2": ("windows-8", "Windows 8"),
    "6.3": ("windows-8.1", "Windows 8.1"),
}
_WINDOWS_11: Final = 22000
_SEMI_ANNUAL: Final = "acor"
"""What EditionID ends with in the releases of the Semi-Annual Channel, which are Server Core alone."""
_SERVER_EDITION: Final = r"Server(Standard|Datacenter|Enterprise|Web)(Eval)?V?(A?Core?)?"
_CLIENT_EDITIONS: Final = {
    "core": "Home",
    "coresinglelanguage": "Home",
    "corecountryspecific": "Home",
    "home": "Home",
    "homebasic": "Home",
    "homepremium": "Home",
    "professional": "Professional",
    "professionalwmc": "Professional",
    "business": "Business",
    "enterprise": "Enterprise",
    "enterpriseeval": "Enterprise",
    "enterprises": "Enterprise",
    "enterpriseseval": "Enterprise",
    "ultimate": "Ultimate",
    "education": "Education",
}
"""The page's words for EditionID; those for Europe and Korea (`ProfessionalN`, `K`, `KN`, `E`) are the same edition."""
_BITS: Final = {"x86": 32}
"""Other architectures have 64 bits; whether the target has such processors is another question."""


class ListedWindows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the list; `editions` and `languages` in the page's words.

    `service_pack_min` is the lowest service pack where the line names one, `excluded_installations` ways of installing
    it that the page rules out.
    """

    id: str
    kind: Literal["server", "client"]
    editions: tuple[str, ...]
    bits: tuple[int, ...]
    service_pack_min: int | None = None
    languages: tuple[str, ...] = ()
    excluded_installations: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line in one phrase."""
        pack = f" SP{self.service_pack_min} or later" if self.service_pack_min else ""
        bits = " or ".join(str(each) for each in self.bits)
        return f"{self.id}{pack} ({', '.join(self.editions)}; {bits} bit)"


class Release(msgspec.Struct, frozen=True):
    """Which Windows a system is: its id in lists, its name, whether it is a client, and what showed it."""

    id: str
    name: str
    is_client: bool
    evidence: tuple[Evidence, ...]


class Found(msgspec.Struct, frozen=True):
    """Whether a system is on the list; `why_not` is empty when it is."""

    said: str
    why_not: str
    evidence: tuple[Evidence, ...]


def release_of(system: System) -> Release:
    """Return which Windows a system is.

    :raises UnreadFact: its version or product type was not read, or it does not say it
    """
    version = system.version.get()
    product_type = _get(system.product_type)
    evidence = (*system.version.evidence, *_evidence(system.product_type)) or (
        AtOffset(system.root, 0, 0, "installed system"),
    )
    numbers = re.match(r"([0-9]{1,3}\.[0-9]{1,3})(?:\.([0-9]{1,9}))?$", version or "")
    if numbers is None or product_type is None:
        what = "which version it is" if numbers is None else "whether it is a server"
        raise UnreadFact("missing", f"the Windows on {system.root} does not say {what}", evidence)
    kernel, build = numbers[1], int(numbers[2]) if numbers[2] else None
    is_client = product_type == "workstation"
    if kernel != "10.0":
        unknown = (f"windows-{kernel}", f"Windows {kernel}")
        name, said = (_CLIENTS if is_client else _SERVERS).get(kernel, unknown)
        if name == "windows-server-2003" and " R2" in _known_text(system.product):
            name, said, evidence = f"{name}-r2", f"{said} R2", (*evidence, *system.product.evidence)
        return Release(name, said, is_client, evidence)
    if build is None:
        raise UnreadFact("missing", f"the Windows on {system.root} does not say which build it is", evidence)
    if is_client:
        number = 11 if build >= _WINDOWS_11 else 10
        return Release(f"windows-{number}", f"Windows {number}", is_client, evidence)
    label = _SERVER_BUILDS.get(build, f"build {build}")
    edition = system.edition
    if label == "2019" and edition is not None and _known_text(edition).lower().endswith(_SEMI_ANNUAL):
        label, evidence = "1809", (*evidence, *edition.evidence)
    return Release(f"windows-server-{label.replace(' ', '-').lower()}", f"Windows Server {label}", is_client, evidence)


def edition_of(system: System, release: Release) -> tuple[str, str]:
    """Return a system's edition in the words of pages (`Standard`, `Home`), and as it says it itself.

    :raises UnreadFact: it was not read, or the system does not say it
    """
    edition = _get(system.edition)
    if edition is None:
        detail = f"the {release.name} on {system.root} does not say which edition it is"
        raise UnreadFact("missing", detail, (*release.evidence, *_evidence(system.edition)))
    if release.is_client:
        short = re.sub(r"(?<=[a-zS])(KN|N|K|E)$", "", edition)
        return _CLIENT_EDITIONS.get(short.lower(), edition), edition
    match = re.fullmatch(_SERVER_EDITION, edition, re.IGNORECASE)
    words = {"standard": "Standard", "datacenter": "Datacenter", "enterprise": "Enterprise", "web": "Web Server"}
    return (words[match[1].lower()] if match else edition), edition


def find_listed_windows(system: System, listed: Iterable[ListedWindows]) -> Found:
    """Look a Windows up in the list: release, edition, service pack, kind of installation, and 32 or 64 bits.

    :raises UnreadFact: what decides was not read
    """
    release = release_of(system)
    lines = [line for line in listed if line.id == release.id]
    if not lines:
        return Found(release.name, "the list has no such Windows", release.evidence)
    line = lines[0]
    edition, raw = edition_of(system, release)
    evidence = (*release.evidence, *_evidence(system.edition))
    said = f"{release.name} {edition}"
    is_nano = _is_nano(system, raw)
    if is_nano:
        evidence = (*evidence, *_evidence(system.installation_type))
        where = "the list rules it out" if line.excluded_installations else "the list has it nowhere"
        return Found(f"{release.name} Nano Server", f"Nano Server: {where}", evidence)
    if edition not in line.editions:
        also = f" (it calls itself {raw})" if raw != edition else ""
        return Found(said, f"of it the list has {', '.join(line.editions)}{also}", evidence)
    if line.service_pack_min is not None:
        pack = _get(system.service_pack)
        evidence = (*evidence, *_evidence(system.service_pack))
        number = re.search(r"([0-9]{1,3})", pack or "0")
        if number is None:
            raise UnreadFact("missing", f"the Windows on {system.root} calls its service pack {pack}", evidence)
        said = f"{said} {pack or 'without a service pack'}"
        if int(number[1]) < line.service_pack_min:
            return Found(said, f"of it the list has service pack {line.service_pack_min} or later", evidence)
    if set(line.bits) != {32, 64}:
        architecture = system.architecture.get()
        evidence = (*evidence, *system.architecture.evidence)
        if architecture is None:
            raise UnreadFact("missing", f"the Windows on {system.root} does not say what it is built for", evidence)
        bits = _BITS.get(architecture, 64)
        if bits not in line.bits:
            only = " or ".join(str(each) for each in line.bits)
            return Found(f"{said} for {bits} bit", f"of it the list has {only} bit", evidence)
    return Found(said, "", evidence)


def _is_nano(system: System, edition: str) -> bool:
    """Whether it is a Nano Server: InstallationType says so, and the edition's name."""
    return "nano" in (_get(system.installation_type) or "").lower() or "nano" in edition.lower()


def _known_text(fact: Fact[str | None]) -> str:
    return fact.value if isinstance(fact.value, str) else ""


def _get(fact: Fact[str | None] | None) -> str | None:
    if fact is None:
        raise UnreadFact("not-collected", NOT_COLLECTED)
    return fact.get()


def _evidence(fact: Fact[str | None] | None) -> tuple[Evidence, ...]:
    return fact.evidence if fact is not None else ()
