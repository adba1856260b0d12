"""The words of a GRUB 2 script. Source: GRUB manual, "Writing full configuration files directly" (Quoting, Words).

Nothing is executed: commands come in their order, conditions and loops with all branches (`grub2_conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from imgscan.devices.limits import KIB, MIB
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import Command

SCRIPT_LENGTH: Final = 16 * MIB
"""All words of a script with their variables put in: values may double without end."""
WORD_LENGTH: Final = 64 * KIB
"""A word with its variables put in; longer ones keep the variable's name."""

_TOKEN: Final = re.compile(
    r"""
    (?P<continued>\\\n) | (?P<end>[\n;]) | (?P<blank>[ \t\r]+) | (?P<single>'[^']*'?) | (?P<double>"(?:[^"\\]|\\.)*"?)
    | (?P<variable>\$\{[^}\n]{0,255}\}|\$\w+|\$.?) | (?P<brace>[{}]) | (?P<escape>\\.?) | (?P<plain>[^\s;'"$\\{}]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_VARIABLE: Final = re.compile(r"\$\{([^}\n]{0,255})\}|\$(\w+)")  # bounded: else `${${${...` takes for ever


def commands(text: str, variables: Mapping[str, str], path: str = "") -> Iterator[Command]:
    """Yield the commands of a script; an opening brace ends the command before it as its last word.

    A closing brace is a command of its own. `variables` may change while the commands are consumed; `path` is for
    messages.

    :raises LimitExceeded: the words are longer than any real ones, with their variables put in
    """
    line, position, size = 1, 0, 0
    started = line
    words: list[str] = []
    pieces: list[str] = []  # of the word that is being read
    is_literal = True

    def end_word() -> None:
        word = "".join(pieces)
        if pieces and word != _NOTHING:
            words.append(word.replace(_NOTHING, ""))
        pieces.clear()

    while position < len(text):
        if not pieces and text[position] == "#":  # only at the start of a word
            position = text.find("\n", position)
            if position < 0:
                break
        match = _TOKEN.match(text, position)
        if match is None:
            break
        kind, piece = match.lastgroup, match[0]
        position = match.end()
        if kind in {"single", "double", "plain", "escape", "variable"}:
            if not pieces and not words:
                started = line
                is_literal = True
            is_literal = is_literal and not (kind == "variable" or (kind == "double" and "$" in piece))
            pieces.append(_value(str(kind), piece, variables))
            size += len(pieces[-1])
            if size > SCRIPT_LENGTH:
                raise LimitExceeded(f"the script is longer than {SCRIPT_LENGTH} with its variables", where=path)
        elif kind != "continued":
            end_word()
        line += piece.count("\n")
        if kind == "brace" or (kind == "end" and words):
            if piece == "{":
                words.append(piece)
            if words and words != ["{"]:
                yield Command(tuple(words), started, is_literal)
            words = []
            if piece == "}":
                yield Command(("}",), line)
    end_word()
    if words:
        yield Command(tuple(words), started, is_literal)


_NOTHING: Final = "\0"
"""Stands for a variable that is empty: a word of nothing else vanishes, a quoted one does not."""


def _value(kind: str, token: str, variables: Mapping[str, str]) -> str:
    token = token.replace(_NOTHING, "")
    if kind == "single":
        return token.removeprefix("'").removesuffix("'") if len(token) > 1 else ""
    if kind == "double":
        inner = token[1:-1] if len(token) > 1 and token.endswith('"') else token[1:]
        return re.sub(r"\\([\"$\\])", r"\1", expand(inner, variables))
    if kind == "variable":
        return expand(token, variables) or _NOTHING
    return token[1:] if kind == "escape" else token


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put the known variables into a text; unknown ones keep their name as ``${name}``."""
    size = 0

    def value(match: re.Match[str]) -> str:
        nonlocal size
        name = match[1] if match[1] is not None else match[2]
        found = variables.get(name)
        size += len(found or "")
        return f"${{{name}}}" if found is None or size > WORD_LENGTH else found

    return _VARIABLE.sub(value, text)
