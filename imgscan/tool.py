"""Which imgscan this is, with which libraries: stamped on every report."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from imgscan.model.machine import Tool
from imgscan.version import VERSION

LIBRARIES = ("construct", "msgspec", "pytsk3")
"""The libraries whose version can change what is read or how it is written."""


def this_tool() -> Tool:
    """Return name, version and library versions."""
    return Tool("imgscan", VERSION, {name: _version(name) for name in LIBRARIES})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
