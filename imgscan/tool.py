"""Which imgscan this is, with which libraries: stamped on every report."""

from __future__ import annotations

import os
import sys
from functools import cache

from imgscan.model.machine import Tool
from imgscan.version import VERSION

LIBRARIES = ("construct", "google-crc32c", "lz4", "msgspec", "pytsk3", "xxhash", "zstandard")
"""The libraries whose version can change what is read or how it is written."""


def this_tool() -> Tool:
    """Return name, version and library versions."""
    found = _installed()
    return Tool("imgscan", VERSION, {name: found.get(name) or _version(name) for name in LIBRARIES})


@cache
def _installed() -> dict[str, str]:
    """Return the versions of the libraries by the names of their .dist-info folders, the first on the path first.

    These names are the format's own (PyPA, "Recording installed projects"); `importlib.metadata` says the same, and
    costs a tenth of a small scan.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - names are all that is wanted
        except OSError:  # a zip archive, or a folder that is not there
            continue
        for name in names:
            library, dash, version = name.removesuffix(".dist-info").partition("-")
            library = library.replace("_", "-")  # a folder's name has underscores for dashes
            if dash and library in LIBRARIES and name.endswith(".dist-info"):
                found.setdefault(library, version)
    return found


def _version(name: str) -> str:
    """Return the version of a library that is installed in another way."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - rarely needed, and slow to load

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
