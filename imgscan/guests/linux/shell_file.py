"""Files of shell assignments, as os-release(5) defines them: NAME=value, quoted as a shell would."""

from __future__ import annotations

import shlex
from typing import NamedTuple


class Assignment(NamedTuple):
    """A value, and the line it stands on, counted from 1."""

    value: str
    line: int


def assignments(text: str) -> dict[str, Assignment]:
    """Return the assignments of a file by name; the last one counts. Lines that are none are left out."""
    found: dict[str, Assignment] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip().isidentifier():
            found[name.strip()] = Assignment(unquote(value), number)
    return found


def unquote(value: str) -> str:
    """Return a value without its quotes; one whose quotes do not match keeps its text."""
    lexer = shlex.shlex(value, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return value.strip().strip("\"'")
    return words[0] if len(words) == 1 else " ".join(words)
