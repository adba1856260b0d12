"""`imgscan batch`: scan every machine below a folder, and remember it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from imgscan.cli.main import DEFAULT_PROFILE, INTERRUPTED, OK, UNDECIDED
from imgscan.cli.options import output_options, profile_option
from imgscan.errors import LedgerError, LimitExceeded, UsageError

MIB = 1 << 20
MOST_WORKERS = 256


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


@click.command("batch")
@click.argument("root", type=click.Path(path_type=Path), metavar="ROOT")
@click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The results database, outside ROOT and on a local disk. It is made when it is not there.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="N",
    help="Machines read at the same time. [default: one more than there are processors]",
)
@profile_option
@click.option(
    "--group",
    "mode",
    type=click.Choice(["auto", "file", "folder"]),
    default="auto",
    show_default=True,
    help="What is one machine: by machine files and names, each disk, or all disks of a folder.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Only show which files are one machine, and why.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only these paths below ROOT. May be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not these paths below ROOT. May be repeated.")
@click.option(
    "--newer-than", metavar="WHEN", help="Only machines written since: 12h, 7d, or a date such as 2026-01-31."
)
@click.option(
    "--retry",
    multiple=True,
    type=click.Choice(
        ["crashed", "timed-out", "limit", "io-error", "changed", "missing", "denied", "killed", "internal", "all"]
    ),
    help="Read again what failed before in this way. May be repeated.",
)
@click.option(
    "--events", type=click.Path(path_type=Path), metavar="FILE", help="Append what happens as JSON lines, for programs."
)
@click.option(
    "--cpu-limit",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    metavar="S",
    help="Processor seconds that one machine may take.",
)
@click.option(
    "--time-limit",
    type=click.IntRange(1),
    default=1800,
    show_default=True,
    metavar="S",
    help="Seconds that one machine may take, waiting included.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(256),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="Memory that one machine may take.",
)
@click.option(
    "--require-sandbox",
    is_flag=True,
    help="Read nothing unless the processes that parse are closed in fully (limits, Landlock, seccomp).",
)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print --plan.")
@output_options
def command(
    root: Path,
    database: Path | None,
    workers: int | None,
    profile_names: tuple[str, ...],
    mode: str,
    only_plan: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    newer_than: str | None,
    retry: tuple[str, ...],
    events: Path | None,
    cpu_limit: int,
    time_limit: int,
    memory_limit: int,
    require_sandbox: bool,
    format_: str,
    output: Path | None,
    force: bool,
) -> int:
    """Find every machine below ROOT, scan each in a process of its own, and keep the results in a database.

    It can be stopped (Ctrl-C) or killed at any moment: the same command continues, and later reads only what is new or
    has changed. imgscan report gives the answers, also while it runs. Nothing below ROOT is ever written.

    Exit status as for scan, for the worst machine; 3 also when one, or a path, could not be scanned.
    """
    gc.enable()  # this takes long; `main` only spares short commands the search for garbage
    from imgscan import profiles
    from imgscan.batch import discovery
    from imgscan.batch.engine import Wanted
    from imgscan.batch.sandbox import Limits

    if database is None and not only_plan:
        raise UsageError("give the results database with --db, or --plan to see only what would be scanned")
    limits = Limits(memory=memory_limit * MIB, cpu=cpu_limit, wall=time_limit)
    classes = ("crashed", "timed-out", "limit", "io-error", "changed", "missing", "denied", "killed", "internal")
    wanted = Wanted(
        profiles=tuple(profiles.load(name) for name in profile_names or (DEFAULT_PROFILE,)),
        mode=mode,  # type: ignore[arg-type] # click lets only the three pass
        filters=discovery.Filters(include, exclude),
        since_ns=None if newer_than is None else discovery.newer_than(newer_than, time.time_ns()),
        retry=frozenset(classes if "all" in retry else retry),  # type: ignore[arg-type] # the same
    )
    settings = _Settings(root, database, workers or processors() + 1, limits, require_sandbox, events)
    if only_plan:
        return _show_plan(settings, wanted, format_, output, force=force)
    if output is not None:
        raise UsageError("-o goes with --plan; the results go into --db, and imgscan report writes them")
    return _run(settings, wanted)


class _Settings(msgspec.Struct, frozen=True):
    """Where a batch runs, and with what."""

    root: Path
    database: Path | None
    workers: int
    limits: Any
    required: bool
    events: Path | None


@contextmanager
def _stopping() -> Iterator[Any]:
    """Turn Ctrl-C, a polite end and a closed terminal into a wish to stop; a second Ctrl-C stops at once."""
    wished: list[int] = []

    def wish(number: int, _frame: object) -> None:
        if wished and number == signal.SIGINT:
            raise KeyboardInterrupt
        wished.append(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, wish) for number in numbers}
    try:
        yield lambda: bool(wished)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sandbox(settings: _Settings) -> str:
    """Return how far workers are closed in on this host.

    :raises LimitExceeded: not in fully, and that is required
    """
    from imgscan.batch.sandbox import NOT_CLOSED_IN, reachable

    level = reachable(settings.limits)
    if settings.required and not level.is_full:
        raise LimitExceeded(NOT_CLOSED_IN.format(level))
    return "full" if level.is_full else str(level)


def _show_plan(settings: _Settings, wanted: Any, format_: str, output: Path | None, *, force: bool) -> int:
    from imgscan.batch.engine import Engine, Interrupted
    from imgscan.batch.events import Events
    from imgscan.batch.ledger import Ledger
    from imgscan.batch.pool import LocalPool
    from imgscan.batch.progress import view_for
    from imgscan.batch.source import LocalSource
    from imgscan.cli.output import check_output, database_files, refuse_inside, text_style, write_result

    check_output(output, force=force)
    refuse_inside(output, settings.root)
    _sandbox(settings)
    with ExitStack() as stack:
        source = stack.enter_context(LocalSource(settings.root))
        stopping = stack.enter_context(_stopping())
        ledger = None
        if settings.database is not None and settings.database.exists():
            ledger = stack.enter_context(Ledger.open(settings.database, settings.root))
        pool = LocalPool(settings.workers, settings.limits, required=settings.required)
        stack.callback(pool.close)
        listeners = [view_for()] if sys.stderr.isatty() else []
        events = Events(listeners)
        stack.callback(events.close)
        try:
            plan, _ = Engine(source, ledger, pool, wanted, events, stopping).plan()
        except (Interrupted, KeyboardInterrupt):
            stack.close()  # the view first, then the line below it
            _say("imgscan: stopped")
            return INTERRUPTED
    from imgscan.batch import plan_json, plan_text

    text = plan_json.render(plan) if format_ == "json" else plan_text.render(plan, text_style(output, verbose=False))
    own = frozenset() if settings.database is None else database_files(settings.database)
    write_result(text, output, force=force, images=own)
    return UNDECIDED if plan.problems else OK


def _run(settings: _Settings, wanted: Any) -> int:
    from imgscan.batch.engine import Engine, Interrupted
    from imgscan.batch.events import Events, Listener
    from imgscan.batch.ledger import Ledger
    from imgscan.batch.pool import LocalPool
    from imgscan.batch.progress import JsonLines, summary, view_for
    from imgscan.batch.source import LocalSource
    from imgscan.cli.output import refuse_database, refuse_inside
    from imgscan.tool import this_tool

    if settings.database is None:
        raise UsageError("give the results database with --db")
    refuse_inside(settings.events, settings.root)
    sandbox = _sandbox(settings)
    with ExitStack() as stack:
        source = stack.enter_context(LocalSource(settings.root))
        ledger = stack.enter_context(Ledger.open(settings.database, settings.root))
        pool = LocalPool(settings.workers, settings.limits, required=settings.required)
        stack.callback(pool.close)
        listeners: list[Listener] = [view_for()]
        if settings.events is not None:
            refuse_database(settings.events, settings.database)
            listeners.append(JsonLines(settings.events))
        events = Events(listeners)
        closing = stack.enter_context(ExitStack())
        closing.callback(events.close)
        stopping = stack.enter_context(_stopping())
        tool = this_tool()
        options = {
            "workers": settings.workers,
            "group": wanted.mode,
            "include": list(wanted.filters.include),
            "exclude": list(wanted.filters.exclude),
            "limits": msgspec.to_builtins(settings.limits),
            "require_sandbox": settings.required,
        }
        ledger.begin_run(tool, options, wanted.profiles)
        events.tell("started", root=str(settings.root), workers=settings.workers, version=tool.version, sandbox=sandbox)
        engine = Engine(source, ledger, pool, wanted, events, stopping)
        try:
            plan, stamps = engine.plan()
            engine.scan(plan, stamps, conditions(tool, settings.limits))
        except (Interrupted, KeyboardInterrupt):
            pool.close()
            with suppress(LedgerError):  # the next run finds out by itself
                ledger.end_run("interrupted")
            events.tell("interrupted")
            closing.close()
            _say(f"imgscan: stopped: {summary(events.state)}; the same command continues")
            return INTERRUPTED
        except BaseException:  # the ledger is told whatever ended the run
            with suppress(LedgerError):
                ledger.end_run("failed")
            raise
        ledger.end_run("finished")
        events.tell("finished", done=events.state.done, failed=events.state.failed)
        closing.close()
        _say(f"{summary(events.state)}; {events.state.kept} were scanned before")
    return _exit_status(settings.database)


def _say(line: str) -> None:
    """Tell the user, if there is still somebody to tell: the results are in the database all the same."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def conditions(tool: Any, limits: Any) -> str:
    """Return what decides, besides the files, what a scan reads: the tool's version, its libraries, the limits."""
    return str((tool.version, sorted(tool.libraries.items()), limits.memory, limits.cpu, limits.wall))


def _exit_status(database: Path) -> int:
    from imgscan.batch.share_report import ShareReader

    with ShareReader.open(database, []) as reader:
        return reader.exit_status()
