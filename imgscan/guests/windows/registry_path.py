r"""Which hive file of a Windows holds a key that is named as Windows does (``HKLM\SYSTEM\CurrentControlSet\...``)."""

from __future__ import annotations

from typing import Final

import msgspec

from imgscan.errors import UsageError
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.model.text import shown

_ROOTS: Final = {
    "hkey_local_machine": "HKLM",
    "hklm": "HKLM",
    "hkey_users": "HKU",
    "hku": "HKU",
    "hkey_classes_root": "HKCR",
    "hkcr": "HKCR",
}
_HIVES: Final = {
    ("HKLM", "system"): "SYSTEM",
    ("HKLM", "software"): "SOFTWARE",
    ("HKLM", "sam"): "SAM",
    ("HKLM", "security"): "SECURITY",
    ("HKLM", "components"): "COMPONENTS",
    ("HKLM", "drivers"): "DRIVERS",
    ("HKU", ".default"): "DEFAULT",
}
"""The hives of System32/config; what Windows makes anew at each start (HARDWARE) and users' hives are not there."""
_CURRENT: Final = "currentcontrolset"


class RegistryPath(msgspec.Struct, frozen=True):
    r"""A hive's file name in System32/config, and the key in it; `mounted` is the hive's name, as ``HKLM\SYSTEM``."""

    hive: str
    key: str
    mounted: str


def split_registry_path(path: str) -> RegistryPath:
    """Take a key's path apart, without looking whether it is there.

    :raises UsageError: it does not begin with a root, or with a hive of System32/config
    """
    names = [name for name in path.split("\\") if name]
    root = _ROOTS.get(names[0].lower()) if names else None
    if root == "HKCR":
        names[:1] = ["HKLM", "SOFTWARE", "Classes"]
        root = "HKLM"
    hive = _HIVES.get((root, names[1].lower())) if root is not None and len(names) > 1 else None
    if hive is None:
        there = ", ".join(f"{above}\\{below.upper()}" for above, below in _HIVES)
        raise UsageError(f"not a registry key that lies on disk; those begin with {there}", where=shown(path))
    return RegistryPath(hive, "\\".join(names[2:]), f"{root}\\{names[1].upper()}")


def key_in_hive(hive: HiveFile, path: RegistryPath) -> str:
    """Return a key's path in its hive: ``CurrentControlSet`` is the one that `Select` names.

    :raises ImageError: `Select` cannot be read
    """
    first, _, rest = path.key.partition("\\")
    if isinstance(hive, SystemHive) and first.lower() == _CURRENT:
        return hive.control(rest).rstrip("\\")
    return path.key
