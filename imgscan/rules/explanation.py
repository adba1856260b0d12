"""A rule's docstring taken apart: the one text that `imgscan explain`, remedies in reports and the docs pages share."""

from __future__ import annotations

import inspect
import sys

import msgspec

from imgscan.model.rule import Rule

SECTIONS = ("What it checks", "Why it matters", "How to fix")
"""The sections of a rule's docstring, in their order; each heading is underlined with dashes."""


class Explanation(msgspec.Struct, frozen=True):
    """The parts of a rule's docstring; `title` states the flaw in one line, without a full stop."""

    title: str
    checks: str
    matters: str
    fix: str


def explain(docstring: str | None) -> Explanation:
    """Take a rule file's docstring apart.

    :raises ValueError: a section is missing, empty or out of order
    """
    lines = inspect.cleandoc(docstring or "").splitlines()
    starts = [
        index for index, line in enumerate(lines[:-1]) if line in SECTIONS and lines[index + 1] == "-" * len(line)
    ]
    if tuple(lines[index] for index in starts) != SECTIONS:
        message = f"a rule's docstring has the sections {', '.join(SECTIONS)}, in this order"
        raise ValueError(message)
    ends = [*starts[1:], len(lines)]
    bodies = ["\n".join(lines[start + 2 : end]).strip() for start, end in zip(starts, ends, strict=True)]
    title = " ".join(lines[: starts[0]]).strip().removesuffix(".")
    if not title or not all(bodies):
        message = "a rule's docstring has a title, and text in each section"
        raise ValueError(message)
    return Explanation(title, *bodies)


def title(docstring: str | None) -> str:
    """Return the flaw in one line (empty when Python was told to drop docstrings)."""
    return explain(docstring).title if docstring else ""


def how_to_fix(docstring: str | None) -> str:
    """Return the remedy as one paragraph (empty when Python was told to drop docstrings)."""
    return " ".join(explain(docstring).fix.split()) if docstring else ""


def explanation_of(rule: Rule) -> Explanation:
    """Return the parts of the docstring of a rule's own file.

    :raises ValueError: it has none, or not the sections
    """
    return explain(sys.modules[rule.check.__module__].__doc__)
