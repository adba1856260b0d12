"""A plan for people: which files are one machine and why, what the other files are, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from imgscan.batch.names import natural_key, split
from imgscan.batch.share import PathProblem, Plan, PlannedMachine
from imgscan.model.text import shown
from imgscan.reports.text_layout import Style, labelled, open_console, printed, section

KINDS = 20
"""Kinds of other files that are listed."""
EXAMPLES = 3
"""Paths that stand for a kind of other files."""


def render(plan: Plan, style: Style | None = None) -> str:
    """Return the plan as text that ends in a newline; `verbose` lists all files."""
    style = style or Style()
    console, out = open_console(style)
    disks = sum(len(machine.disks) for machine in plan.machines)
    console.print(Text(f"{_many(len(plan.machines), 'machine')}, {_many(disks, 'disk')}", "bold"))
    for machine in plan.machines:
        console.print()
        for row in _machine(machine, style):
            console.print(row)
    if plan.others:
        title = f"Not part of any machine: {_many(len(plan.others), 'path')}"
        rows = [_path(problem) for problem in plan.others] if style.verbose else list(_kinds(plan.others))
        section(console, title, rows)
    if plan.problems:
        title = f"Could not be looked at: {_many(len(plan.problems), 'path')}"
        section(console, title, [_path(problem) for problem in plan.problems])
    return printed(out, style)


def _machine(machine: PlannedMachine, style: Style) -> Iterator[RenderableType]:
    yield Text(shown(machine.name), "bold")
    rest = [path for path in machine.files if path not in set(machine.disks)]
    for number, path in enumerate(machine.disks):
        yield _indented(labelled(f"disk{number}", path))
    if style.verbose:
        for path in rest:
            yield _indented(labelled("with", path))
    elif rest:
        named = ", ".join(shown(split(path)[1]) for path in rest[:EXAMPLES])
        more = f", and {len(rest) - EXAMPLES} more" if len(rest) > EXAMPLES else ""
        yield _indented(labelled("with", named + more))
    yield _indented(labelled("because", machine.reason))


def _kinds(others: Sequence[PathProblem]) -> Iterator[RenderableType]:
    """Yield how many files there are of each kind, the most frequent first."""
    kinds: dict[str, list[str]] = {}
    for problem in others:
        kinds.setdefault(_kind(problem), []).append(problem.path)
    in_order = sorted(kinds.items(), key=lambda kind: (-len(kind[1]), natural_key(kind[0])))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for kind, paths in in_order[:KINDS]:
        more = ", ..." if len(paths) > EXAMPLES else ""
        table.add_row(str(len(paths)), Text(kind), Text(", ".join(map(shown, paths[:EXAMPLES])) + more))
    yield table
    if len(in_order) > KINDS:
        left = sum(len(paths) for _, paths in in_order[KINDS:])
        yield Text(f"and {_many(left, 'path')} of {_many(len(in_order) - KINDS, 'further kind')} (see --format json)")


def _kind(problem: PathProblem) -> str:
    """Return what a path is without what holds for it alone: what a reason says before it gives details."""
    said = shown(problem.detail).split(";")[0].split(":")[0]
    return said.removeprefix("this is ")


def _path(problem: PathProblem) -> RenderableType:
    return labelled(shown(problem.path), f"{problem.why}: {problem.detail}")


def _indented(row: RenderableType) -> RenderableType:
    return Padding(row, (0, 0, 0, 2))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
