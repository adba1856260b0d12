"""`imgscan inspect`: the facts of one machine, without judging them."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import msgspec

from imgscan.batch import isolated
from imgscan.batch.isolated import ReadOptions
from imgscan.cli.main import INTERNAL, OK, UNDECIDED, report_failures
from imgscan.cli.options import (
    collect_option,
    format_option,
    groups_to_collect,
    image_options,
    output_options,
    paths_argument,
)
from imgscan.cli.output import check_output, text_style, write_result
from imgscan.model.machine import FactsFile
from imgscan.tool import this_tool


@click.command("inspect")
@paths_argument
@format_option
@collect_option
@output_options
@image_options
def command(
    paths: tuple[Path, ...],
    format_: str,
    collect: tuple[str, ...],
    output: Path | None,
    force: bool,
    reading: ReadOptions,
) -> int:
    """Read the facts of one machine and print them; JSON can be judged later, without the image.

    Exit status: 0 when every disk could be opened, else 3.
    """
    check_output(output, force=force)
    reading = msgspec.structs.replace(reading, collect=groups_to_collect(collect, ()))
    found = isolated.inspect(paths, reading, meanwhile=[lambda: importlib.import_module(f"imgscan.reports.{format_}")])
    facts = FactsFile(tool=this_tool(), machine=found.facts)
    if format_ == "json":
        from imgscan.reports import json

        text = json.render(facts)
    else:
        from imgscan.reports import text as text_report

        text = text_report.render(facts, text_style(output, verbose=False))
    write_result(text, output, force=force, images=found.images, names=found.referred)
    if report_failures(found.failures):
        return INTERNAL
    return OK if all(disk.partitioning.is_known for disk in facts.machine.disks) else UNDECIDED
