"""Asks every rule of a profile; the one place where an unread fact becomes `unknown`.

Findings stand in the profile's order; those of one use in the order of the machine's systems, the one about a system
that may be there and was not found last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from imgscan.errors import UnreadFact, Why
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.profile import Profile, Use
from imgscan.model.report import Finding, MachineReport, ProfileStamp, Readiness, Report, Verdict
from imgscan.model.rule import Result
from imgscan.model.text import shown
from imgscan.tool import this_tool

VOLUMES = 8
"""Volumes named as holding no filesystem to search."""


def judge(machine: MachineFacts, profile: Profile, *, strict: bool = False) -> Verdict:
    """Return the findings of one profile on one machine, and what they add up to.

    A rule that fails with anything but `UnreadFact` has a bug: with `strict` it is raised, else it becomes `unknown`.
    """
    findings = tuple(finding for use in profile.uses for finding in _findings(machine, use, strict=strict))
    return Verdict(profile=profile.name, readiness=readiness(findings), findings=findings)


def judge_facts(facts: MachineFacts, profiles: Sequence[Profile]) -> Report:
    """Judge facts that were read before; no image is touched."""
    return report_on([facts], profiles)


def report_on(machines: Sequence[MachineFacts], profiles: Sequence[Profile]) -> Report:
    """Return the report on machines whose facts are read."""
    return Report(
        tool=this_tool(),
        profiles=tuple(ProfileStamp(p.name, p.version, p.digest) for p in profiles),
        machines=tuple(machine_report(facts, profiles) for facts in machines),
    )


def machine_report(facts: MachineFacts, profiles: Sequence[Profile]) -> MachineReport:
    """Return the facts of a machine with the verdicts of each profile on it."""
    return MachineReport(
        **{name: getattr(facts, name) for name in MachineFacts.__struct_fields__},
        verdicts=tuple(judge(facts, profile) for profile in profiles),
    )


def readiness(findings: tuple[Finding, ...]) -> Readiness:
    """Add findings up: a failed blocker, else an unknown blocker, else a failed warning decides."""
    seen = {(finding.severity, finding.outcome) for finding in findings}
    if ("blocker", "fail") in seen:
        return "not-ready"
    if ("blocker", "unknown") in seen:
        return "undecided"
    return "ready-with-warnings" if ("warning", "fail") in seen else "ready"


def _findings(machine: MachineFacts, use: Use, *, strict: bool) -> Iterator[Finding]:
    rule = use.rule
    if rule.scope == "machine":
        yield from _ask(use, None, lambda: rule.check(machine, use.params), strict=strict)
        return
    for index, system in enumerate(machine.systems):
        if use.family is not None and system.family == "other":
            where = AtOffset(system.root, 0, 0, "installed system")
            detail = f"the system on {system.root} is none that imgscan knows"
            yield _unknown(use, index, "unsupported", detail, (where,))
        elif use.family in (None, system.family):
            yield from _ask(use, index, lambda s=system: rule.check(machine, s, use.params), strict=strict)  # type: ignore[misc]
    if machine.systems and machine.systems_searched.is_known:
        return
    answer = None
    if rule.decide_without_system is not None:
        try:
            answer = rule.decide_without_system(machine, use.params)
        except UnreadFact:
            pass  # without that fact the system matters
        except Exception:  # a rule's bug, as in _ask: the system is unknown all the same
            if strict:
                raise
    yield _unknown(use, None, *_why_no_system(machine)) if answer is None else _finding(use, None, answer)


def _why_no_system(machine: MachineFacts) -> tuple[Why, str, tuple[Evidence, ...]]:
    """Say why a system that may be there was not found."""
    try:
        searched = machine.systems_searched.get()
    except UnreadFact as unread:
        detail = f"a system may be there that could not be looked for: {unread.detail}"
        return unread.why, detail, machine.systems_searched.evidence
    looked = tuple(AtOffset(volume, 0, 0, "searched for an installed system") for volume in searched)
    if searched:
        return "missing", f"no installed system was found (searched: {', '.join(searched)})", looked
    if machine.volumes:
        held = ", ".join(
            f"{volume.name} ({volume.content or 'no known content'})" for volume in machine.volumes[:VOLUMES]
        )
        more = f" and {len(machine.volumes) - VOLUMES} more" if len(machine.volumes) > VOLUMES else ""
        return "missing", f"no installed system was found: no volume holds a filesystem to search: {held}{more}", looked
    return "missing", "no installed system was found: the disks hold no volume", looked


def _ask(
    use: Use, system: int | None, check: Callable[[], Result | tuple[Result | UnreadFact, ...]], *, strict: bool
) -> Iterator[Finding]:
    try:
        answer = check()
    except UnreadFact as unread:
        evidence: tuple[Evidence, ...] = tuple(unread.evidence)  # type: ignore[arg-type] # errors import no model
        yield _unknown(use, system, unread.why, unread.detail, evidence)
        return
    except Exception as error:  # one rule's bug must not hide what all others found; strict raises it
        if strict:
            raise
        yield _unknown(use, system, "internal", f"the rule itself failed: {type(error).__name__}: {error}", ())
        return
    for result in answer if isinstance(answer, tuple) else (answer,):
        if isinstance(result, UnreadFact):
            evidence = tuple(result.evidence)  # type: ignore[arg-type] # as above
            yield _unknown(use, system, result.why, result.detail, evidence)
        else:
            yield _finding(use, system, result)


def _unknown(use: Use, system: int | None, why: Why, detail: str, evidence: tuple[Evidence, ...]) -> Finding:
    summary = f"not decided ({why}): {detail}" if detail else f"not decided ({why})"
    return _finding(use, system, Result("unknown", summary, evidence))


def _finding(use: Use, system: int | None, result: Result) -> Finding:
    return Finding(
        rule=use.rule.name,
        system=system,
        outcome=result.outcome,
        severity=use.severity,
        summary=shown(result.summary),
        evidence=tuple(dict.fromkeys(result.evidence)),
        requirement=use.requirement,
        remedy=use.remedy or use.rule.remedy,
        predicts=use.predicts,
    )
