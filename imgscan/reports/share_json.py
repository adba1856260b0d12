"""The report over a share as JSON (`imgscan.share-report/1`), machine after machine: memory stays flat.

The pieces together are what `imgscan.reports.json` would print of the whole `ShareReport`. Hidden characters are
escapes already in what the ledger holds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from imgscan.model.machine import Tool
from imgscan.model.report import ProfileStamp
from imgscan.model.share_report import ShareMachine, ShareReport, Summary
from imgscan.reports.json import compact


def render(
    tool: Tool, profiles: Sequence[ProfileStamp], machines: Iterable[ShareMachine], summary: Callable[[], Summary]
) -> Iterator[str]:
    """Yield the report's text; `summary` is asked when the last machine was written."""
    schema = next(field.default for field in msgspec.structs.fields(ShareReport) if field.name == "schema")
    yield f'{{\n  "schema": {_indented(schema, 2)},\n  "tool": {_indented(tool, 2)},\n'
    yield f'  "profiles": {_indented(list(profiles), 2)},\n  "machines": ['
    separator = "\n"
    for machine in machines:
        yield f"{separator}    {_indented(machine, 4)}"
        separator = ",\n"
    yield "],\n" if separator == "\n" else "\n  ],\n"
    yield f'  "summary": {_indented(summary(), 2)}\n}}\n'


def _indented(value: Any, columns: int) -> str:
    data = msgspec.json.format(compact(value), indent=2).decode()
    return textwrap.indent(data, " " * columns)[columns:]
