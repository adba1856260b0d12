"""What a rule is: a question about `MachineFacts`, answered from facts alone.

A rule file holds the docstring (``What it checks`` / ``Why it matters`` / ``How to fix``), a typed ``Params``, a
``check`` and ``RULE``. A ``check`` reads facts with `Fact.get`; an unread one leaves the function as `UnreadFact`, and
the judge makes it `unknown`. So a rule cannot pass by forgetting something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import Evidence

if TYPE_CHECKING:
    from imgscan.model.machine import MachineFacts

Outcome = Literal["pass", "fail", "unknown", "not-applicable", "manual"]
Severity = Literal["blocker", "warning", "advice"]


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For rules that have nothing to set."""


class Result(msgspec.Struct, frozen=True):
    """A rule's answer; `summary` is one sentence with the figures that decided. Never made with `unknown` by a rule."""

    outcome: Outcome
    summary: str
    evidence: tuple[Evidence, ...] = ()


def passed(summary: str, *evidence: Evidence) -> Result:
    """Return a pass; `summary` says what was found good."""
    return Result("pass", summary, evidence)


def failed(summary: str, *evidence: Evidence) -> Result:
    """Return a fail; `summary` says what is wrong, with the figure and the limit."""
    return Result("fail", summary, evidence)


def not_applicable(summary: str, *evidence: Evidence) -> Result:
    """Return that the question does not arise on this machine; `summary` says why."""
    return Result("not-applicable", summary, evidence)


def manual(summary: str, *evidence: Evidence) -> Result:
    """Return a check-list item; `summary` says what a person has to confirm."""
    return Result("manual", summary, evidence)


NAMED = 3
"""Things that were not read that one answer names."""
Subject = TypeVar("Subject")


def over(subjects: Iterable[Subject], ask: Callable[[Subject], Result], *, none: str) -> Result:
    """Ask about each subject (disk, volume, ...) and join the answers: a fail stands, else an unread fact, else a pass.

    Summaries and evidence of all fails (or else of all passes) are joined, and what was not read is named; `none` is
    the summary of `not_applicable` when there is no subject, or none to which the question applies.
    """
    answers: list[Result] = []
    signals: list[UnreadFact] = []
    for subject in subjects:
        try:
            answers.append(ask(subject))
        except UnreadFact as unread:
            signals.append(unread)
    fails = [answer for answer in answers if answer.outcome == "fail"]
    if not fails and signals:
        raise _joined(signals)
    passes = [answer for answer in answers if answer.outcome == "pass"]
    chosen = fails or passes
    if not chosen:
        return not_applicable(none if not answers else "; ".join(dict.fromkeys(a.summary for a in answers)))
    return Result(
        chosen[0].outcome,
        "; ".join(dict.fromkeys(answer.summary for answer in chosen)),
        tuple(dict.fromkeys(piece for answer in chosen for piece in answer.evidence)),
    )


def _joined(signals: Sequence[UnreadFact]) -> UnreadFact:
    """Return what leaves a question open as one, its kind that of the first."""
    details = list(dict.fromkeys(signal.detail for signal in signals))
    more = f"; and {len(details) - NAMED} more" if len(details) > NAMED else ""
    evidence = tuple(dict.fromkeys(piece for signal in signals for piece in signal.evidence))
    return UnreadFact(signals[0].why, "; ".join(details[:NAMED]) + more, evidence)


class Rule(msgspec.Struct, frozen=True):
    """A rule as its file declares it.

    `check` is called ``check(machine, params)``, or for scope `system` ``check(machine, system, params)`` once for each
    system of the family that the profile's use names. It may return several answers, each a finding of its own, with
    an `UnreadFact` for one that is open. `reads` are the facts it may look at, as dotted
    paths below the machine (`disks.virtual_size`, `boot.disk`, `systems.menu`); tests hold it to them.

    `decide_without_system`, for scope `system`, is called ``decide_without_system(machine, params)`` where a system may
    be there that was not found: its answer holds whatever that system is, None says that the system matters.
    """

    name: str
    title: str
    scope: Literal["machine", "system"]
    reads: tuple[str, ...]
    remedy: str
    check: Callable[..., Result | tuple[Result | UnreadFact, ...]]
    params: type[Any] = NoParams
    decide_without_system: Callable[[MachineFacts, Any], Result | None] | None = None
