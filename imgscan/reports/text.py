"""The report for people: what the machine is, what is on its disks, and what to do.

Colour and boxes on a terminal only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import Any, TypeVar

import msgspec
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from imgscan.model.boot import Boot
from imgscan.model.disk import Disk, Partition
from imgscan.model.evidence import AtOffset, AtPath, AtRegistry, Evidence
from imgscan.model.fact import Fact
from imgscan.model.initramfs import Initramfs
from imgscan.model.machine import FactsFile, MachineFacts
from imgscan.model.report import Finding, MachineReport, Report, Verdict
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Volume
from imgscan.reports.units import size_text

T = TypeVar("T")

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
INTERFACES = 6
"""Interfaces shown of one system."""
MENU_ENTRIES = 6
"""Entries shown of a Windows' boot menu."""
MAX_EVIDENCE = 6
"""Pieces of evidence shown for one finding; the JSON report has them all."""
MIN_WIDTH, PLAIN_WIDTH, MAX_WIDTH = 40, 100, 140
LABEL_WIDTH = 10
"""Columns of a label with the blank behind it, at least."""
VOLUME_TITLES = ("name", "holds", "size", "free", "label", "uuid")
HOLDS, RIGHT = 1, frozenset({2, 3})
"""The column that is wrapped, and those that stand at the right."""
MIN_HOLDS = 24
"""Columns for what a volume holds that are not given to labels and UUIDs."""


class Style(msgspec.Struct, frozen=True):
    """How to print: `width` in columns, `terminal` for colour, bars and boxes, `verbose` to list every finding."""

    width: int = PLAIN_WIDTH
    terminal: bool = False
    color: bool = False
    verbose: bool = False


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


def open_console(style: Style) -> tuple[Console, StringIO]:
    """Return a console and what is printed on it."""
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
    return console, out


def printed(out: StringIO, style: Style) -> str:
    """Return what was printed, without the blanks that fill lines up."""
    return (
        "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n" if not style.color else out.getvalue()
    )


def _print_machine(console: Console, machine: MachineFacts, style: Style) -> None:
    verdicts = machine.verdicts if isinstance(machine, MachineReport) else ()
    console.print(Text(f"Machine {shown(machine.name)}", "bold"))
    for verdict in verdicts:
        console.print(_headline(verdict))
    section(console, "Disks", [_disk(disk, machine, style, console.width) for disk in machine.disks])
    section(
        console,
        "Volumes",
        [*_volumes(machine, console.width), *_volume_problems(machine)] if machine.volumes else [Text("none found")],
    )
    section(console, "Boot", list(_boot(machine.boot)))
    section(
        console,
        "Systems",
        [_system(index, system) for index, system in enumerate(machine.systems)] or [_no_system(machine)],
    )
    for verdict in verdicts:
        _print_findings(console, verdict, machine, style)
    if machine.unread:
        rows = [labelled(place.where, _reason(place.where, place.why, place.detail)) for place in machine.unread]
        section(console, "Not read", rows)
    console.print()
    console.print(Text(f"Read {size_text(machine.io.bytes)} of the images in {machine.io.reads} reads.", "dim"))


def section(console: Console, title: str, rows: Iterable[RenderableType], *, spaced: bool = False) -> None:
    """Print a title and what stands below it, indented."""
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
    head = Text.assemble(
        (shown(disk.name), "bold"), f"  {shown(disk.path)}  {kind}, {size_text(disk.virtual_size)}{scheme}"
    )
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
        Padding(labelled(problem.kind, f"{shown(problem.detail)} ({problem.code})"), (0, 0, 0, 2))
        for problem in problems
    )
    return Group(*rows)


MORE_WIDTH = 10
"""Columns kept for how many partitions the picture leaves out."""
BAR_COLORS = ("blue", "green", "magenta", "cyan", "yellow")


def _bar(disk: Disk, machine: MachineFacts, style: Style, width: int) -> Text | None:
    """Draw the disk's partitions to scale, `|` between them; free space is dotted.

    Each has room for its number at least; how many the line has no room for is said behind it.
    """
    table, size = disk.partition_table, disk.virtual_size
    if table is None or not size or not table.partitions or width < MIN_WIDTH // 2:
        return None
    contents = {volume.name: volume.content for volume in machine.volumes}
    shown_parts = sorted((p for p in table.partitions if p.name in contents), key=lambda part: part.start)
    inner = width - 2
    least = [len(str(part.number)) + 1 for part in shown_parts]
    left_out = 0
    while sum(least) > inner - (MORE_WIDTH if left_out else 0):
        least.pop()
        left_out += 1
    inner -= MORE_WIDTH if left_out else 0
    latest = [inner - sum(least[number:]) for number in range(len(least) + 1)]  # where each begins at the latest
    bar = Text("[" if not style.terminal else "▕")
    at = 0
    for number, part in enumerate(shown_parts[: len(least)]):
        begin = min(latest[number], max(at, part.start * inner // size))
        wanted = max(begin + 4, -(-(part.start + part.size) * inner // size))
        end = max(begin + least[number], min(latest[number + 1], wanted))
        bar.append(("." if not style.terminal else "·") * (begin - at))
        words = f"{part.number} {contents[part.name] or '-'}"
        label = words if len(words) <= end - begin - 1 else str(part.number)
        fill = "=" if not style.terminal else "█"
        color = BAR_COLORS[number % len(BAR_COLORS)]
        room = end - begin - 1
        if style.color:
            padded = f" {label} " if len(label) + 2 <= room else label
            bar.append(padded.ljust(room), f"black on {color}").append(" ")
        else:
            bar.append(label.ljust(room, fill)).append("|")
        at = end
    bar.append(("." if not style.terminal else "·") * max(0, inner - at))
    bar.append("]" if not style.terminal else "▏")
    if left_out:
        bar.append(f" +{left_out} more")
    bar.no_wrap = True
    return bar


def _volumes(machine: MachineFacts, width: int) -> Iterable[RenderableType]:
    """Yield a table of the volumes; what it has no room for stands below it, and nothing is ever cut off.

    Labels and UUIDs go first, in lines of their own; without room for the rest, all of a volume stands below its name.
    """
    types = {part.name: part.type_name or part.type for disk in machine.disks for part in _partitions(disk)}
    volumes = list(_layered(machine))
    rows = [_cells(volume, depth, types) for volume, depth in volumes]
    widths = [max(map(cell_len, column)) for column in zip(VOLUME_TITLES, *rows, strict=True)]
    for count in (len(VOLUME_TITLES), 4):
        fixed = sum(widths[:count]) - widths[HOLDS] + 2 * count  # two blanks between columns, and the section's own
        room = min(widths[HOLDS], width - fixed)
        if room >= min(widths[HOLDS], MIN_HOLDS):
            columns = [*widths[:HOLDS], room, *widths[HOLDS + 1 : count]]
            yield Row(VOLUME_TITLES[:count], columns, "dim")
            yield from (Row(row[:count], columns) for row in rows)
            if count < len(VOLUME_TITLES):
                for volume, _ in volumes:
                    words = _identity(volume)
                    if words:
                        yield labelled(volume.name, ", ".join(words))
            return
    for (volume, depth), (name, holds, size, free, *_rest) in zip(volumes, rows, strict=True):
        yield Text(name)
        words = [holds, size, *([f"free {free}"] if free != "-" else []), *_identity(volume)]
        yield Padding(Text(", ".join(words), overflow="fold"), (0, 0, 0, min(2 * depth + 2, width // 3)))


def _cells(volume: Volume, depth: int, types: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the table says of a volume, in the order of `VOLUME_TITLES`."""
    holds = volume.content or ("nothing" if volume.signature.is_known else f"unread: {volume.signature.unread}")
    if volume.kind == "thin-pool":
        holds = "thin pool"
    if volume.content is None and volume.name in types:
        holds += f" ({types[volume.name]})"
    if volume.readable is not None and not volume.readable.is_known:
        holds += f" (unread: {volume.readable.unread})"
    holds += _made_of(volume)
    name = "  " * depth + volume.name
    cells = (name, holds, size_text(volume.size), size_text(_free(volume)), _fact(volume.label), _fact(volume.uuid))
    return tuple(map(shown, cells))


def _identity(volume: Volume) -> list[str]:
    return [f"{name} {_fact(fact)}" for name, fact in (("label", volume.label), ("uuid", volume.uuid)) if fact]


class Row:
    """A row of the table of volumes: `columns` are the widths; what the volume holds is wrapped at words."""

    def __init__(self, cells: Sequence[str], columns: Sequence[int], style: str = "") -> None:
        self._cells = cells
        self._columns = columns
        self._style = style

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        holds = Text(self._cells[HOLDS]).wrap(console, self._columns[HOLDS], overflow="fold")
        for number, piece in enumerate(holds):
            line = Text(style=self._style)
            for column, width in enumerate(self._columns):
                cell = piece if column == HOLDS else Text("" if number else self._cells[column])
                gap = " " * (width - cell.cell_len)
                line.append("  " * (column > 0))
                line.append_text(Text(gap) + cell if column in RIGHT else cell + Text(gap))
            line.no_wrap = True
            yield line


def _free(volume: Volume) -> int | None:
    free = volume.free.value if volume.free and volume.free.is_known else None
    return free.usable(volume.content) if free else None


def _layered(machine: MachineFacts) -> Iterable[tuple[Volume, int]]:
    """Yield the volumes, each once and below the first one that it lies on, with how deep it is among them."""
    names = {volume.name for volume in machine.volumes if "part_of" not in volume.metadata}
    above: dict[str, list[Volume]] = {}
    for volume in machine.volumes:
        whole = volume.metadata.get("part_of")  # of a filesystem on several volumes
        below = whole if whole in names else next((name for name in volume.on if name in names), "")
        above.setdefault(below, []).append(volume)
    todo = [(volume, 0) for volume in reversed(above.pop("", []))]
    while todo:
        volume, depth = todo.pop()
        yield volume, depth
        todo += [(each, depth + 1) for each in reversed(above.pop(volume.name, []))]
    for left in above.values():  # facts from a file may lie on each other in a circle
        yield from ((volume, 0) for volume in left)


def _made_of(volume: Volume) -> str:
    """Return what a volume of a layer is made of, in brackets; empty for a disk or partition."""
    words = []
    if volume.kind == "snapshot" and volume.metadata.get("origin"):
        words.append(f"snapshot of {volume.metadata['origin']}")
    made = volume.metadata.get("segments") or volume.metadata.get("level")
    if made and volume.kind not in {"snapshot", "thin-pool"}:
        words.append(made)
    if "part_of" in volume.metadata:
        words.append(f"part of {volume.metadata['part_of']}")
    if len(volume.on) > 1 and volume.kind != "snapshot":
        words.append(f"on {', '.join(volume.on)}")
    return f" ({', '.join(words)})" if words else ""


def _volume_problems(machine: MachineFacts) -> Iterable[RenderableType]:
    """Yield what is wrong with the layers; what several volumes share stands once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for volume in machine.volumes:
        for problem in volume.problems:
            found.setdefault((problem.kind, problem.code, problem.detail), []).append(volume.name)
    for (kind, code, detail), names in found.items():
        about = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        yield labelled(kind, f"{about}: {detail.removeprefix(f'{names[0]}: ')} ({code})")


def _partitions(disk: Disk) -> tuple[Partition, ...]:
    return disk.partition_table.partitions if disk.partition_table is not None else ()


def _boot(boot: Boot) -> Iterable[RenderableType]:
    yield labelled("firmware", _fact(boot.firmware))
    if boot.disk.is_known:
        disks = boot.disk.get()
        yield labelled("boot disk", " or ".join(disks) if disks else "none: nothing here boots")
    else:
        yield labelled("boot disk", _fact(boot.disk))
    for code in boot.code:
        if code.what != "none":
            loads = f", loads {code.loads}" if code.loads else ""
            version = f" {code.version}" if code.version else ""
            detail = f" ({shown(code.detail)})" if code.detail else ""
            yield labelled("boot code", f"{code.what}{version} in {code.where}{loads}{detail}")
    for loader in boot.loaders:
        fallback = ", started by default" if loader.fallback else ""
        yield labelled(
            "EFI loader",
            f"{shown(f'{loader.path} on {loader.volume}')}: {loader.what}, {loader.machine or 'no PE file'}{fallback}"
            f"{f' ({shown(loader.detail)})' if loader.detail else ''}",
        )


def _system(index: int, system: System) -> RenderableType:
    product = _fact(system.product)
    facts = [
        ("id", " ".join(word for word in (_fact(system.id), _fact(system.version)) if word != "-")),
        ("service pack", _fact(system.service_pack)),
        ("variant", _fact(system.variant)),
        ("edition", _fact(system.edition)),
        ("build", _fact(system.build)),
        ("installation", _fact(system.installation_type)),
        ("architecture", _fact(system.architecture)),
        ("host name", _fact(system.hostname)),
        ("domain", _fact(system.domain)),
        ("language", _fact(system.languages.map(lambda found: found.installed) if system.languages else None)),
        ("licence", _fact(system.channel)),
        ("bootloader", _fact(system.bootloader)),
        ("boot menu", _windows_menu(system)),
        ("started", _boot_options(system)),
        ("drives", _drives(system)),
        ("pending", _fact(system.pending_restart.map(lambda found: " and ".join(each.text for each in found) or None))),
        ("boot drivers", _boot_drivers(system)),
        ("kernel", _fact(system.kernel)),
        ("of package", _of_kernel(system, system.kernel_package, lambda found: found.name or "none")),
        ("initramfs", _of_kernel(system, system.initramfs, _initramfs)),
        ("SSH", _ssh(system)),
        ("registry", _registry(system)),
        ("network", _network(system)),
        ("persistent routes to", _listed(system.routes, lambda route: route.destination)),
        ("proxy", _listed(system.proxies, lambda proxy: proxy.server)),
        ("firewall", _fact(system.firewalls.map(lambda found: ", ".join(each.name for each in found) or None))),
    ]
    head = Text.assemble((f"{index}  {product}", "bold"), f"  {system.family}, root on {_root(system)}")
    line = ", ".join(f"{name} {value}" for name, value in facts if value != "-")
    return Group(head, Padding(Text(line), (0, 0, 0, 3)))


def _listed(found: Fact[tuple[T, ...]], word: Callable[[T], str]) -> str:
    """Return a word for each of several things; a dash where there are none, or they were not read."""
    return shown(", ".join(word(each) for each in found.get())) or "-" if found.is_known else "-"


def _registry(system: System) -> str:
    """Return which hives were not left clean."""
    states = [fact.get() for fact in system.hives if fact.is_known]
    left = [f"{state.path} {state.state}" for state in states if state.state != "clean"]
    return ", ".join(left) or "-"


def _windows_menu(system: System) -> str:
    """Return the entries of a Windows' boot menu, and what those do that do not start it."""
    if system.family != "windows" or not system.menu.is_known:
        return _fact(system.menu) if system.family == "windows" else "-"
    entries = system.menu.get()
    words = [
        f"{entry.title} ({', '.join(filter(None, ('default' if entry.default else '', entry.kind)))})"
        for entry in entries[:MENU_ENTRIES]
    ]
    more = f" and {len(entries) - MENU_ENTRIES} more" if len(entries) > MENU_ENTRIES else ""
    return " and ".join(words) + more or "-"


def _boot_options(system: System) -> str:
    """Return how the boot menu starts a Windows, where that is no plain start."""
    if not system.boot_options.is_known or system.boot_options.value is None:
        return _fact(system.boot_options)
    options = system.boot_options.get()
    words = [] if options is None or options.timeout is None else [f"after {options.timeout} s"]
    if options is not None:
        words += [f"in safe mode ({options.safe_boot})"] * (options.safe_boot is not None)
        words += ["with EMS"] * options.ems + ["with a debugger"] * options.debug
        words += ["with unsigned drivers"] * options.unsigned_drivers
    return " and ".join(words) or "-"


def _drives(system: System) -> str:
    """Return the drive letters of a Windows with their volumes."""
    if system.family != "windows" or not system.mounts.is_known:
        return _fact(system.mounts) if system.family == "windows" else "-"
    words = [f"{mount.point} {mount.volume or shown(mount.source)}" for mount in system.mounts.get()]
    return " and ".join(words) or "-"


def _boot_drivers(system: System) -> str:
    """Return how many drivers a Windows starts with, and the filters of its disks and volumes."""
    if not system.boot_drivers.is_known:
        return _fact(system.boot_drivers)
    drivers = system.boot_drivers.get()
    filters = [driver.name for driver in drivers if driver.filters]
    count = sum(driver.start == "boot" for driver in drivers)
    return f"{count} (filters {' and '.join(filters)})" if filters else str(count)


def _of_kernel(system: System, fact: Fact[T | None], text: Callable[[T], str]) -> str:
    """Return a fact about the default kernel; why that one is not known stands with it already."""
    if system.kernel is not None and not fact.is_known and fact.detail == system.kernel.detail:
        return "-"
    return _fact(fact.map(lambda found: text(found) if found else None))


def _initramfs(found: Initramfs) -> str:
    """Return how an initramfs is packed, or what is wrong with it."""
    return " and ".join(file.flaw or "+".join(file.forms) for file in found.files)


def _ssh(system: System) -> str:
    """Return the ports of an SSH server that starts, or why none does."""
    if not system.ssh_server.is_known or system.ssh_server.value is None:
        return _fact(system.ssh_server.map(lambda _: "not installed"))
    if not system.ssh_start.is_known or not system.ssh_start.get().starts:
        return _fact(system.ssh_start.map(lambda _: "disabled"))
    return _fact(
        system.ssh_settings.map(
            lambda found: f"port {' and '.join(str(port) for port in found.ports)}" if found else "not configured"
        )
    )


def _network(system: System) -> str:
    """Return the interfaces with what they get their addresses from, or why that is not known."""
    if not system.network.is_known:
        return _fact(system.network)
    words: list[str] = []
    for file in system.network.get():
        if not file.interfaces.is_known:
            words.append(_fact(file.interfaces))
            continue
        for each in file.interfaces.get():
            how = [address.address for address in each.addresses]
            how += ["DHCP"] * each.dhcp4 + ["DHCPv6"] * each.dhcp6
            if how and each.kind not in {"loopback", "stale"}:
                words.append(f"{each.name or each.mac or 'any interface'} {' and '.join(how)}")
    words = list(dict.fromkeys(words))
    more = f"; and {len(words) - INTERFACES} more" if len(words) > INTERFACES else ""
    return shown("; ".join(words[:INTERFACES]) + more) or "-"


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


def _root(system: System) -> str:
    """Return the volume of a system's root, with the subvolume when it is not the one that a mount shows."""
    directory = system.directory or "/"
    return f"{system.root}:{shown(directory)}" if directory.startswith("/subvol:") else system.root


def _quiet(finding: Finding) -> Text:
    return Text.assemble((finding.outcome.ljust(15), "dim"), f"{finding.rule}: {shown(finding.summary)}")


class Labelled:
    """A label with its text beside it, the text wrapped under itself; as a table it would take six times as long."""

    def __init__(self, label: Text, value: Text) -> None:
        self._label = label
        self._value = value

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; the text stands below a label that takes more than half of the width."""
        column = max(LABEL_WIDTH, self._label.cell_len + 1)
        if column > max(LABEL_WIDTH, options.max_width // 2):
            yield self._label
            column, head = 2, Text("  ")
        else:
            head = self._label
            head.pad_right(column - head.cell_len)
        for line in self._value.wrap(console, max(1, options.max_width - column), overflow="fold"):
            yield head + line
            head = Text(" " * column)


def labelled(label: str, value: str) -> Labelled:
    """Return a label with its text beside it."""
    return Labelled(Text(shown(label), "dim"), Text(shown(value)))


def _reason(where: str, why: str, detail: str) -> str:
    prefix = f"{where}: "
    return f"{why}: {detail.removeprefix(prefix)}"


def _fact(fact: Fact[Any] | None) -> str:
    """Return a fact as a few words: its value, a dash when there is none, or why it was not read."""
    if fact is None:
        return "-"
    if not fact.is_known:
        return "-" if fact.unread == "not-collected" else shown(f"unread ({fact.unread}: {fact.detail})")
    return "-" if fact.value is None else shown(str(fact.value))


def evidence_text(piece: Evidence) -> str:
    """Return a piece of evidence in one line; not yet made harmless."""
    if isinstance(piece, AtOffset):
        what = f" ({piece.structure})" if piece.structure else ""
        return f"{piece.where} at offset {piece.offset}{what}"
    if isinstance(piece, AtPath):
        return f"{piece.volume}:{piece.path}" + (f" line {piece.line}" if piece.line else "")
    if isinstance(piece, AtRegistry):
        return f"{piece.volume}:{piece.hive} {piece.key}" + (f" value {piece.value}" if piece.value is not None else "")
    return f"{piece.file} {piece.key}"
