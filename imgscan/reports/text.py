"""The report for people: what the machine is, what is on its disks, and what to do.

Colour and boxes on a terminal only.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from imgscan.model.machine import FactsFile, MachineFacts
from imgscan.model.report import Finding, MachineReport, Report, Verdict
from imgscan.model.text import shown
from imgscan.reports.text_disks import disk_rows, volume_problems, volume_rows
from imgscan.reports.text_layout import (
    Style,
    evidence_text,
    fact_text,
    labelled,
    open_console,
    printed,
    section,
)
from imgscan.reports.text_systems import boot_rows, system_rows
from imgscan.reports.units import size_text

READINESS = {
    "ready": ("READY", "bold green"),
    "ready-with-warnings": ("READY WITH WARNINGS", "bold yellow"),
    "not-ready": ("NOT READY", "bold red"),
    "undecided": ("UNDECIDED", "bold magenta"),
}
SEVERITY_STYLE = {"blocker": "bold red", "warning": "bold yellow", "advice": "bold cyan"}
SEVERITY_ORDER = {"blocker": 0, "warning": 1, "advice": 2}
SAID_TOGETHER = 3
"""So many findings that are undecided for one cause are shown as one, unless all is asked for."""
OUTCOME_ORDER = {"fail": 0, "unknown": 1, "manual": 2, "pass": 3, "not-applicable": 4}

MAX_EVIDENCE = 6
"""Pieces of evidence shown for one finding; the JSON report has them all."""


def render(report: Report | FactsFile, style: Style | None = None) -> str:
    """Return the report, or bare facts, as text that ends in a newline."""
    style = style or Style()
    console, out = open_console(style)
    machines: Sequence[MachineFacts] = [report.machine] if isinstance(report, FactsFile) else report.machines
    for number, machine in enumerate(machines):
        if number:
            console.print()
        _print_machine(console, machine, style)
    return printed(out, style)


def _print_machine(console: Console, machine: MachineFacts, style: Style) -> None:
    verdicts = machine.verdicts if isinstance(machine, MachineReport) else ()
    console.print(Text(f"Machine {shown(machine.name)}", "bold"))
    for verdict in verdicts:
        console.print(_headline(verdict))
    section(console, "Disks", [disk_rows(disk, machine, style, console.width) for disk in machine.disks])
    section(
        console,
        "Volumes",
        [*volume_rows(machine, console.width), *volume_problems(machine)] if machine.volumes else [Text("none found")],
    )
    section(console, "Boot", list(boot_rows(machine.boot)))
    section(
        console,
        "Systems",
        [system_rows(index, system) for index, system in enumerate(machine.systems)] or [_no_system(machine)],
    )
    for verdict in verdicts:
        _print_findings(console, verdict, machine, style)
    if machine.unread:
        rows = [labelled(place.where, _reason(place.where, place.why, place.detail)) for place in machine.unread]
        section(console, "Not read", rows)
    console.print()
    console.print(Text(f"Read {size_text(machine.io.bytes)} of the images in {machine.io.reads} reads.", "dim"))


def _headline(verdict: Verdict) -> Text:
    words, color = READINESS[verdict.readiness]
    counts: dict[str, int] = {}
    for finding in verdict.findings:
        if finding.outcome in {"fail", "unknown"}:
            what = finding.severity if finding.outcome == "fail" else f"undecided {finding.severity}"
            counts[what] = counts.get(what, 0) + 1
    figures = ", ".join(
        f"{count} {what}{'s' if count > 1 and what != 'advice' else ''}" for what, count in counts.items()
    )
    line = Text.assemble((words, color), f" for {verdict.profile}")
    return line.append(f": {figures}") if figures else line


def _no_system(machine: MachineFacts) -> Text:
    if machine.systems_searched.is_known:
        return Text("no installed system was recognised")
    return Text(f"none found; {fact_text(machine.systems_searched)}")


def _print_findings(console: Console, verdict: Verdict, machine: MachineFacts, style: Style) -> None:
    order = sorted(
        verdict.findings, key=lambda f: (SEVERITY_ORDER[f.severity], OUTCOME_ORDER[f.outcome], f.rule, f.system or 0)
    )
    loud = [f for f in order if f.outcome in {"fail", "unknown"}]
    by_hand = [f for f in order if f.outcome == "manual"]
    quiet = [f for f in order if f.outcome in {"pass", "not-applicable"}]
    groups = [] if style.verbose else _undecided_together(loud)
    together = {id(finding) for group in groups for finding in group}
    rows = [_finding(f, machine) for f in loud if id(f) not in together]
    rows += [_undecided(group, machine) for group in groups]
    title = f"Findings for {verdict.profile}"
    section(console, title, rows or [Text("nothing to object to")], spaced=True)
    if by_hand:
        section(console, "To be confirmed by hand", [_finding(f, machine) for f in by_hand], spaced=True)
    if style.verbose:
        section(console, "Passed, or does not apply", [_quiet(f) for f in quiet])
    elif quiet:
        passes = sum(1 for f in quiet if f.outcome == "pass")
        console.print()
        console.print(
            Text(f"{passes} checks passed, {len(quiet) - passes} do not apply (--verbose lists them).", "dim")
        )


def _undecided_together(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return the findings that one cause leaves undecided, by cause: a disk that cannot be read is said once.

    The cause is what a summary ends with; before it stands where that was met ("disk0: ...").
    """
    causes: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.outcome == "unknown":
            causes.setdefault(finding.summary.rpartition(": ")[2], []).append(finding)
    return [group for group in causes.values() if len(group) >= SAID_TOGETHER]


def _undecided(group: Sequence[Finding], machine: MachineFacts) -> RenderableType:
    """Return what is undecided for one cause: the rules by severity, and where it lies."""
    rows: list[RenderableType] = [Text(shown(min((finding.summary for finding in group), key=len)))]
    count = 0
    for severity in SEVERITY_ORDER:
        names = dict.fromkeys(_name(finding, machine) for finding in group if finding.severity == severity)
        count += len(names)
        if names:
            rows.append(labelled(severity, ", ".join(names)))
    pieces = dict.fromkeys(evidence_text(piece) for finding in group for piece in finding.evidence)
    rows.extend(labelled("where", piece) for piece in list(pieces)[:MAX_EVIDENCE])
    if len(pieces) > MAX_EVIDENCE:
        rows.append(labelled("where", f"and {len(pieces) - MAX_EVIDENCE} more (see --format json)"))
    head = Text.assemble(("UNKNOWN", SEVERITY_STYLE[group[0].severity]), f"  {count} rules, for one reason")
    return Group(head, *(Padding(row, (0, 0, 0, 3)) for row in rows))


def _name(finding: Finding, machine: MachineFacts) -> str:
    """Return the rule's name, with the system's number where there are several."""
    about = f" (system {finding.system})" if finding.system is not None and len(machine.systems) > 1 else ""
    return f"{finding.rule}{about}"


def _finding(finding: Finding, machine: MachineFacts) -> RenderableType:
    word = finding.severity if finding.outcome == "fail" else f"{finding.outcome} {finding.severity}"
    word = "confirm" if finding.outcome == "manual" else word
    rows: list[RenderableType] = [
        Text.assemble((word.upper(), SEVERITY_STYLE[finding.severity]), f"  {_name(finding, machine)}"),
        Text(shown(finding.summary)),
    ]
    rows.extend(labelled("where", evidence_text(piece)) for piece in finding.evidence[:MAX_EVIDENCE])
    if len(finding.evidence) > MAX_EVIDENCE:
        rows.append(labelled("where", f"and {len(finding.evidence) - MAX_EVIDENCE} more (see --format json)"))
    rows.append(labelled("requires", f"{finding.requirement.text} [{finding.requirement.source}]"))
    if finding.predicts and finding.outcome == "fail":
        rows.append(labelled("predicts", finding.predicts))
    if finding.outcome != "unknown":
        rows.append(labelled("fix", finding.remedy))
    return Group(rows[0], *(Padding(row, (0, 0, 0, 3)) for row in rows[1:]))


def _quiet(finding: Finding) -> Text:
    return Text.assemble((finding.outcome.ljust(15), "dim"), f"{finding.rule}: {shown(finding.summary)}")


def _reason(where: str, why: str, detail: str) -> str:
    prefix = f"{where}: "
    return f"{why}: {detail.removeprefix(prefix)}"
