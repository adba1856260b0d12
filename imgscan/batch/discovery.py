"""The walk over a share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imgscan.batch.share import FoundFile, PathProblem
from imgscan.batch.source import Source


@dataclass(frozen=True, slots=True)
class Filters:
    """What the user left out or asked for."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    special_folders: bool = False


def discover(source: Source, filters: Filters | None = None) -> Iterator[FoundFile | PathProblem]:
    """Walk a share in natural order."""
    raise NotImplementedError


def newer_than(text: str, now_ns: int) -> int:
    """Return the moment, in nanoseconds since 1970, that `--newer-than` names."""
    raise NotImplementedError
