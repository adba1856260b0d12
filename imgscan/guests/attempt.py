"""The one place where a guest reader's `ImageError` becomes an unread fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from imgscan.errors import ImageError
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, unread_because

T = TypeVar("T")


def attempt(ask: Callable[[], Fact[T]], *evidence: Evidence) -> Fact[T]:
    """Return what `ask` returns, or the unread fact that its `ImageError` stands for, with `evidence`."""
    try:
        return ask()
    except ImageError as error:
        return unread_because(error, *evidence)
