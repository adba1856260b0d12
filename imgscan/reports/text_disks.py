"""The disks and volumes of a machine, for people: a picture of each disk, and a table from which nothing is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from imgscan.model.disk import Disk, Partition
from imgscan.model.machine import MachineFacts
from imgscan.model.text import shown
from imgscan.model.volume import Volume
from imgscan.reports.text_layout import MIN_WIDTH, Style, fact_text, labelled
from imgscan.reports.units import size_text

VOLUME_TITLES = ("name", "holds", "size", "free", "label", "uuid")
HOLDS, RIGHT = 1, frozenset({2, 3})
"""The column that is wrapped, and those that stand at the right."""
MIN_HOLDS = 24
"""Columns for what a volume holds that are not given to labels and UUIDs."""


def disk_rows(disk: Disk, machine: MachineFacts, style: Style, width: int) -> RenderableType:
    """Return what is known of a disk: its files, its partitions to scale, and what is wrong with it."""
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


def volume_rows(machine: MachineFacts, width: int) -> Iterable[RenderableType]:
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
    figures = (size_text(volume.size), size_text(_free(volume)))
    return tuple(map(shown, (name, holds, *figures, fact_text(volume.label), fact_text(volume.uuid))))


def _identity(volume: Volume) -> list[str]:
    return [f"{name} {fact_text(fact)}" for name, fact in (("label", volume.label), ("uuid", volume.uuid)) if fact]


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


def volume_problems(machine: MachineFacts) -> Iterable[RenderableType]:
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
