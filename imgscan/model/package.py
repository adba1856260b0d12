"""A package of the system's package manager."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

PackageState = Literal[
    "not-installed",
    "config-files",
    "half-installed",
    "unpacked",
    "half-configured",
    "triggers-awaited",
    "triggers-pending",
    "installed",
]
"""As dpkg names them (dpkg(1), "Package states")."""
STATES: frozenset[str] = frozenset(get_args(PackageState))


class Package(msgspec.Struct, frozen=True):
    """`version` is None where nothing of the package is left but its name; `line` is where it stands, from 1."""

    name: str
    version: str | None
    architecture: str | None
    state: PackageState
    line: int = 0
