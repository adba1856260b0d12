r"""The machines of a share before they are scanned, as JSON: what ``imgscan batch ROOT --plan --format json`` prints.

A published contract (`imgscan schema plan`). It holds no time and no host: the same share gives the same bytes. Names
of files and machines are printable, with a backslash as ``\\x5c``, as in the report over a share.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import Why


class PlanPath(msgspec.Struct, frozen=True):
    """A path that is no machine's, or could not be looked at; `detail` is one sentence."""

    path: str
    why: Why
    detail: str


class PlanMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine: its disks in their order, all files that belong to it, and why they are one machine.

    Paths are relative to the root.
    """

    name: str
    disks: tuple[str, ...]
    files: tuple[str, ...]
    reason: str


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """The machines by name; `others` are files that are none of any machine, `problems` what could not be looked at."""

    schema: str = "imgscan.plan/1"
    machines: tuple[PlanMachine, ...]
    others: tuple[PlanPath, ...]
    problems: tuple[PlanPath, ...]
