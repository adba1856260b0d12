"""Which package the default kernel came with."""

from __future__ import annotations

from typing import Literal

import msgspec

PackageManager = Literal["dpkg", "rpm"]


class KernelPackage(msgspec.Struct, frozen=True, kw_only=True):
    """The package that owns the default kernel's file, by the system's package database.

    `name` is None when the database was read and no package owns the file; `file` is the name that was asked for.
    `release` is rpm's alone (dpkg's is part of `version`). `vendor` is rpm's vendor, or dpkg's maintainer, None where
    the package names none.
    """

    manager: PackageManager
    file: str
    name: str | None = None
    version: str | None = None
    release: str | None = None
    architecture: str | None = None
    vendor: str | None = None
