"""The report: facts, and what each profile makes of them.

Its JSON is a published contract (`imgscan schema report`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence
from imgscan.model.machine import MachineFacts, Tool
from imgscan.model.profile import Requirement
from imgscan.model.rule import Outcome, Severity

Readiness = Literal["ready", "ready-with-warnings", "not-ready", "undecided"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's answer for one subject; `system` is an index into the machine's systems, None for the machine."""

    rule: str
    system: int | None
    outcome: Outcome
    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...]
    requirement: Requirement
    remedy: str
    predicts: str | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All findings of one profile on one machine, and what they add up to."""

    profile: str
    readiness: Readiness
    findings: tuple[Finding, ...]


class MachineReport(MachineFacts, frozen=True, kw_only=True):
    """The facts of one machine with the verdicts on it."""

    verdicts: tuple[Verdict, ...]


class ProfileStamp(msgspec.Struct, frozen=True):
    """Which profile was applied, exactly."""

    name: str
    version: str
    digest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `imgscan scan --format json` prints."""

    schema: str = "imgscan.report/1"
    tool: Tool
    profiles: tuple[ProfileStamp, ...]
    machines: tuple[MachineReport, ...]
