"""A batch from beginning to end: discover, identify, plan, scan; the ledger holds the truth after every step.

The supervisor's process. It loads no parser: what is inside a file, workers say.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from imgscan.batch.answers import parse_inspection
from imgscan.batch.backend import Backend, Finished, Task
from imgscan.batch.conversation import NONSENSE, Death
from imgscan.batch.discovery import Filters, discover, needs_identification
from imgscan.batch.events import Events
from imgscan.batch.grouping import Mode, group, only_newer
from imgscan.batch.isolated import make_job
from imgscan.batch.ledger import AttemptEnd, Failure, FailureClass, Ledger, Outcome, PendingMachine
from imgscan.batch.names import last_component
from imgscan.batch.recovery import LeftOut, cut_short, with_changed_disks, with_missing_disks, without_failing_part
from imgscan.batch.share import FileStamp, FoundFile, Identified, PathProblem, Plan, PlannedMachine
from imgscan.batch.source import Source, SourceFiles
from imgscan.errors import ImageError, ImgscanError, LedgerUnavailable, Why
from imgscan.judge import judge
from imgscan.model.collect import USUAL
from imgscan.model.machine import MachineFacts
from imgscan.model.profile import Profile
from imgscan.model.report import Verdict
from imgscan.model.text import shown

IDENTIFIED_AT_ONCE: Final = 128
"""Files that one worker says what they are; what it dies of is left out, and the others are asked again."""
TRANSIENT: Final = frozenset[Outcome]({"io-error", "changed", "missing", "denied"})
"""What may pass: the machine is read again, later."""
TRIES: Final[dict[Outcome, int]] = {"io-error": 6, "changed": 4, "missing": 3, "denied": 2, "killed": 10}
"""How often a machine is read in all before one of these is final."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a machine is read again after what may pass; doubled each time."""
LEDGER_PAUSE: Final = 1.0
"""Seconds between attempts to write when the ledger's disk is full."""
MISSING_NAMED: Final = 4
"""Disks that the reason of a machine without them names."""
TICK: Final = 0.2
"""Seconds between looks at the time, while nothing happens."""


class Wanted(msgspec.Struct, frozen=True):
    """What the user asked of a batch; `since_ns` is a moment in nanoseconds since 1970 (see `only_newer`)."""

    profiles: tuple[Profile, ...]
    mode: Mode = "auto"
    filters: Filters = msgspec.field(default_factory=Filters)
    since_ns: int | None = None
    retry: frozenset[FailureClass] = frozenset()


class _Attempts(msgspec.Struct):
    """What happened to one machine so far, in this run and before, on the same inputs."""

    ends: list[AttemptEnd]
    left_out: LeftOut = msgspec.field(default_factory=dict)
    death: Death | None = None
    not_before: float = 0.0

    def count(self, outcome: Outcome) -> int:
        return sum(end.outcome == outcome for end in self.ends)


class _Result(msgspec.Struct, frozen=True):
    """What is to be written about a machine that is finished."""

    name: str
    facts: MachineFacts
    failure: Failure | None
    fingerprints: dict[str, str]


def pause_after(tried: int) -> float:
    """Return for how many seconds to leave alone what failed so many times."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tried - 1)))


class Interrupted(Exception):
    """The user asked the batch to stop."""


class Engine:
    """One run over a share. `stopping` is asked often; when it says so, the run ends with `Interrupted`."""

    def __init__(
        self,
        source: Source,
        ledger: Ledger | None,
        pool: Backend,
        wanted: Wanted,
        events: Events,
        stopping: Callable[[], bool],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._pool = pool
        self._wanted = wanted
        self._events = events
        self._stopping = stopping

    def plan(self) -> tuple[Plan, dict[str, FileStamp]]:
        """Find out what is on the share, and which files are one machine; stamps are by path."""
        files: list[FoundFile] = []
        problems: list[PathProblem] = []
        ticked = 0.0
        for found in discover(self._source, self._wanted.filters):
            if isinstance(found, FoundFile):
                files.append(found)
            else:
                problems.append(found)
            if time.monotonic() - ticked > TICK:
                ticked = time.monotonic()
                self._tick(discovered=len(files))
        self._tick(discovered=len(files))
        identified = self._identify(files)
        plan = group(files, identified, self._wanted.mode, problems)
        stamps = {file.path: file.stamp for file in files}
        if self._wanted.since_ns is not None:
            plan = only_newer(plan, stamps, self._wanted.since_ns)
        return plan, stamps

    def _identify(self, files: Sequence[FoundFile]) -> dict[str, Identified]:
        """Return what each file is: as the ledger knows it, else by asking workers."""
        identified: dict[str, Identified] = {}
        todo: list[FoundFile] = []
        for file in files:
            known = self._ledger.identified(file.path, file.stamp) if self._ledger is not None else None
            if known is not None:
                identified[file.path] = known
            elif needs_identification(file):
                todo.append(file)
        chunks = deque(
            _Chunk(tuple(todo[start : start + IDENTIFIED_AT_ONCE])) for start in range(0, len(todo), IDENTIFIED_AT_ONCE)
        )
        at_work = 0
        self._events.identifying(len(identified), len(todo))
        while chunks or at_work:
            now = time.monotonic()
            for _ in range(len(chunks)):
                if not self._pool.free:
                    break
                chunk = chunks.popleft()
                if chunk.not_before > now:
                    chunks.append(chunk)
                    continue
                self._pool.submit(chunk.task(self._source))
                at_work += 1
            if not at_work:
                self._pause(0.05)
            for ended in self._wait():
                at_work -= 1
                if not isinstance(ended.token, _Chunk):
                    raise TypeError(ended.token)
                again, answers = ended.token.take(ended)
                chunks.extend(again)
                identified.update({file.path: answer for file, answer in answers})
                self._keep_identified(answers)
                self._events.identified(len(answers))
        return identified

    def _keep_identified(self, answers: Sequence[tuple[FoundFile, Identified]]) -> None:
        ledger = self._ledger
        if ledger is None:
            return

        def write() -> None:
            for file, answer in answers:
                if answer.why not in {"io-error", "crashed", "timed-out", "limit", "internal", "missing"}:
                    ledger.keep_identified(file.path, file.stamp, answer)

        self._write(write)

    def scan(self, plan: Plan, stamps: Mapping[str, FileStamp], conditions: str) -> None:
        """Scan every machine of the plan that the ledger has no result for, and judge it."""
        ledger = self._ledger
        if ledger is None:
            raise RuntimeError("a scan needs a ledger")
        planned = None

        def record() -> None:
            nonlocal planned
            whole = self._wanted.filters == Filters() and self._wanted.since_ns is None
            planned = ledger.record_plan(plan, stamps, conditions, self._wanted.retry, whole=whole)

        self._write(record)
        machines = {machine.name: machine for machine in plan.machines}
        self._judge_stored()
        pending = [machine for machine in ledger.pending() if machine.name in machines]
        self._events.planned(
            plan, planned, len(pending), {str(state): number for state, number in ledger.counts().items()}
        )
        self._run_machines(machines, pending)

    def _judge_stored(self) -> None:
        """Judge what was scanned before for profiles that were not asked then; no image is read."""
        ledger = self._ledger
        if ledger is None:
            return
        for profile in self._wanted.profiles:
            for group_of in _in_groups(ledger.unjudged(profile), 200):
                verdicts = [(name, judge(facts, profile)) for name, facts in group_of]

                self._write(partial(_save_verdicts, ledger, profile.digest, verdicts))
                self._tick()

    def _run_machines(self, machines: Mapping[str, PlannedMachine], pending: Sequence[PendingMachine]) -> None:
        ledger = self._ledger
        if ledger is None:
            return
        attempts = {machine.name: _resumed(machine) for machine in pending}
        queue = deque(machine.name for machine in pending)
        at_work: set[str] = set()
        while queue or at_work:
            ended = self._wait() if at_work else []
            ends: list[tuple[str, AttemptEnd]] = []
            results: list[_Result] = []
            again: list[tuple[str, AttemptEnd, int]] = []
            for one in ended:
                name = str(one.token)
                at_work.discard(name)
                end, result = self._settle(machines[name], attempts[name], one)
                attempts[name].ends.append(end)
                ends.append((name, end))
                if result is not None:
                    results.append(result)
                    del attempts[name]
                else:
                    queue.append(name)
                    again.append((name, end, attempts[name].count(end.outcome)))
            starting = self._next(queue, attempts)
            for name in starting:  # before anything is written: workers are not to wait for that
                at_work.add(name)
                disks = machines[name].disks
                job = make_job("inspect", disks, None, attempts[name].left_out, collect=USUAL)
                self._pool.submit(Task(name, job, partial(SourceFiles, self._source, disks)))
            verdicts = {
                result.name: {p.digest: judge(result.facts, p) for p in self._wanted.profiles} for result in results
            }
            if ends or starting:
                self._write(partial(_save, ledger, machines, ends, results, starting, verdicts))
            for name, end, times in again:
                self._events.attempt_failed(name, end, times)
            for result in results:
                self._events.done(result.name, result.facts, verdicts[result.name], result.failure)
            if not at_work and queue:
                self._pause(0.05)

    def _next(self, queue: deque[str], attempts: Mapping[str, _Attempts]) -> list[str]:
        """Take the machines that can be started now out of the queue; those that have to wait go to its end."""
        now = time.monotonic()
        starting: list[str] = []
        for _ in range(len(queue)):
            if len(starting) >= self._pool.free:
                break
            name = queue.popleft()
            if attempts[name].not_before > now:
                queue.append(name)
            else:
                starting.append(name)
        return starting

    def _settle(self, machine: PlannedMachine, attempts: _Attempts, one: Finished) -> tuple[AttemptEnd, _Result | None]:
        """Return how an attempt ended, and the result when it was the last one."""
        ended = one.ended
        death = ended.death
        facts: MachineFacts | None = None
        fingerprints: dict[str, str] = {}
        outcome: Outcome = "done"
        part: str | None = None
        detail: str | None = None
        level = str(ended.level) if ended.level is not None else None
        if ended.done is not None:
            try:
                answer = parse_inspection(ended.done.result)
            except (msgspec.MsgspecError, ValueError):
                death = Death("crashed", NONSENSE, "")
            else:
                facts, fingerprints = answer.facts, answer.fingerprints
                if answer.failed_reads:
                    outcome = "io-error"
                    detail = _first_detail(facts, "io-error") or "the host could not read all that was asked for"
                elif one.changed is not None:
                    outcome, detail = "changed", f"{one.changed} was changed while it was read"
                elif answer.failures:
                    outcome, detail = "internal", answer.failures[0]
        elif ended.error is not None:
            outcome = _why(ended.error)
            detail = str(ended.error)
            death = Death(_why(ended.error), detail, "")
        if death is not None and ended.error is None:
            outcome = "killed" if death.from_outside else death.why
            part, detail = death.part or None, death.detail
        io = facts.io if facts is not None else None
        end = AttemptEnd(
            outcome=outcome,
            part=part,
            detail=detail,
            cpu_seconds=ended.usage.cpu,
            max_rss=ended.usage.memory,
            reads=io.reads if io else None,
            bytes=io.bytes if io else None,
            sandbox=level,
        )
        if self._again(attempts, outcome, death):
            return end, None
        if facts is None:
            lost = death or Death("crashed", "the worker ended without an answer", "")
            facts = cut_short(ended.facts_learnt(), machine.disks, lost)
        failure = None if outcome in {"done", "interrupted"} else Failure(outcome, detail or outcome)  # type: ignore[arg-type] # not narrowed
        if failure is None and attempts.death is not None:
            before = attempts.death
            failure = Failure(before.why, f"{before.part}: {before.detail}")
        if outcome == "changed":
            facts = with_changed_disks(facts, detail or outcome)
        if machine.missing:
            facts = with_missing_disks(facts, machine.missing)
            failure = failure or Failure("missing", _names_missing(machine.missing))
        return end, _Result(machine.name, facts, failure, fingerprints)

    @staticmethod
    def _again(attempts: _Attempts, outcome: Outcome, death: Death | None) -> bool:
        """Decide whether a machine is read again, and note how."""
        if outcome in TRIES:
            tried = attempts.count(outcome) + 1
            if tried >= TRIES[outcome]:
                return False
            attempts.not_before = time.monotonic() + (0.0 if outcome == "killed" else pause_after(tried))
            return True
        if death is None or attempts.left_out:
            return False
        left_out = without_failing_part(death)
        if left_out is None:
            return False
        attempts.left_out, attempts.death = left_out, death
        return True

    def _wait(self) -> list[Finished]:
        self._tick()  # first: what ended is not to be lost when the run is stopped
        return self._pool.wait(TICK)

    def _tick(self, discovered: int | None = None) -> None:
        self._events.tick(self._pool.running(), discovered)
        if self._stopping():
            raise Interrupted

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        self._tick()

    def _write(self, write: Callable[[], None]) -> None:
        """Write to the ledger in one transaction; while its disk is full, wait and do it again."""
        ledger = self._ledger
        if ledger is None:
            return
        waiting = False
        while True:
            try:
                with ledger.transaction():
                    write()
            except LedgerUnavailable as error:
                if not waiting:
                    self._events.waiting(str(error))
                waiting = True
                self._pause(LEDGER_PAUSE)
                continue
            if waiting:
                self._events.going_on()
            return


def _save(
    ledger: Ledger,
    machines: Mapping[str, PlannedMachine],
    ends: Sequence[tuple[str, AttemptEnd]],
    results: Sequence[_Result],
    starting: Sequence[str],
    verdicts: Mapping[str, Mapping[str, Verdict]],
) -> None:
    """Write how attempts ended, the results, and which attempts begin."""
    for name, end in ends:
        ledger.end_attempt(name, end)
    for one in results:
        found = _by_path(machines[one.name], one.fingerprints)
        ledger.finish(one.name, one.facts, verdicts[one.name], one.failure, found)
    for name in starting:
        ledger.start_attempt(name)


def _save_verdicts(ledger: Ledger, digest: str, verdicts: Sequence[tuple[str, Verdict]]) -> None:
    for name, verdict in verdicts:
        ledger.save_verdict(name, digest, verdict)


class _Chunk(msgspec.Struct, frozen=True, eq=False):
    """Files that are identified together; `tried` counts what may pass: the host's errors, and kills from outside."""

    files: tuple[FoundFile, ...]
    tried: int = 0
    not_before: float = 0.0

    def task(self, source: Source) -> Task:
        paths = [file.path for file in self.files]
        # a worker needs no more than a number: what the files are called is no business of a parser
        job = make_job("identify", [str(number) for number in range(len(paths))])
        return Task(self, job, lambda: _Numbered(SourceFiles(source, paths), paths))

    def take(self, ended: Finished) -> tuple[list[_Chunk], list[tuple[FoundFile, Identified]]]:
        """Return what has to be asked again, and what was answered."""
        done, death, error = ended.ended.done, ended.ended.death, ended.ended.error
        if done is not None:
            try:
                answers = msgspec.json.decode(done.result, type=list[Identified])
            except (msgspec.MsgspecError, ValueError):
                answers = []
            if len(answers) == len(self.files):
                return self._taken(answers)
        if death is not None and death.from_outside and self.tried < TRIES["killed"]:
            return [_Chunk(self.files, self.tried + 1)], []
        if len(self.files) > 1:
            return self._divided(death.part if death is not None else ""), []
        why: Why = death.why if death is not None else "crashed" if error is None else _why(error)
        detail = death.detail if death is not None else str(error or NONSENSE)
        return [], [(self.files[0], Identified(why=why, detail=detail))]

    def _divided(self, part: str) -> list[_Chunk]:
        """Return smaller chunks: the file that is to blame alone, else halves. Only a file alone is given up."""
        files = self.files
        number = int(part) if part.isdecimal() and int(part) < len(files) else None
        middle = len(files) // 2
        pieces = (
            (files[:middle], files[middle:])
            if number is None
            else (files[:number], files[number : number + 1], files[number + 1 :])
        )
        return [_Chunk(piece) for piece in pieces if piece]

    def _taken(self, answers: Sequence[Identified]) -> tuple[list[_Chunk], list[tuple[FoundFile, Identified]]]:
        pairs = list(zip(self.files, answers, strict=True))
        failed = tuple(file for file, answer in pairs if answer.why == "io-error")
        if failed and self.tried < TRIES["io-error"]:
            again = _Chunk(failed, self.tried + 1, time.monotonic() + pause_after(self.tried + 1))
            return [again], [(file, answer) for file, answer in pairs if answer.why != "io-error"]
        return [], pairs


class _Numbered:
    """Files that a worker knows by their numbers only."""

    def __init__(self, files: SourceFiles, paths: Sequence[str]) -> None:
        self._files = files
        self._paths = paths
        self.open = lambda path, counter: files.open(paths[int(path)], counter)
        self.close = files.close


def _resumed(machine: PendingMachine) -> _Attempts:
    """Return what an earlier run has tried on the same inputs."""
    attempts = _Attempts(list(machine.attempts))
    for end in machine.attempts:
        if end.outcome in {"crashed", "timed-out", "limit"} and end.part:
            attempts.death = Death(end.outcome, end.detail or "", end.part)
            attempts.left_out = without_failing_part(attempts.death) or {}
    return attempts


def _names_missing(names: Sequence[str]) -> str:
    more = f" and {len(names) - MISSING_NAMED} more" if len(names) > MISSING_NAMED else ""
    return f"its description names disks that are not there: {', '.join(map(shown, names[:MISSING_NAMED]))}{more}"


def _why(error: ImgscanError) -> Why:
    if isinstance(error, ImageError):
        return error.why
    return "missing" if "no such file" in error.message else "internal"


def _first_detail(facts: MachineFacts, why: Why) -> str | None:
    return next((f"{place.where}: {place.detail}" for place in facts.unread if place.why == why), None)


def _by_path(machine: PlannedMachine, fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Return fingerprints by path; a bare name that two files of a machine have is left out."""
    paths: dict[str, list[str]] = {}
    for path in machine.files:
        paths.setdefault(last_component(path), []).append(path)
    return {paths[name][0]: found for name, found in fingerprints.items() if len(paths.get(name, ())) == 1}


def _in_groups(items: Iterator[tuple[str, MachineFacts]], size: int) -> Iterator[list[tuple[str, MachineFacts]]]:
    group_of: list[tuple[str, MachineFacts]] = []
    for item in items:
        group_of.append(item)
        if len(group_of) >= size:
            yield group_of
            group_of = []
    if group_of:
        yield group_of
