"""The report over a share for people: how it stands, what to fix first, and what was not scanned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from imgscan.model.report import Finding
from imgscan.model.share_report import MachineAnswer, ProfileSummary, Summary
from imgscan.model.text import shown
from imgscan.reports.text import MAX_EVIDENCE, READINESS, SEVERITY_STYLE
from imgscan.reports.text_layout import Style, evidence_text, labelled, open_console, printed, section
from imgscan.reports.units import size_text

MAX_NAMES = 10
"""Machines, paths or systems named where a report is not about them alone."""
MAX_FIXES = 10


def render(
    summary: Summary, listed: Sequence[MachineAnswer] = (), rule: str | None = None, style: Style | None = None
) -> str:
    """Return the report as text that ends in a newline.

    `listed` are machines to name each, with their findings of `rule` when one is given.
    """
    style = style or Style()
    console, out = open_console(style)
    _print_head(console, summary)
    for profile in summary.profiles:
        _print_readiness(console, profile, summary)
        if rule is None:
            _print_rules(console, profile)
    if rule is not None:
        rows = [_finding(answer, finding) for answer in listed for _, finding in answer.findings(rule)]
        section(console, f"Machines with {rule}", rows or [Text("none")], spaced=True)
        return printed(out, style)
    _print_systems(console, summary, style)
    if summary.selection:
        section(console, "Machines", [_machines(listed)] if listed else [Text("none")])
    else:
        _print_not_scanned(console, summary, style)
    return printed(out, style)


def render_place(answer: MachineAnswer, style: Style | None = None) -> str:
    """Return where one machine stands on the share: why it was not wholly read, and which files it is."""
    style = style or Style()
    console, out = open_console(style)
    failure = answer.share.failure
    rows = [] if failure is None else [labelled("failed", f"{failure.failure}: {failure.detail}")]
    files = answer.share.files if style.verbose else answer.share.files[:MAX_NAMES]
    more = f" and {len(answer.share.files) - len(files)} more (--verbose lists them)"
    rows.append(labelled("files", ", ".join(files) + (more if len(files) < len(answer.share.files) else "")))
    rows.append(labelled("because", answer.share.reason))
    section(console, "On the share", rows)
    return printed(out, style)


def _print_head(console: Console, summary: Summary) -> None:
    console.print(
        Text(
            f"{_many(summary.machines, 'machine')}, {_many(summary.disks, 'disk')} of "
            f"{size_text(summary.virtual_size)} as the guests see them",
            "bold",
        )
    )
    if summary.selection:
        of = f"of {_many(summary.machines_on_share, 'machine')} on the share"
        console.print(Text(f"selected by {shown(' and '.join(summary.selection))}, {of}"))
    formats = ", ".join(f"{count} {shown(name)}" for name, count in sorted(summary.formats.items()))
    if formats:
        console.print(Text(f"disks: {formats}"))


def _print_readiness(console: Console, profile: ProfileSummary, summary: Summary) -> None:
    table = _table("", "machines", "", right=(1, 2))
    for readiness, count in profile.readiness.items():
        words, color = READINESS[readiness]
        table.add_row(Text(words.lower(), color if count else "dim"), str(count), _percent(count, summary.machines))
    if profile.not_judged:
        table.add_row(Text("not scanned yet"), str(profile.not_judged), _percent(profile.not_judged, summary.machines))
    section(console, f"Readiness for {shown(profile.profile)}", [table])


def _print_rules(console: Console, profile: ProfileSummary) -> None:
    if profile.rules:
        table = _table("rule", "", "failed", "undecided", "only blocker", right=(2, 3, 4))
        for about in profile.rules:
            table.add_row(
                Text(about.rule),
                Text(about.severity, SEVERITY_STYLE[about.severity]),
                *(_number(about.failed), _number(about.unknown), _number(about.alone)),
            )
        section(console, "Rules, by the machines that they object to", [table])
    if profile.fixes:
        table = _table("", "fix", "machines", "frees", "in all", right=(0, 2, 3, 4))
        for number, fix in enumerate(profile.fixes[:MAX_FIXES], 1):
            table.add_row(
                *(str(number), Text(fix.rule), str(fix.machines), _number(fix.unblocks)),
                f"{fix.cumulative} of {profile.blocked}",
            )
        rows: list[RenderableType] = [table]
        if len(profile.fixes) > MAX_FIXES:
            rows.append(Text(f"and {_many(len(profile.fixes) - MAX_FIXES, 'more step')} (see --format json)"))
        section(console, "What to fix first, to free most machines of their blockers", rows)


def _print_systems(console: Console, summary: Summary, style: Style) -> None:
    if not summary.systems:
        return
    table = _table("system", "version", "machines", right=(2,))
    limit = len(summary.systems) if style.verbose else 2 * MAX_NAMES
    for system in summary.systems[:limit]:
        name = system.product or f"{system.family}, product not read"
        table.add_row(Text(shown(name)), Text(shown(system.version or "-")), str(system.machines))
    rows: list[RenderableType] = [table]
    if len(summary.systems) > limit:
        rows.append(Text(f"and {len(summary.systems) - limit} more (--verbose lists them)"))
    section(console, "Systems", rows)


def _print_not_scanned(console: Console, summary: Summary, style: Style) -> None:
    rows: list[RenderableType] = [
        _named(f"{group.failure} ({len(group.machines)})", group.machines, style, f"--where failure={group.failure}")
        for group in summary.failures
    ]
    if summary.pending:
        rows.append(_named(f"not yet ({len(summary.pending)})", summary.pending, style, "--where state=pending"))
    if rows:
        section(console, "Machines that were not, or not wholly, read", rows)
    limit = len(summary.paths) if style.verbose else MAX_NAMES
    paths: list[RenderableType] = [
        labelled(problem.why, f"{problem.path}: {problem.detail.removeprefix(f'{problem.path}: ')}")
        for problem in summary.paths[:limit]
    ]
    if len(summary.paths) > limit:
        paths.append(Text(f"and {len(summary.paths) - limit} more (--verbose lists them)"))
    if paths:
        section(console, f"Paths that could not be looked at ({len(summary.paths)})", paths)
    if summary.other_files:
        console.print()
        others = "1 file belongs" if summary.other_files == 1 else f"{summary.other_files} files belong"
        console.print(Text(f"{others} to no machine.", "dim"))


def _named(label: str, names: Sequence[str], style: Style, how: str) -> RenderableType:
    limit = len(names) if style.verbose else MAX_NAMES
    more = f" and {len(names) - limit} more ({how} lists them)" if len(names) > limit else ""
    return labelled(label, ", ".join(names[:limit]) + more)


def _machines(answers: Iterable[MachineAnswer]) -> Table:
    table = _table("machine", "", "blockers that failed or are undecided, or why it was not read")
    for answer in answers:
        blockers = dict.fromkeys(finding.rule for _, finding in answer.findings() if finding.severity == "blocker")
        failure = answer.share.failure
        why = ", ".join(blockers) if failure is None else f"{failure.failure}: {failure.detail}"
        table.add_row(Text(shown(answer.name)), _state(answer), Text(shown(why)))
    return table


def _state(answer: MachineAnswer) -> Text:
    words = Text()
    for verdict in answer.verdicts:
        if verdict is not None:
            text, color = READINESS[verdict.readiness]
            words.append(", " if words else "").append(text.lower(), color)
    return words or Text("not scanned yet")


def _finding(answer: MachineAnswer, finding: Finding) -> RenderableType:
    word = "fails" if finding.outcome == "fail" else "undecided"
    about = f" (system {finding.system})" if finding.system is not None and len(answer.systems) > 1 else ""
    pieces: list[RenderableType] = [Text(shown(finding.summary))]
    pieces += [labelled("where", evidence_text(piece)) for piece in finding.evidence[:MAX_EVIDENCE]]
    if len(finding.evidence) > MAX_EVIDENCE:
        pieces.append(labelled("where", f"and {len(finding.evidence) - MAX_EVIDENCE} more (see --format json)"))
    return Group(
        Text.assemble((shown(answer.name), "bold"), f"  {word}{about}"),
        *(Padding(row, (0, 0, 0, 3)) for row in pieces),
    )


def _table(*titles: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number in right else "left", overflow="fold")
    return table


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _number(count: int) -> str:
    return str(count) if count else "-"


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %" if of else ""
