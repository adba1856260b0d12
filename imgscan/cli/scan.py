"""`imgscan scan`: read one machine, judge it, print the report."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from imgscan.batch import isolated
from imgscan.batch.isolated import ReadOptions
from imgscan.cli.main import DEFAULT_PROFILE, INTERNAL, NOT_READY, OK, UNDECIDED, report_failures
from imgscan.cli.options import (
    collect_option,
    format_option,
    groups_to_collect,
    image_options,
    output_options,
    paths_argument,
    profile_option,
    verbose_option,
)
from imgscan.cli.output import check_output, text_style, write_result

if TYPE_CHECKING:
    from imgscan.model.profile import Profile
    from imgscan.model.report import Report

STATUS = {"ready": OK, "ready-with-warnings": OK, "undecided": UNDECIDED, "not-ready": NOT_READY}
MODULES = {
    "text": ("rich.style", "rich.text", "rich.console", "imgscan.reports.text"),
    "json": ("imgscan.reports.json",),
}
"""What a format's report needs, in pieces that are loaded soon."""
WORST_FIRST = (NOT_READY, UNDECIDED, OK)


@click.command("scan")
@paths_argument
@profile_option
@format_option
@verbose_option
@collect_option
@output_options
@image_options
def command(
    paths: tuple[Path, ...],
    profile_names: tuple[str, ...],
    format_: str,
    verbose: bool,
    collect: tuple[str, ...],
    output: Path | None,
    force: bool,
    reading: ReadOptions,
) -> int:
    """Scan one machine: all PATHs together are its disks, in their order.

    Exit status: 0 ready (with or without warnings), 1 not ready, 3 undecided.
    """
    check_output(output, force=force)
    chosen: list[Profile] = []

    def load_profiles() -> None:
        from imgscan import profiles

        chosen.extend(profiles.load(name) for name in profile_names or (DEFAULT_PROFILE,))

    # What judging and printing need is loaded while another process is after the facts: it takes as long.
    modules = (*MODULES[format_], "imgscan.rules", "imgscan.profiles", "imgscan.judge")
    meanwhile: list[Callable[[], object]] = [partial(importlib.import_module, name) for name in modules]
    meanwhile.append(load_profiles)
    reading = msgspec.structs.replace(reading, collect=groups_to_collect(collect, profile_names or (DEFAULT_PROFILE,)))
    found = isolated.inspect(paths, reading, meanwhile=meanwhile)
    from imgscan.judge import report_on

    report = report_on([found.facts], chosen)
    text = render(report, format_, output, verbose=verbose)
    write_result(text, output, force=force, images=found.images, names=found.referred)
    return INTERNAL if report_failures(found.failures) else exit_status(report)


def render(report: Report, format_: str, output: Path | None, *, verbose: bool) -> str:
    """Return the report in the format asked for; only that format's module is loaded."""
    if format_ == "json":
        from imgscan.reports import json

        return json.render(report)
    from imgscan.reports import text

    return text.render(report, text_style(output, verbose=verbose))


def exit_status(report: Report) -> int:
    """Return the worst status over all machines and profiles."""
    found = {STATUS[verdict.readiness] for machine in report.machines for verdict in machine.verdicts}
    return next((status for status in WORST_FIRST if status in found), OK)
