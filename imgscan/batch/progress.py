"""The listeners of a batch: JSON lines for programs, plain lines, and a live view on a terminal."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from imgscan.batch.events import Plain, State
from imgscan.errors import UsageError
from imgscan.model.text import shown
from imgscan.reports.units import size_text

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_SECONDS: Final = 10.0
"""Seconds between plain lines on how far it is."""
VIEW_SECONDS: Final = 0.25
WIDE: Final = 90
"""Columns from which on there is room for a bar beside the figures."""


class JsonLines:
    """One JSON object a line, with `event` and `time`, appended to a file and written at once."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(f"it cannot be written: {error.strerror}", where=shown(str(path))) from error
        self._lost = 0

    def event(self, name: str, values: Mapping[str, Plain], state: State) -> None:
        """Write it; what cannot be written (a full disk) is counted, and the count is written with the next line."""
        del state
        line = {"event": name, "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), **values}
        if self._lost:
            line["lost"] = self._lost
        try:
            os.write(self._file, msgspec.json.encode(line) + b"\n")
            self._lost = 0
        except OSError:
            self._lost += 1

    def tick(self, state: State) -> None:
        """Nothing: lines are for what happened."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def sentence(name: str, values: Mapping[str, Plain]) -> str | None:
    """Return an event in words; None when it is not worth a line."""
    if name == "started" and values["sandbox"] not in {None, "full"}:
        return f"note: this host closes in the processes that parse only in part ({values['sandbox']})"
    if name == "planned":
        kept = f"; {values['unchanged']} unchanged" if values["unchanged"] else ""
        found = "1 machine" if values["machines"] == 1 else f"{values['machines']} machines"
        gone = f"; {values['gone']} of the last run not found" if values["gone"] else ""
        return f"{found} found, {values['to_scan']} to scan{kept}{gone}"
    if name == "again" and values["times"] == 1:
        what = f" at {values['part']}" if values["part"] else ""
        return f"{values['machine']}: {values['outcome']}{what}: {values['detail']}; it is read again"
    if name == "failed":
        return f"{values['machine']}: failed ({values['failure']}): {values['detail']}"
    if name == "waiting":
        return f"waiting: {values['why']}"
    return "going on" if name == "going-on" else None


def summary(state: State) -> str:
    """Return how far a batch is, in one line."""
    if state.doing != "scanning":
        looked = f", {state.identified} of {state.to_identify} looked into" if state.to_identify else ""
        return f"{state.doing}: {state.discovered} files{looked}"
    left = state.seconds_left
    rest = f", about {_duration(left)} left" if left is not None and state.done + state.failed < state.total else ""
    return (
        f"{state.done + state.failed} of {state.total} machines, {state.failed} failed, {state.rate:.1f} a second, "
        f"{size_text(state.bytes)} read{rest}"
    )


class PlainLines:
    """Lines on a stream: what happens, and now and then how far it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = time.monotonic()

    def event(self, name: str, values: Mapping[str, Plain], state: State) -> None:
        """Write what is worth a line."""
        del state
        text = sentence(name, values)
        if text is not None:
            self._line(text)

    def tick(self, state: State) -> None:
        """Write how far it is, every few seconds."""
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._line(summary(state))

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""


class LiveView:
    """A view on a terminal that is drawn anew: how far it is, and what each worker does. Lines scroll above it."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich costs start-up time
        from rich.live import Live  # noqa: PLC0415 - the same

        self._console = Console(file=stream, no_color=not color, highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._last = 0.0

    def event(self, name: str, values: Mapping[str, Plain], state: State) -> None:
        """Write what is worth a line above the view."""
        text = sentence(name, values)
        if text is not None:
            self._console.print(text, markup=False)
        self._draw(state)

    def tick(self, state: State) -> None:
        """Draw it, not too often."""
        if time.monotonic() - self._last >= VIEW_SECONDS:
            self._draw(state)

    def _draw(self, state: State) -> None:
        if time.monotonic() - self._last < VIEW_SECONDS / 2:
            return
        self._last = time.monotonic()
        self._live.update(_view(state, wide=self._console.width >= WIDE), refresh=True)

    def close(self) -> None:
        """Take the view away; the lines stay."""
        self._live.stop()


def _view(state: State, *, wide: bool) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 - rich costs start-up time
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    done, total = state.done + state.failed, state.total
    if state.doing != "scanning":
        done, total = state.identified, state.to_identify
    rows: list[RenderableType] = [Text(summary(state))]
    if wide:
        head = Table.grid(padding=(0, 1))
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        head.add_row(ProgressBar(total=max(total, 1), completed=done, width=30), rows[0])
        rows = [head]
    if state.readiness:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(state.readiness.items()))
        rows.append(Text(counts, overflow="ellipsis", no_wrap=True))
    if state.waiting:
        rows.append(Text(f"waiting: {state.waiting}", style="bold"))
    for number, running in enumerate(state.running):
        what = f"worker {number + 1}  {running.seconds:5.1f} s  {shown(str(running.token))}  {running.part}"
        rows.append(Text(what, overflow="ellipsis", no_wrap=True))
    return Group(*rows)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def view_for(stream: TextIO | None = None) -> PlainLines | LiveView:
    """Return a live view when the stream is a terminal that can, else plain lines."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM", "") in {"", "dumb"}:
        return PlainLines(stream)
    return LiveView(stream, color=not os.environ.get("NO_COLOR"))
