"""How reports for people are laid out: the console, sections, labels, and facts and evidence as words."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from imgscan.model.evidence import AtOffset, AtPath, AtRegistry, Evidence
from imgscan.model.fact import Fact
from imgscan.model.text import shown

MIN_WIDTH, PLAIN_WIDTH, MAX_WIDTH = 40, 100, 140
LABEL_WIDTH = 10
"""Columns of a label with the blank behind it, at least."""


class Style(msgspec.Struct, frozen=True):
    """How to print: `width` in columns, `terminal` for colour, bars and boxes, `verbose` to list every finding."""

    width: int = PLAIN_WIDTH
    terminal: bool = False
    color: bool = False
    verbose: bool = False


def open_console(style: Style) -> tuple[Console, StringIO]:
    """Return a console and what is printed on it."""
    out = StringIO()
    console = Console(
        file=out,
        width=max(MIN_WIDTH, min(style.width, MAX_WIDTH)),
        force_terminal=style.color,
        color_system="standard" if style.color else None,
        no_color=not style.color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    return console, out


def printed(out: StringIO, style: Style) -> str:
    """Return what was printed, without the blanks that fill lines up."""
    return (
        "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n" if not style.color else out.getvalue()
    )


def section(console: Console, title: str, rows: Iterable[RenderableType], *, spaced: bool = False) -> None:
    """Print a title and what stands below it, indented."""
    console.print()
    console.print(Text(title, "bold underline" if console.is_terminal else "bold"))
    for number, row in enumerate(rows):
        if spaced and number:
            console.print()
        console.print(Padding(row, (0, 0, 0, 2)))


class Labelled:
    """A label with its text beside it, the text wrapped under itself; as a table it would take six times as long."""

    def __init__(self, label: Text, value: Text) -> None:
        self._label = label
        self._value = value

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; the text stands below a label that takes more than half of the width."""
        column = max(LABEL_WIDTH, self._label.cell_len + 1)
        if column > max(LABEL_WIDTH, options.max_width // 2):
            yield self._label
            column, head = 2, Text("  ")
        else:
            head = self._label
            head.pad_right(column - head.cell_len)
        for line in self._value.wrap(console, max(1, options.max_width - column), overflow="fold"):
            yield head + line
            head = Text(" " * column)


def labelled(label: str, value: str) -> Labelled:
    """Return a label with its text beside it."""
    return Labelled(Text(shown(label), "dim"), Text(shown(value)))


def fact_text(fact: Fact[Any] | None) -> str:
    """Return a fact as a few words: its value, a dash when there is none, or why it was not read."""
    if fact is None:
        return "-"
    if not fact.is_known:
        return "-" if fact.unread == "not-collected" else shown(f"unread ({fact.unread}: {fact.detail})")
    return "-" if fact.value is None else shown(str(fact.value))


def evidence_text(piece: Evidence) -> str:
    """Return a piece of evidence in one line; not yet made harmless."""
    if isinstance(piece, AtOffset):
        what = f" ({piece.structure})" if piece.structure else ""
        return f"{piece.where} at offset {piece.offset}{what}"
    if isinstance(piece, AtPath):
        return f"{piece.volume}:{piece.path}" + (f" line {piece.line}" if piece.line else "")
    if isinstance(piece, AtRegistry):
        return f"{piece.volume}:{piece.hive} {piece.key}" + (f" value {piece.value}" if piece.value is not None else "")
    return f"{piece.file} {piece.key}"
