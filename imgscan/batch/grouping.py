"""Which files are one machine: pure, from paths and what was identified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from imgscan.batch.share import FileStamp, FoundFile, Identified, PathProblem, Plan

Mode = Literal["auto", "file", "folder"]


def group(
    files: Iterable[FoundFile],
    identified: Mapping[str, Identified],
    mode: Mode = "auto",
    problems: Iterable[PathProblem] = (),
) -> Plan:
    """Return the plan for the files that were found."""
    raise NotImplementedError


def only_newer(plan: Plan, stamps: Mapping[str, FileStamp], since_ns: int) -> Plan:
    """Return the plan with those machines only of which one file was written at or after `since_ns`."""
    raise NotImplementedError
