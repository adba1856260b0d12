"""A fact is known, with the place it was read from, or unread, with the reason. There is nothing between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from imgscan.errors import ImageError, UnreadFact, Why
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.text import shown

T = TypeVar("T")
S = TypeVar("S")


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Either `value` is set or `unread` is. "Looked, and it is not there" is a known `None` (or empty tuple).

    Make one with `known` or `unread`; read it with `get`, which signals the judge when there is nothing to get.
    """

    value: T | msgspec.UnsetType = msgspec.UNSET
    unread: Why | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a fact that is both or neither, also when it comes from a file."""
        if (self.value is msgspec.UNSET) == (self.unread is msgspec.UNSET):
            message = "a fact has either a value or a reason why it is unread"
            raise ValueError(message)

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return self.unread is msgspec.UNSET

    def get(self) -> T:
        """Return the value, or raise `UnreadFact`."""
        if isinstance(self.value, msgspec.UnsetType):
            why: Why = "internal" if isinstance(self.unread, msgspec.UnsetType) else self.unread
            raise UnreadFact(why, "" if isinstance(self.detail, msgspec.UnsetType) else self.detail, self.evidence)
        return self.value

    def map(self, change: Callable[[T], S]) -> Fact[S]:
        """Return the same fact with its value changed; an unread fact stays as it is."""
        if isinstance(self.value, msgspec.UnsetType):
            return Fact(unread=self.unread, detail=self.detail, evidence=self.evidence)
        return Fact(value=change(self.value), evidence=self.evidence)


def known(value: T, *evidence: Evidence) -> Fact[T]:
    """Return a fact that was read."""
    return Fact(value=value, evidence=evidence)


def unread(why: Why, detail: str, *evidence: Evidence) -> Fact[T]:
    """Return a fact that could not be read; `detail` is one sentence for the user."""
    return Fact(unread=why, detail=shown(detail), evidence=evidence)


def unread_because(error: ImageError, *evidence: Evidence) -> Fact[T]:
    """Return the unread fact that an `ImageError` stands for, with its offset as evidence when it has one."""
    if error.offset is not None and error.where:
        evidence = (*evidence, AtOffset(error.where, error.offset))
    return unread(error.why, str(error), *evidence)


NOT_COLLECTED = "this scan did not collect it"
