"""Files of shell assignments, as os-release(5) defines them: NAME=value, quoted as a shell would."""

from __future__ import annotations

import shlex
from typing import NamedTuple


class Assignment(NamedTuple):
    """A value, and the line it stands on, counted from 1."""

    value: str
    line: int


class Assignments:
    """The assignments of a file by name; a value is unquoted when it is asked for."""

    def __init__(self, values: dict[str, tuple[str, int]]) -> None:
        self._values = values

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._values)

    def get(self, name: str) -> Assignment | None:
        """Return what a name is set to, None when it is not set."""
        found = self._values.get(name)
        return None if found is None else Assignment(unquote(found[0]), found[1])


def assignments(text: str) -> Assignments:
    """Return the assignments of a file; the last one of a name counts. Lines that are none are left out."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip().isidentifier():
            found[name.strip()] = value, number
    return Assignments(found)


def unquote(value: str) -> str:
    """Return a value without its quotes; one whose quotes do not match keeps its text."""
    lexer = shlex.shlex(value, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return value.strip().strip("\"'")
    return words[0] if len(words) == 1 else " ".join(words)
