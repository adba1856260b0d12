"""Whether certain updates are installed: packages of Component Based Servicing (since Vista).

Listing all packages reads thousands of keys: the list is sorted, and only the keys around a name are read.
"""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.windows import Update

LOOKED_FOR: Final = ("KB2922223", "KB2800213")
_PACKAGES: Final = "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages"
_ROLLUP: Final = "Package_for_RollupFix~"
_INSTALLED: Final = (0x50, 0x70)
"""`CurrentState` of a package that is installed, and of one whose installation ends with the next start."""
_SAME: Final = 64
"""Packages of one update: one for each version and branch."""


def read_updates(software: HiveFile, version: Fact[str | None]) -> Fact[tuple[Update, ...]]:
    """Return what became of the updates that rules ask for; none of them is for systems before Vista."""
    if not isinstance(version.value, str):
        why = version if not version.is_known else unread("missing", "Windows does not say its version")
        return Fact(unread=why.unread, detail=why.detail, evidence=version.evidence)
    if version.value.startswith(("4.", "5.")):
        return known((), *version.evidence)
    try:
        packages = software.key(_PACKAGES)
        if packages is None:
            return unread("missing", "the registry lists no packages", software.at(_PACKAGES))
        found: list[Update] = []
        evidence: list[Evidence] = []
        has_rollup = any(_is_installed(key) for key in packages.subkeys_from(_ROLLUP, _SAME))
        for name in LOOKED_FOR:
            installed = [key for key in packages.subkeys_from(f"Package_for_{name}", _SAME) if _is_installed(key)]
            evidence += [software.at(key.path, key.value("CurrentState")) for key in installed[:1]]
            state = "installed" if installed else "superseded" if has_rollup else "absent"
            found.append(Update(name=name, state=state))  # type: ignore[arg-type] # one of the three words
    except ImageError as error:
        return unread_because(error, AtPath(software.volume, software.path))
    return known(tuple(found), *(evidence or [software.at(_PACKAGES)]))


def _is_installed(key: Key) -> bool:
    value = key.value("CurrentState")
    return isinstance(value, Value) and value.number() in _INSTALLED
