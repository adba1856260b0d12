r"""The report over a whole share: each machine's report, and what they add up to.

Its JSON is a published contract (`imgscan schema share-report`). It holds no time, no host, and nothing of how a
batch went: the same share gives the same bytes. Names of files and machines are printable, with a backslash as
``\\x5c``. What was read, in reads and bytes, stands under `io` in each machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from imgscan.errors import Why
from imgscan.model.machine import Tool
from imgscan.model.report import Finding, MachineReport, ProfileStamp, Readiness, Verdict
from imgscan.model.rule import Severity

MachineState = Literal["done", "failed", "pending"]


class MachineFailure(msgspec.Struct, frozen=True):
    """Why not all of a machine could be read: `failure` is the class, `detail` one sentence."""

    failure: str
    detail: str


class MachineOnShare(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as the batch knows it.

    `files` are all that belong to it, relative to the root; `reason` says why they are one machine.
    """

    state: MachineState
    reason: str
    files: tuple[str, ...]
    failure: MachineFailure | None = None


class ShareMachine(MachineReport, frozen=True, kw_only=True):
    """The report on one machine, and where it stands on the share."""

    share: MachineOnShare


class RuleCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many machines a rule fails for, or could not be decided for (and fails for no part of).

    `alone` counts the machines for which this blocker is the only one that failed or is undecided, without those that
    could not be read (state `failed`): for them reading comes first.
    """

    rule: str
    severity: Severity
    failed: int
    unknown: int
    alone: int


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """A step in the order of fixes that frees most machines soonest.

    With this rule's flaw fixed (or decided for the good), and those of the steps before it, `unblocks` more machines
    have no blocker left, `cumulative` with the steps before. `machines` have this flaw.
    """

    rule: str
    machines: int
    unblocks: int
    cumulative: int


class ProfileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All machines under one profile.

    `readiness` counts machines, `not_judged` those that were not scanned yet or not judged for this profile, `blocked`
    those that were read and have a blocker that failed or is undecided: `fixes` are about them. `rules` are those
    that failed or are undecided anywhere.
    """

    profile: str
    readiness: dict[Readiness, int]
    not_judged: int
    blocked: int
    rules: tuple[RuleCount, ...]
    fixes: tuple[Fix, ...]


class SystemCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many machines hold a system; `product` and `version` are null where they could not be read."""

    family: str
    product: str | None
    version: str | None
    machines: int


class FailureGroup(msgspec.Struct, frozen=True):
    """The machines of one class of failure, by name."""

    failure: str
    machines: tuple[str, ...]


class UnreadPath(msgspec.Struct, frozen=True):
    """A path of the share that could not be looked at."""

    path: str
    why: Why
    detail: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the machines add up to.

    `selection` are the conditions that were asked for; `machines` meet them, of `machines_on_share`. `disks`,
    `virtual_size` (bytes) and `formats` (disks by container format, `unrecognised` for none) are about what was read.
    `pending` are machines that were not scanned yet. `paths` and `other_files` (files that belong to no machine) are
    about the share, whatever the selection.
    """

    selection: tuple[str, ...]
    machines: int
    machines_on_share: int
    states: dict[MachineState, int]
    disks: int
    virtual_size: int
    formats: dict[str, int]
    profiles: tuple[ProfileSummary, ...]
    systems: tuple[SystemCount, ...]
    failures: tuple[FailureGroup, ...]
    pending: tuple[str, ...]
    paths: tuple[UnreadPath, ...]
    other_files: int


class ShareReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `imgscan report DB --format json` prints; `machines` are those of which something is known, by name."""

    schema: str = "imgscan.share-report/1"
    tool: Tool
    profiles: tuple[ProfileStamp, ...]
    machines: tuple[ShareMachine, ...]
    summary: Summary


class SystemAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An installed system in short."""

    family: str
    id: str | None
    version: str | None
    product: str | None
    hostname: str | None


class DiskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A disk in short; `virtual_size` in bytes."""

    path: str
    format: str | None
    virtual_size: int | None


class MachineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One machine with what is asked most, without its facts; `verdicts` are those of the report's profiles, in order.

    A verdict is None when the machine was not scanned yet, or not judged for that profile.
    """

    name: str
    share: MachineOnShare
    verdicts: tuple[Verdict | None, ...]
    systems: tuple[SystemAnswer, ...]
    disks: tuple[DiskAnswer, ...]

    def findings(self, rule: str | None = None) -> Iterator[tuple[str, Finding]]:
        """Yield the findings that failed or are undecided (of one rule), each with its profile's name."""
        for verdict in self.verdicts:
            for finding in () if verdict is None else verdict.findings:
                if finding.outcome in {"fail", "unknown"} and rule in {None, finding.rule}:
                    yield "" if verdict is None else verdict.profile, finding
