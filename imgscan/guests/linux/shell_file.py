"""Files of shell assignments, as os-release(5) defines them: NAME=value, quoted as a shell would."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PIECE: Final = (
    r"(?P<space>\s+)|'(?P<single>[^']*)'|\"(?P<double>[^\"\\]*(?:\\.[^\"\\]*)*)\""
    r"|\\(?P<escaped>.)|(?P<plain>[^\s'\"\\]+)"
)
"""What a word is made of."""


class Assignment(NamedTuple):
    """A value, and the line it stands on, counted from 1."""

    value: str
    line: int


class Assignments:
    """The assignments of a file by name; a value is unquoted when it is asked for."""

    def __init__(self, values: dict[str, tuple[str, int]]) -> None:
        self._values = values
        self._unquoted: dict[str, Assignment] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._values)

    def names(self) -> list[str]:
        """Return the names that are set, in the order in which they were first."""
        return list(self._values)

    def get(self, name: str) -> Assignment | None:
        """Return what a name is set to, None when it is not set."""
        if name not in self._unquoted and name in self._values:
            value, line = self._values[name]
            self._unquoted[name] = Assignment(unquote(value), line)
        return self._unquoted.get(name)


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
    try:
        words = shell_words(value, comments=True)
    except ValueError:
        return value.strip().strip("\"'")
    return words[0] if len(words) == 1 else " ".join(words)


def shell_words(text: str, *, comments: bool = False) -> list[str]:
    """Return the words of a text without their quotes, as sh(1) makes them; `shlex` takes minutes for a long word.

    :raises ValueError: a quote is not closed
    """
    words: list[str] = []
    pieces: list[str] | None = None
    at = 0
    while at < len(text):
        match = re.compile(_PIECE, re.DOTALL).match(text, at)
        if match is None:
            raise ValueError
        at = match.end()
        kind, piece = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "plain" and pieces is None and comments and piece.startswith("#"):
            break
        if kind != "space":
            pieces = [] if pieces is None else pieces
            pieces.append(re.sub(r'\\(["$`\\])', r"\1", piece) if kind == "double" else piece)
        elif pieces is not None:
            words.append("".join(pieces))
            pieces = None
    return words if pieces is None else [*words, "".join(pieces)]
