"""What a batch tells while it runs: to a person at a terminal, as plain lines, as JSON lines for programs.

Every event is a name and a few plain values; `State` is what they add up to. A machine's `done` and `failed` are told
after the ledger has them on disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from imgscan.batch.backend import Running
from imgscan.batch.ledger import AttemptEnd, Failure, Planned
from imgscan.batch.share import Plan
from imgscan.model.machine import MachineFacts
from imgscan.model.report import Verdict
from imgscan.model.text import shown

Plain = str | int | float | bool | None | dict[str, str] | dict[str, int]


class State(msgspec.Struct):
    """How far a batch is. `total` are the machines to scan in this run, `kept` those whose results are there already.

    `bytes` were read from images in this run; times are in seconds of a clock without meaning of its own.
    """

    doing: str = "looking for files"
    discovered: int = 0
    to_identify: int = 0
    identified: int = 0
    total: int = 0
    kept: int = 0
    done: int = 0
    failed: int = 0
    bytes: int = 0
    readiness: Counter[str] = msgspec.field(default_factory=Counter)
    running: Sequence[Running] = ()
    waiting: str = ""
    scanning_since: float = 0.0

    @property
    def rate(self) -> float:
        """Machines a second, since the first was started."""
        took = time.monotonic() - self.scanning_since
        return (self.done + self.failed) / took if self.scanning_since and took > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None while that cannot be said."""
        return (self.total - self.done - self.failed) / self.rate if self.rate else None


class Listener(Protocol):
    """Who is told."""

    def event(self, name: str, values: Mapping[str, Plain], state: State) -> None:
        """Take note of what happened."""
        ...

    def tick(self, state: State) -> None:
        """Take note that time went by."""
        ...

    def close(self) -> None:
        """Take note that nothing more will happen."""
        ...


class Events:
    """Keeps the state, and tells the listeners."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self.state = State()
        self._listeners = list(listeners)

    def tell(self, name: str, **values: Plain) -> None:
        """Tell an event; texts are made harmless."""
        safe: dict[str, Plain] = {
            key: shown(value) if isinstance(value, str) else value for key, value in values.items()
        }
        self._each(lambda listener: listener.event(name, safe, self.state))

    def _each(self, tell: Callable[[Listener], None]) -> None:
        """Tell each listener; one that cannot write any more (a terminal that was closed) is not told again."""
        for listener in self._listeners:
            try:
                tell(listener)
            except (OSError, ValueError):  # ValueError: of a closed file
                self._listeners = [other for other in self._listeners if other is not listener]

    def identifying(self, known: int, unknown: int) -> None:
        """Tell of how many files the content is known from before, and at how many it has to be looked."""
        self.state.doing = "looking into files"
        self.state.to_identify = unknown
        self.tell("identifying", known=known, files=unknown)

    def identified(self, number: int) -> None:
        """Count files that were looked into."""
        self.state.identified += number

    def planned(self, plan: Plan, planned: Planned | None, pending: int, counts: Mapping[str, int]) -> None:
        """Tell what there is to do."""
        state = self.state
        state.doing = "scanning"
        state.total = pending
        state.kept = counts["done"] + counts["failed"]
        state.scanning_since = time.monotonic()
        self.tell(
            "planned",
            machines=len(plan.machines),
            to_scan=pending,
            new=planned.new if planned else 0,
            changed=planned.changed if planned else 0,
            unchanged=planned.unchanged if planned else 0,
            gone=planned.gone if planned else 0,
            problems=len(plan.problems),
        )

    def attempt_failed(self, name: str, end: AttemptEnd, times: int) -> None:
        """Tell that a machine will be read again; `times` counts how often it has failed in this way."""
        self.tell("again", machine=name, outcome=end.outcome, part=end.part, detail=end.detail, times=times)

    def done(self, name: str, facts: MachineFacts, verdicts: Mapping[str, Verdict], failure: Failure | None) -> None:
        """Tell that a machine's results are on disk."""
        state = self.state
        readiness = {verdict.profile: str(verdict.readiness) for verdict in verdicts.values()}
        state.readiness.update(readiness.values())
        state.bytes += facts.io.bytes
        if failure is None:
            state.done += 1
            self.tell("done", machine=name, readiness=readiness, reads=facts.io.reads, bytes=facts.io.bytes)
        else:
            state.failed += 1
            self.tell("failed", machine=name, readiness=readiness, failure=failure.kind, detail=failure.detail)

    def waiting(self, why: str) -> None:
        """Tell that nothing can be written now."""
        self.state.waiting = why
        self.tell("waiting", why=why)

    def going_on(self) -> None:
        """Tell that it could be written again."""
        self.state.waiting = ""
        self.tell("going-on")

    def tick(self, running: Sequence[Running], discovered: int | None) -> None:
        """Take note that time went by."""
        self.state.running = running
        if discovered is not None:
            self.state.discovered = discovered
        self._each(lambda listener: listener.tick(self.state))

    def close(self) -> None:
        """Take note that nothing more will happen."""
        self._each(lambda listener: listener.close())
