"""Which branches of a GRUB 2 script are never taken: those behind a test of constant texts.

Source: GRUB manual, "Shell-like scripting" (if, elif, else) and "test". Whatever else a condition asks (variables,
files) depends on the machine: such branches count as taken.
"""

from __future__ import annotations

from typing import Final

import msgspec

from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import Command

CONDITIONS: Final = 64
"""Conditions inside each other."""


class _If(msgspec.Struct):
    """An `if` that is being read: `holds` is the answer of the branch's condition, None when it cannot be told."""

    holds: bool | None
    is_over: bool = False  # a branch before this one is surely taken
    is_asking: bool = True  # between `if` and `then`


class Conditions:
    """The conditions around the command that is being read."""

    def __init__(self) -> None:
        self._levels: list[_If] = []

    @property
    def depth(self) -> int:
        """How many conditions are open."""
        return len(self._levels)

    @property
    def is_dead(self) -> bool:
        """Whether the next command is never run."""
        return any(level.holds is False for level in self._levels)

    def close(self, depth: int) -> None:
        """Forget the conditions inside a block that ends: `depth` were open before it."""
        del self._levels[depth:]

    def read(self, command: Command, path: str) -> None:
        """Follow a command's keywords.

        :raises LimitExceeded: more than `CONDITIONS` inside each other
        """
        if command.name == "if":
            if len(self._levels) >= CONDITIONS:
                raise LimitExceeded(f"the script's conditions are nested deeper than {CONDITIONS}", where=path)
            self._levels.append(_If(_holds(command.words[1:], is_literal=command.is_literal)))
            return
        if not self._levels:
            return
        level = self._levels[-1]
        if command.name in {"elif", "else"}:
            level.is_over = level.is_over or level.holds is True
            level.is_asking = command.name == "elif"
            answer = _holds(command.words[1:], is_literal=command.is_literal) if level.is_asking else None
            level.holds = False if level.is_over else answer
        elif command.name == "then":
            level.is_asking = False
        elif command.name == "fi":
            self._levels.pop()
        elif level.is_asking:  # of several commands the last one decides
            level.holds = False if level.is_over else None


def _holds(words: tuple[str, ...], *, is_literal: bool) -> bool | None:
    """Return what a condition of constant texts says; None for any other."""
    if not is_literal:
        return None
    if words[:1] == ("!",):
        answer = _holds(words[1:], is_literal=True)
        return None if answer is None else not answer
    if words in {("true",), ("false",)}:
        return words == ("true",)
    if words[:1] == ("[",) and words[-1] == "]":
        return _test(words[1:-1])
    return _test(words[1:]) if words[:1] == ("test",) else None


def _test(words: tuple[str, ...]) -> bool | None:
    match words:
        case (left, "=" | "==", right):
            return left == right
        case (left, "!=", right):
            return left != right
        case ("-n", text):
            return text != ""
        case ("-z", text):
            return text == ""
        case ("!", *rest) if len(rest) > 1:
            answer = _test(tuple(rest))
            return None if answer is None else not answer
        case _:
            return None
