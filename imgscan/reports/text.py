"""The report for people: what the machine is, what is on its disks, and what to do.

Colour and boxes on a terminal only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from imgscan.model.boot import Boot
from imgscan.model.disk import Disk, Partition
from imgscan.model.evidence import AtOffset, AtPath, AtRegistry, Evidence
from imgscan.model.fact import Fact
from imgscan.model.machine import FactsFile, MachineFacts
from imgscan.model.report import Finding, MachineReport, Report, Verdict
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.reports.units import size_text

READINESS = {
    "ready": ("READY", "bold green"),
    "ready-with-warnings": ("READY WITH WARNINGS", "bold yellow"),
    "not-ready": ("NOT READY", "bold red"),
    "undecided": ("UNDECIDED", "bold magenta"),
}
SEVERITY_STYLE = {"blocker": "bold red", "warning": "bold yellow", "advice": "bold cyan"}
SEVERITY_ORDER = {"blocker": 0, "warning": 1, "advice": 2}
OUTCOME_ORDER = {"fail": 0, "unknown": 1, "manual": 2, "pass": 3, "not-applicable": 4}
MAX_EVIDENCE = 6
"""Pieces of evidence shown for one finding; the JSON report has them all."""
MIN_WIDTH, PLAIN_WIDTH, MAX_WIDTH = 40, 100, 140
FULL_TABLE_WIDTH = 90
"""Narrower than this, labels and UUIDs stand below the table of volumes."""


@dataclass(frozen=True, slots=True)
class Style:
    """How to print: `width` in columns, `terminal` for colour, bars and boxes, `verbose` to list every finding."""

    width: int = PLAIN_WIDTH
    terminal: bool = False
    color: bool = False
    verbose: bool = False


def render(report: Report | FactsFile, style: Style | None = None) -> str:
    """Return the report, or bare facts, as text that ends in a newline."""
    style = style or Style()
    out = StringIO()
    console = Console(
        file=out,
        width=max(MIN_WIDTH, min(style.width, MAX_WIDTH)),
        force_terminal=style.color,
        color_system="standard" if style.color else None,
        no_color=not style.color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    machines: Sequence[MachineFacts] = [report.machine] if isinstance(report, FactsFile) else report.machines
    for number, machine in enumerate(machines):
        if number:
            console.print()
        _print_machine(console, machine, style)
    return (
        "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n" if not style.color else out.getvalue()
    )


def _print_machine(console: Console, machine: MachineFacts, style: Style) -> None:
    verdicts = machine.verdicts if isinstance(machine, MachineReport) else ()
    console.print(Text(f"Machine {shown(machine.name)}", "bold"))
    for verdict in verdicts:
        console.print(_headline(verdict))
    _section(console, "Disks", [_disk(disk, machine, style, console.width) for disk in machine.disks])
    _section(
        console,
        "Volumes",
        [_volumes(machine, console.width), *_identities(machine, console.width)]
        if machine.volumes
        else [Text("none found")],
    )
    _section(console, "Boot", list(_boot(machine.boot)))
    _section(
        console,
        "Systems",
        [_system(index, system) for index, system in enumerate(machine.systems)] or [_no_system(machine)],
    )
    for verdict in verdicts:
        _print_findings(console, verdict, machine, style)
    if machine.unread:
        rows = [_labelled(place.where, _reason(place.where, place.why, place.detail)) for place in machine.unread]
        _section(console, "Not read", rows)
    console.print()
    console.print(Text(f"Read {size_text(machine.io.bytes)} of the images in {machine.io.reads} reads.", "dim"))


def _section(console: Console, title: str, rows: Iterable[RenderableType], *, spaced: bool = False) -> None:
    console.print()
    console.print(Text(title, "bold underline" if console.is_terminal else "bold"))
    for number, row in enumerate(rows):
        if spaced and number:
            console.print()
        console.print(Padding(row, (0, 0, 0, 2)))


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


def _disk(disk: Disk, machine: MachineFacts, style: Style, width: int) -> RenderableType:
    kind = disk.format or "unrecognised"
    if disk.variant and disk.variant != disk.format:
        kind += f" ({disk.variant})"
    table = disk.partition_table
    scheme = f", {table.scheme.upper()} partition table" if table and table.scheme != "none" else ""
    scheme = ", no partition table" if table and table.scheme == "none" else scheme
    head = Text.assemble((disk.name, "bold"), f"  {shown(disk.path)}  {kind}, {size_text(disk.virtual_size)}{scheme}")
    rows: list[RenderableType] = [head]
    if len(disk.files) > 1:
        rows.append(Padding(Text("files: " + ", ".join(shown(file.name) for file in disk.files)), (0, 0, 0, 2)))
    if disk.parents:
        rows.append(
            Padding(Text("parents: " + " <- ".join(shown(p.file or p.hint) for p in disk.parents)), (0, 0, 0, 2))
        )
    bar = _bar(disk, machine, style, width - 6)
    if bar is not None:
        rows.append(Padding(bar, (0, 0, 0, 2)))
    problems = (*disk.problems, *(table.problems if table else ()))
    rows.extend(
        Padding(_labelled(problem.kind, f"{shown(problem.detail)} ({problem.code})"), (0, 0, 0, 2))
        for problem in problems
    )
    return Group(*rows)


BAR_COLORS = ("blue", "green", "magenta", "cyan", "yellow")


def _bar(disk: Disk, machine: MachineFacts, style: Style, width: int) -> Text | None:
    """Draw the disk's partitions to scale, `|` between them; free space is dotted."""
    table, size = disk.partition_table, disk.virtual_size
    if table is None or not size or not table.partitions or width < MIN_WIDTH // 2:
        return None
    contents = {volume.name: volume.content for volume in machine.volumes}
    inner = width - 2
    bar = Text("[" if not style.terminal else "▕")
    at = 0
    shown_parts = sorted((p for p in table.partitions if p.name in contents), key=lambda part: part.start)
    for number, part in enumerate(shown_parts):
        begin = min(inner, max(at, part.start * inner // size))
        end = min(inner, max(begin + 4, -(-(part.start + part.size) * inner // size)))
        bar.append(("." if not style.terminal else "·") * (begin - at))
        words = f"{part.number} {contents[part.name] or '-'}"
        label = words if len(words) <= end - begin - 1 else str(part.number)
        fill = "=" if not style.terminal else "█"
        color = BAR_COLORS[number % len(BAR_COLORS)]
        room = max(0, end - begin - 1)
        if style.color:
            bar.append(f" {label} ".ljust(room)[:room], f"black on {color}").append(" ")
        else:
            bar.append(label[:room].ljust(room, fill)).append("|")
        at = end
    bar.append(("." if not style.terminal else "·") * max(0, inner - at))
    bar.append("]" if not style.terminal else "▏")
    bar.no_wrap = True
    return bar


def _volumes(machine: MachineFacts, width: int) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    titles = ("name", "holds", "size", "free", "label", "uuid")[: 6 if width >= FULL_TABLE_WIDTH else 4]
    for title in titles:
        fixed = title in {"name", "size", "free", "uuid"}
        table.add_column(
            title, justify="right" if title in {"size", "free"} else "left", overflow="fold", no_wrap=fixed
        )
    types = {part.name: part.type_name or part.type for disk in machine.disks for part in _partitions(disk)}
    for volume in machine.volumes:
        free = volume.free.value.bytes if volume.free and volume.free.is_known and volume.free.value else None
        holds = volume.content or ("nothing" if volume.signature.is_known else f"unread: {volume.signature.unread}")
        if volume.content is None and volume.name in types:
            holds += f" ({types[volume.name]})"
        if volume.readable is not None and not volume.readable.is_known:
            holds += f" (unread: {volume.readable.unread})"
        cells = (volume.name, holds, size_text(volume.size), size_text(free), _fact(volume.label), _fact(volume.uuid))
        table.add_row(*(Text(shown(cell)) for cell in cells[: len(titles)]))
    return table


def _identities(machine: MachineFacts, width: int) -> Iterable[RenderableType]:
    """Yield labels and UUIDs in lines of their own where the table has no room for them."""
    if width >= FULL_TABLE_WIDTH:
        return
    for volume in machine.volumes:
        words = [f"{name} {_fact(fact)}" for name, fact in (("label", volume.label), ("uuid", volume.uuid)) if fact]
        if words:
            yield _labelled(volume.name, ", ".join(words))


def _partitions(disk: Disk) -> tuple[Partition, ...]:
    return disk.partition_table.partitions if disk.partition_table is not None else ()


def _boot(boot: Boot) -> Iterable[RenderableType]:
    yield _labelled("firmware", _fact(boot.firmware))
    if boot.disk.is_known:
        disks = boot.disk.get()
        yield _labelled("boot disk", " or ".join(disks) if disks else "none: nothing here boots")
    else:
        yield _labelled("boot disk", _fact(boot.disk))
    for code in boot.code:
        if code.what != "none":
            loads = f", loads {code.loads}" if code.loads else ""
            version = f" {code.version}" if code.version else ""
            detail = f" ({shown(code.detail)})" if code.detail else ""
            yield _labelled("boot code", f"{code.what}{version} in {code.where}{loads}{detail}")
    for loader in boot.loaders:
        fallback = ", started by default" if loader.fallback else ""
        yield _labelled(
            "EFI loader",
            f"{shown(loader.path)} on {loader.volume}: {loader.what}, {loader.machine or 'no PE file'}{fallback}"
            f"{f' ({shown(loader.detail)})' if loader.detail else ''}",
        )


def _system(index: int, system: System) -> RenderableType:
    product = _fact(system.product)
    facts = [
        ("id", " ".join(word for word in (_fact(system.id), _fact(system.version)) if word != "-")),
        ("edition", _fact(system.edition)),
        ("build", _fact(system.build)),
        ("installation", _fact(system.installation_type)),
        ("architecture", _fact(system.architecture)),
        ("host name", _fact(system.hostname)),
        ("bootloader", _fact(system.bootloader)),
    ]
    head = Text.assemble((f"{index}  {product}", "bold"), f"  {system.family}, root on {system.root}")
    line = ", ".join(f"{name} {value}" for name, value in facts if value != "-")
    return Group(head, Padding(Text(line), (0, 0, 0, 3)))


def _no_system(machine: MachineFacts) -> Text:
    if machine.systems_searched.is_known:
        return Text("no installed system was recognised")
    return Text(f"none found; {_fact(machine.systems_searched)}")


def _print_findings(console: Console, verdict: Verdict, machine: MachineFacts, style: Style) -> None:
    order = sorted(
        verdict.findings, key=lambda f: (SEVERITY_ORDER[f.severity], OUTCOME_ORDER[f.outcome], f.rule, f.system or 0)
    )
    loud = [f for f in order if f.outcome in {"fail", "unknown"}]
    by_hand = [f for f in order if f.outcome == "manual"]
    quiet = [f for f in order if f.outcome in {"pass", "not-applicable"}]
    _section(
        console,
        f"Findings for {verdict.profile}",
        [_finding(f, machine) for f in loud] or [Text("nothing to object to")],
        spaced=True,
    )
    if by_hand:
        _section(console, "To be confirmed by hand", [_finding(f, machine) for f in by_hand], spaced=True)
    if style.verbose:
        _section(console, "Passed, or does not apply", [_quiet(f) for f in quiet])
    elif quiet:
        passes = sum(1 for f in quiet if f.outcome == "pass")
        console.print()
        console.print(
            Text(f"{passes} checks passed, {len(quiet) - passes} do not apply (--verbose lists them).", "dim")
        )


def _finding(finding: Finding, machine: MachineFacts) -> RenderableType:
    word = finding.severity if finding.outcome == "fail" else f"{finding.outcome} {finding.severity}"
    word = "confirm" if finding.outcome == "manual" else word
    about = f" (system {finding.system})" if finding.system is not None and len(machine.systems) > 1 else ""
    rows: list[RenderableType] = [
        Text.assemble((word.upper(), SEVERITY_STYLE[finding.severity]), f"  {finding.rule}{about}"),
        Text(shown(finding.summary)),
    ]
    rows.extend(_labelled("where", _evidence(piece)) for piece in finding.evidence[:MAX_EVIDENCE])
    if len(finding.evidence) > MAX_EVIDENCE:
        rows.append(_labelled("where", f"and {len(finding.evidence) - MAX_EVIDENCE} more (see --format json)"))
    rows.append(_labelled("requires", f"{finding.requirement.text} [{finding.requirement.source}]"))
    if finding.predicts and finding.outcome == "fail":
        rows.append(_labelled("predicts", finding.predicts))
    if finding.outcome != "unknown":
        rows.append(_labelled("fix", finding.remedy))
    return Group(rows[0], *(Padding(row, (0, 0, 0, 3)) for row in rows[1:]))


def _quiet(finding: Finding) -> Text:
    return Text.assemble((finding.outcome.ljust(15), "dim"), f"{finding.rule}: {shown(finding.summary)}")


def _labelled(label: str, value: str) -> Table:
    """Return a label with its text beside it, the text wrapped under itself."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(overflow="fold")
    table.add_row(Text(label), Text(shown(value)))
    return table


def _reason(where: str, why: str, detail: str) -> str:
    prefix = f"{where}: "
    return f"{why}: {detail.removeprefix(prefix)}"


def _fact(fact: Fact[Any] | None) -> str:
    """Return a fact as a few words: its value, a dash when there is none, or why it was not read."""
    if fact is None:
        return "-"
    if not fact.is_known:
        return "-" if fact.unread == "not-collected" else f"unread ({fact.unread}: {fact.detail})"
    return "-" if fact.value is None else shown(str(fact.value))


def _evidence(piece: Evidence) -> str:
    if isinstance(piece, AtOffset):
        what = f" ({piece.structure})" if piece.structure else ""
        return f"{piece.where} at offset {piece.offset}{what}"
    if isinstance(piece, AtPath):
        return f"{piece.volume}:{piece.path}" + (f" line {piece.line}" if piece.line else "")
    if isinstance(piece, AtRegistry):
        return f"{piece.volume}:{piece.hive} {piece.key}" + (f" value {piece.value}" if piece.value is not None else "")
    return f"{piece.file} {piece.key}"
