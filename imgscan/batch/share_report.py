"""The answers over a whole share, made from the ledger alone: which machines, what each is, what they add up to.

No image is opened and no reader is loaded. All is read in one snapshot, so that a batch may go on meanwhile, and
machine after machine, so that memory does not grow with the share.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec

from imgscan import profiles
from imgscan.batch.ledger import FailureClass, parse_facts
from imgscan.batch.ledger_file import open_reader, typed_errors
from imgscan.batch.written_names import written
from imgscan.errors import LedgerError, UsageError
from imgscan.judge import judge
from imgscan.model.evidence import Evidence
from imgscan.model.machine import MachineFacts, Tool
from imgscan.model.profile import Profile, Requirement
from imgscan.model.report import Finding, MachineReport, ProfileStamp, Readiness, Report, Verdict
from imgscan.model.rule import Severity
from imgscan.model.share_report import (
    DiskAnswer,
    FailureGroup,
    Fix,
    MachineAnswer,
    MachineFailure,
    MachineOnShare,
    MachineState,
    ProfileSummary,
    RuleCount,
    ShareMachine,
    Summary,
    SystemAnswer,
    SystemCount,
    UnreadPath,
)

READINESS: tuple[Readiness, ...] = get_args(Readiness)
STATES: tuple[MachineState, ...] = get_args(MachineState)
FAILURES: tuple[str, ...] = tuple(str(name) for part in get_args(FailureClass) for name in (get_args(part) or (part,)))
SEVERITY_ORDER: dict[Severity, int] = {"blocker": 0, "warning": 1, "advice": 2}
Status = Literal[0, 1, 3, 70]
"""Exit status: 1 not ready, 3 undecided or not scanned, 0 else."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which machines: all conditions hold. `rule` means that it fails or is undecided for one of the profiles."""

    where: tuple[tuple[str, str], ...] = ()
    rule: str | None = None

    def words(self) -> tuple[str, ...]:
        """Return the conditions as they were given."""
        rule = () if self.rule is None else (f"rule={self.rule}",)
        return (*(f"{key}={value}" for key, value in self.where), *rule)

    def holds(self, answer: MachineAnswer) -> bool:
        """Return whether a machine meets all conditions."""
        return all(_CONDITIONS[key](answer, value) for key, value in self.where) and (
            self.rule is None or any(True for _ in answer.findings(self.rule))
        )


def parse_selection(where: Sequence[str], rule: str | None = None) -> Selection:
    """Return the selection that `--where key=value` and `--rule` ask for.

    :raises UsageError: a condition is not `key=value`, or its key, value or the rule is none that there is
    """
    conditions = []
    for text in where:
        key, equals, value = text.partition("=")
        if not equals or key not in _CONDITIONS:
            raise UsageError(f"--where takes {', '.join(f'{name}=...' for name in _CONDITIONS)}; not {text!r}")
        allowed = _VALUES.get(key)
        if not value or (allowed is not None and value not in allowed):
            raise UsageError(f"--where {key}= takes {', '.join(allowed) if allowed else 'some text'}; not {value!r}")
        conditions.append((key, value))
    if rule is not None:
        from imgscan.rules import BY_NAME  # noqa: PLC0415 - only here, to help with a misspelt name

        if rule not in BY_NAME:
            raise UsageError(f"there is no rule {rule!r}{_did_you_mean(rule, BY_NAME)}; imgscan rules lists them")
    return Selection(where=tuple(conditions), rule=rule)


class ShareReader:
    """A ledger as reports read it: one snapshot from `open` to `close`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, chosen: Sequence[Profile]) -> None:
        self._connection = connection
        self._path = path
        with typed_errors(path):
            connection.execute("BEGIN")
            run = connection.execute("SELECT tool FROM runs ORDER BY id DESC LIMIT 1").fetchone()
            if run is None:
                raise LedgerError("it holds no run yet; imgscan batch makes one", where=str(path))
            numbers = {
                ProfileStamp(name, version, digest): number
                for number, name, version, digest in connection.execute(
                    "SELECT id, name, version, digest FROM profiles"
                )
            }
            current = [
                ProfileStamp(*row)
                for row in connection.execute(
                    "SELECT profiles.name, profiles.version, digest FROM current_profiles "
                    "JOIN profiles ON profiles.id = profile ORDER BY position"
                )
            ]
            self._requirements = {
                number: (Requirement(text, source, date), remedy, predicts)
                for number, text, source, date, remedy, predicts in connection.execute(
                    "SELECT id, text, source, date, remedy, predicts FROM requirements"
                )
            }
        self.root: str = connection.execute("SELECT root FROM ledger").fetchone()[0]
        self.tool = msgspec.json.decode(run[0], type=Tool)
        self.profiles = tuple(
            dict.fromkeys(ProfileStamp(p.name, p.version, p.digest) for p in chosen) if chosen else current
        )
        by_digest = {stamp.digest: number for stamp, number in numbers.items()}
        self._profiles = [(stamp, by_digest.get(stamp.digest)) for stamp in self.profiles]
        self._judges = {profile.digest: profile for profile in (*chosen, *map(profiles.load, profiles.NAMES))}

    @classmethod
    def open(cls, path: Path, chosen: Sequence[Profile] = ()) -> Self:
        """Open a ledger for reading; `chosen` stand in for the profiles of its last run.

        :raises UsageError: it is no ledger (see `open_reader`)
        :raises LedgerError: it is damaged, or no run has begun
        """
        connection = open_reader(path)
        try:
            return cls(connection, path, chosen)
        except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
            connection.close()
            raise

    def close(self) -> None:
        """End the snapshot."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(self, selection: Selection | None = None) -> Iterator[MachineAnswer]:
        """Yield the machines that are on the share and meet the selection, by name."""
        rows = self._rows("SELECT id, name, state, reason, failure, detail FROM machines WHERE present ORDER BY name")
        for row in rows:
            answer = self._answer(*row)
            if selection is None or selection.holds(answer):
                yield answer

    def answer(self, name: str) -> MachineAnswer:
        """Return one machine by its name, as it is or as reports write it.

        :raises UsageError: there is none
        """
        rows = self._rows(
            "SELECT id, name, state, reason, failure, detail FROM machines WHERE present AND name IN (?, ?) "
            "ORDER BY name = ? DESC",
            (name if name.isprintable() else written(name), written(name), written(name)),
        )
        if not rows:
            names = [row[0] for row in self._rows("SELECT name FROM machines WHERE present")]
            raise UsageError(f"there is no machine {name!r}{_did_you_mean(name, names)}", where=str(self._path))
        return self._answer(*rows[0])

    def facts(self, answer: MachineAnswer) -> MachineFacts:
        """Return what was read about a machine.

        :raises LedgerError: nothing was read yet
        """
        rows = self._rows(
            "SELECT json FROM facts JOIN machines ON machines.id = machine WHERE name = ?", (answer.name,)
        )
        if not rows:
            raise LedgerError(
                f"{answer.name} was not scanned yet; imgscan batch goes on with it", where=str(self._path)
            )
        return msgspec.structs.replace(parse_facts(rows[0][0], self._path), name=answer.name)

    def machine(self, answer: MachineAnswer) -> ShareMachine | None:
        """Return the whole report on a machine, None when it was not scanned yet."""
        if answer.share.state == "pending":
            return None
        facts = self.facts(answer)
        return ShareMachine(**_fields(facts), verdicts=_judged(answer), share=answer.share)

    def report(self, answer: MachineAnswer) -> Report:
        """Return the report on one machine as `imgscan scan` gives it; raises as `facts`."""
        machine = MachineReport(**_fields(self.facts(answer)), verdicts=_judged(answer))
        return Report(tool=self.tool, profiles=self.profiles, machines=(machine,))

    def unread_paths(self) -> tuple[UnreadPath, ...]:
        """Return the paths of the share that could not be looked at."""
        return tuple(
            UnreadPath(*row) for row in self._rows("SELECT path, why, detail FROM path_problems ORDER BY 1, 2, 3")
        )

    def exit_status(self) -> Status:
        """Return what `exit_status` says of the whole share, from the stored verdicts alone."""
        numbers = [number for _, number in self._profiles]
        where = f"profile IN ({', '.join('?' * len(numbers))})"
        verdicts = dict(
            self._rows(
                "SELECT readiness, count(*) FROM verdicts JOIN machines ON id = machine "  # noqa: S608 - only ?, ?
                f"WHERE present AND state IN ('done', 'failed') AND {where} GROUP BY readiness",
                numbers,
            )
        )
        if self._rows("SELECT 1 FROM machines WHERE present AND failure = 'internal' LIMIT 1"):
            return 70
        if verdicts.get("not-ready"):
            return 1
        unscanned = self._rows("SELECT 1 FROM machines WHERE present AND state <> 'done' LIMIT 1")
        not_judged = sum(verdicts.values()) < self.count("machines") * len(numbers)
        return 3 if unscanned or not_judged or verdicts.get("undecided") or self.unread_paths() else 0

    def count(self, table: Literal["machines", "other_files"]) -> int:
        """Return how many there are on the share."""
        condition = {"machines": "WHERE present", "other_files": ""}[table]
        return int(self._rows(f"SELECT count(*) FROM {table} {condition}")[0][0])  # noqa: S608 - names of ours

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with typed_errors(self._path):
            return self._connection.execute(statement, values).fetchall()

    def _answer(
        self, number: int, name: str, state: str, reason: str, failure: str | None, detail: str | None
    ) -> MachineAnswer:
        # a machine at work has no results: after the end of a batch that died it is what a pending one is
        shown_state: MachineState = "done" if state == "done" else "failed" if state == "failed" else "pending"
        return MachineAnswer(
            name=name,
            share=MachineOnShare(
                state=shown_state,
                reason=reason,
                files=tuple(
                    path
                    for (path,) in self._rows(
                        "SELECT path FROM machine_files JOIN files ON files.id = file WHERE machine = ? ORDER BY path",
                        (number,),
                    )
                ),
                failure=None if failure is None else MachineFailure(failure, detail or ""),
            ),
            verdicts=tuple(self._verdict(number, stamp, profile, shown_state) for stamp, profile in self._profiles),
            systems=tuple(
                SystemAnswer(**dict(zip(SystemAnswer.__struct_fields__, row, strict=True)))
                for row in self._rows(
                    "SELECT family, system_id, version, product, hostname FROM systems WHERE machine = ? "
                    "ORDER BY position",
                    (number,),
                )
            ),
            disks=tuple(
                DiskAnswer(**dict(zip(DiskAnswer.__struct_fields__, row, strict=True)))
                for row in self._rows(
                    "SELECT path, format, virtual_size FROM disks WHERE machine = ? ORDER BY position", (number,)
                )
            ),
        )

    def _verdict(self, machine: int, stamp: ProfileStamp, profile: int | None, state: MachineState) -> Verdict | None:
        if state == "pending":
            return None
        stored = self._rows("SELECT readiness FROM verdicts WHERE machine = ? AND profile IS ?", (machine, profile))
        if stored:
            return Verdict(profile=stamp.name, readiness=stored[0][0], findings=self._findings(machine, profile))
        chosen = self._judges.get(stamp.digest)
        rows = self._rows("SELECT json FROM facts WHERE machine = ?", (machine,))
        return judge(parse_facts(rows[0][0], self._path), chosen) if rows and chosen is not None else None

    def _findings(self, machine: int, profile: int | None) -> tuple[Finding, ...]:
        findings = []
        for rule, severity, system, outcome, summary, evidence, requirement in self._rows(
            "SELECT rule, severity, system, outcome, summary, evidence, requirement FROM findings "
            "WHERE machine = ? AND profile = ? ORDER BY position",
            (machine, profile),
        ):
            about, remedy, predicts = self._requirements[requirement]
            findings.append(
                Finding(
                    rule=rule,
                    system=system,
                    outcome=outcome,
                    severity=severity,
                    summary=summary,
                    evidence=_EVIDENCE.decode(evidence),
                    requirement=about,
                    remedy=remedy,
                    predicts=predicts,
                )
            )
        return tuple(findings)


_EVIDENCE = msgspec.json.Decoder(tuple[Evidence, ...])


class SummaryBuilder:
    """Adds machines up, one after the other; its size depends on how many kinds there are, not on how many machines."""

    def __init__(self, reader: ShareReader, selection: Selection) -> None:
        self._reader = reader
        self._selection = selection
        self._states: Counter[MachineState] = Counter()
        self._formats: Counter[str] = Counter()
        self._systems: Counter[tuple[str, str | None, str | None]] = Counter()
        self._failures: dict[str, list[str]] = {}
        self._pending: list[str] = []
        self._disks = self._virtual_size = 0
        self._profiles = [_ProfileCounter(stamp.name) for stamp in reader.profiles]

    def add(self, answer: MachineAnswer) -> None:
        """Count a machine."""
        self._states[answer.share.state] += 1
        if answer.share.state == "pending":
            self._pending.append(answer.name)
        if answer.share.state == "failed":
            failure = answer.share.failure.failure if answer.share.failure is not None else "internal"
            self._failures.setdefault(failure, []).append(answer.name)
        for disk in answer.disks:
            self._disks += 1
            self._virtual_size += disk.virtual_size or 0
            self._formats[disk.format or "unrecognised"] += 1
        self._systems.update({(system.family, system.product, system.version) for system in answer.systems})
        for counter, verdict in zip(self._profiles, answer.verdicts, strict=True):
            counter.add(verdict, failed=answer.share.state == "failed")

    def result(self) -> Summary:
        """Return the sum of all that was added."""
        systems = sorted(self._systems.items(), key=lambda item: (-item[1], *(part or "" for part in item[0])))
        return Summary(
            selection=self._selection.words(),
            machines=sum(self._states.values()),
            machines_on_share=self._reader.count("machines"),
            states={state: self._states[state] for state in STATES},
            disks=self._disks,
            virtual_size=self._virtual_size,
            formats=dict(self._formats),
            profiles=tuple(counter.result() for counter in self._profiles),
            systems=tuple(
                SystemCount(family=family, product=product, version=version, machines=machines)
                for (family, product, version), machines in systems
            ),
            failures=tuple(
                FailureGroup(failure, tuple(names))
                for failure, names in sorted(self._failures.items(), key=lambda item: (-len(item[1]), item[0]))
            ),
            pending=tuple(self._pending),
            paths=self._reader.unread_paths(),
            other_files=self._reader.count("other_files"),
        )


class _ProfileCounter:
    """One profile's share of the summary."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._readiness: Counter[Readiness] = Counter()
        self._not_judged = 0
        self._failed: Counter[tuple[Severity, str]] = Counter()
        self._unknown: Counter[tuple[Severity, str]] = Counter()
        self._blockers: Counter[frozenset[str]] = Counter()

    def add(self, verdict: Verdict | None, *, failed: bool) -> None:
        if verdict is None:
            self._not_judged += 1
            return
        self._readiness[verdict.readiness] += 1
        fails = {(f.severity, f.rule) for f in verdict.findings if f.outcome == "fail"}
        unknown = {(f.severity, f.rule) for f in verdict.findings if f.outcome == "unknown"} - fails
        self._failed.update(fails)
        self._unknown.update(unknown)
        blockers = frozenset(rule for severity, rule in fails | unknown if severity == "blocker")
        if blockers and not failed:
            self._blockers[blockers] += 1

    def result(self) -> ProfileSummary:
        alone = {next(iter(rules)): machines for rules, machines in self._blockers.items() if len(rules) == 1}
        rules = sorted(
            {*self._failed, *self._unknown},
            key=lambda key: (SEVERITY_ORDER[key[0]], -self._failed[key], -self._unknown[key], key[1]),
        )
        return ProfileSummary(
            profile=self._profile,
            readiness={readiness: self._readiness[readiness] for readiness in READINESS},
            not_judged=self._not_judged,
            blocked=sum(self._blockers.values()),
            rules=tuple(
                RuleCount(
                    rule=rule,
                    severity=severity,
                    failed=self._failed[severity, rule],
                    unknown=self._unknown[severity, rule],
                    alone=alone.get(rule, 0) if severity == "blocker" else 0,
                )
                for severity, rule in rules
            ),
            fixes=fixes(self._blockers),
        )


def fixes(blockers: Mapping[frozenset[str], int]) -> tuple[Fix, ...]:
    """Return the order of fixes that frees most machines soonest; `blockers` counts machines by the rules they fail.

    Each step takes the rule that frees most machines at once; among equals, and where none frees any alone, the one
    that most of the remaining machines have, then the first by name.
    """
    left = dict(blockers)
    having: Counter[str] = Counter()
    for rules, machines in blockers.items():
        for rule in rules:
            having[rule] += machines
    steps: list[Fix] = []
    freed = 0
    while left:
        alone: Counter[str] = Counter()
        remaining: Counter[str] = Counter()
        for rules, machines in left.items():
            for rule in rules:
                remaining[rule] += machines
                if len(rules) == 1:
                    alone[rule] += machines
        best = min(remaining, key=lambda rule: (-alone[rule], -remaining[rule], rule))
        freed += alone[best]
        steps.append(Fix(rule=best, machines=having[best], unblocks=alone[best], cumulative=freed))
        merged: Counter[frozenset[str]] = Counter()
        for rules, machines in left.items():
            if rules != {best}:
                merged[rules - {best}] += machines
        left = dict(merged)
    return tuple(steps)


def exit_status(summary: Summary, *, whole: bool = True) -> Status:
    """Return the worst of all machines: 70 a bug of imgscan, 1 not ready, 3 undecided or not all scanned, 0 ready.

    A path that could not be looked at counts when the report is about the `whole` share.
    """
    readiness = {name for profile in summary.profiles for name, machines in profile.readiness.items() if machines}
    if any(group.failure == "internal" for group in summary.failures):
        return 70
    if "not-ready" in readiness:
        return 1
    unscanned = (
        summary.failures
        or summary.pending
        or any(profile.not_judged for profile in summary.profiles)
        or (summary.paths and whole and not summary.selection)
    )
    return 3 if unscanned or "undecided" in readiness else 0


def _fields(facts: MachineFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in MachineFacts.__struct_fields__}


def _judged(answer: MachineAnswer) -> tuple[Verdict, ...]:
    return tuple(verdict for verdict in answer.verdicts if verdict is not None)


def _is_system(answer: MachineAnswer, wanted: str) -> bool:
    """Whether a system's family or id is `wanted`, or its product or `id version` holds it; case does not matter."""
    wanted = wanted.casefold()
    return any(
        wanted in {system.family.casefold(), (system.id or "").casefold()}
        or wanted in (system.product or "").casefold()
        or wanted in f"{system.id or ''} {system.version or ''}".casefold()
        for system in answer.systems
    )


def _did_you_mean(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return f" (did you mean {', '.join(near)}?)" if near else ""


_CONDITIONS: dict[str, Callable[[MachineAnswer, str], bool]] = {
    "readiness": lambda answer, value: any(v is not None and v.readiness == value for v in answer.verdicts),
    "system": _is_system,
    "state": lambda answer, value: answer.share.state == value,
    "failure": lambda answer, value: answer.share.failure is not None and answer.share.failure.failure == value,
}
"""What `--where` can ask."""
_VALUES: dict[str, tuple[str, ...]] = {"readiness": READINESS, "state": STATES, "failure": FAILURES}
