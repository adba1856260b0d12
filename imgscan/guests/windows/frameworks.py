"""The .NET Frameworks of a Windows.

Source: Microsoft, "Determine which .NET Framework versions and service pack levels are installed" (release numbers).
"""

from __future__ import annotations

from typing import Final

from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known
from imgscan.model.windows import Framework

_NDP: Final = "Microsoft\\NET Framework Setup\\NDP"
_OLD: Final = (
    ("v2.0.50727", "Install", "2.0"),
    ("v3.0\\Setup", "InstallSuccess", "3.0"),
    ("v3.5", "Install", "3.5"),
)
_RELEASES: Final = (
    (533320, "4.8.1"),
    (528040, "4.8"),
    (461808, "4.7.2"),
    (461308, "4.7.1"),
    (460798, "4.7"),
    (394802, "4.6.2"),
    (394254, "4.6.1"),
    (393295, "4.6"),
    (379893, "4.5.2"),
    (378675, "4.5.1"),
    (378389, "4.5"),
)
"""The lowest release number of each version, the latest version first."""


def read_frameworks(software: HiveFile) -> Fact[tuple[Framework, ...]]:
    """Return the installed versions, the oldest first."""
    found: list[Framework] = []
    evidence: list[Evidence] = []
    for key, value, version in _OLD:
        installed = software.fact(f"{_NDP}\\{key}", value, Value.number)
        if not installed.is_known:
            return Fact(unread=installed.unread, detail=installed.detail, evidence=installed.evidence)
        if installed.value == 1:
            found.append(Framework(version=version))
            evidence += installed.evidence
    full = f"{_NDP}\\v4\\Full"
    installed, release = (software.fact(full, name, Value.number) for name in ("Install", "Release"))
    for fact in (installed, release):
        if not fact.is_known:
            return Fact(unread=fact.unread, detail=fact.detail, evidence=fact.evidence)
    if installed.value == 1:
        number = release.value if isinstance(release.value, int) else 0
        name = next((version for least, version in _RELEASES if number >= least), "4.0")
        found.append(Framework(version=name))
        evidence += release.evidence if number else installed.evidence
    return known(tuple(found), *(evidence or [software.at(_NDP)]))
