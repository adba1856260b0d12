"""`imgscan report`: the answers over a whole share, from the ledger that `imgscan batch` wrote."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from imgscan.batch.share_report import (
    Selection,
    ShareReader,
    SummaryBuilder,
    exit_status,
    parse_selection,
)
from imgscan.batch.written_names import restored
from imgscan.cli.main import NOT_READY, OK, UNDECIDED
from imgscan.cli.options import output_options, verbose_option
from imgscan.cli.output import check_output, database_files, refuse_inside, text_style, write_result
from imgscan.errors import UsageError
from imgscan.model.report import Report
from imgscan.model.share_report import MachineAnswer, ShareMachine
from imgscan.reports import SHARE_FORMATS

STATUS = {"ready": OK, "ready-with-warnings": OK, "undecided": UNDECIDED, "not-ready": NOT_READY}


@click.command("report")
@click.argument("database", type=click.Path(path_type=Path), metavar="DB")
@click.option(
    "--profile",
    "profile_names",
    multiple=True,
    metavar="NAME|FILE",
    help="The target; may be repeated. [default: those of the last batch]",
)
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only machines with this readiness, system, state or failure. May be repeated; all must hold.",
)
@click.option("--rule", metavar="NAME", help="Only machines for which this rule fails or is undecided, and why.")
@click.option("--machine", "machine_name", metavar="NAME", help="One machine in full, as scan shows it.")
@click.option(
    "--format", "format_", type=click.Choice(SHARE_FORMATS), default="text", show_default=True, help="How to print it."
)
@verbose_option
@output_options
def command(
    database: Path,
    profile_names: tuple[str, ...],
    where: tuple[str, ...],
    rule: str | None,
    machine_name: str | None,
    format_: str,
    verbose: bool,
    output: Path | None,
    force: bool,
) -> int:
    """Report on all machines of a share, from the results database DB of imgscan batch; no image is opened.

    Profiles are those of the last batch, unless --profile names others. A batch may be running meanwhile.

    Exit status as for scan, for the worst machine that is reported; 3 also when one, or a path, was not scanned.
    """
    gc.enable()  # this takes long; `main` only spares short commands the search for garbage
    from imgscan import profiles

    check_output(output, force=force)
    selection = parse_selection(where, rule)
    if machine_name is not None and selection.words():
        raise UsageError("--machine names one machine; --where and --rule choose among many: give one or the other")
    chosen = [profiles.load(name) for name in profile_names]
    with ShareReader.open(database, chosen) as reader:
        refuse_inside(output, Path(restored(reader.root)))
        if machine_name is not None and format_ != "csv":
            answer = reader.answer(machine_name)
            report = reader.report(answer)
            pieces: Iterable[str] = [_one_machine(report, answer, format_, output, verbose=verbose)]
            write_result(pieces, output, force=force, images=database_files(database))
            return _status_of(report, answer)
        summary = SummaryBuilder(reader, selection)
        answers = reader.answers(selection) if machine_name is None else iter([reader.answer(machine_name)])
        pieces = _render(reader, _counted(answers, summary), summary, selection, format_, output, verbose=verbose)
        write_result(pieces, output, force=force, images=database_files(database))
        return exit_status(summary.result(), whole=machine_name is None)


def _render(
    reader: ShareReader,
    answers: Iterator[MachineAnswer],
    summary: SummaryBuilder,
    selection: Selection,
    format_: str,
    output: Path | None,
    *,
    verbose: bool,
) -> Iterator[str]:
    """Yield the report in pieces; only the format's module is loaded."""
    if format_ == "json":
        from imgscan.reports import share_json

        machines = (machine for answer in answers if isinstance(machine := reader.machine(answer), ShareMachine))
        yield from share_json.render(reader.tool, reader.profiles, machines, summary.result)
    elif format_ == "csv":
        from imgscan.reports import share_csv

        if selection.rule is None:
            yield from share_csv.render([stamp.name for stamp in reader.profiles], answers)
        else:
            yield from share_csv.render_rule(selection.rule, answers)
    else:
        from imgscan.reports import share_text

        listed = [answer for answer in answers if selection.words()]
        yield share_text.render(summary.result(), listed, selection.rule, text_style(output, verbose=verbose))


def _counted(answers: Iterator[MachineAnswer], summary: SummaryBuilder) -> Iterator[MachineAnswer]:
    for answer in answers:
        summary.add(answer)
        yield answer


def _one_machine(report: Report, answer: MachineAnswer, format_: str, output: Path | None, *, verbose: bool) -> str:
    if format_ == "json":
        from imgscan.reports import json

        return json.render(report)
    from imgscan.reports import share_text, text

    style = text_style(output, verbose=verbose)
    return text.render(report, style) + share_text.render_place(answer, style)


def _status_of(report: Report, answer: MachineAnswer) -> int:
    found = {STATUS[verdict.readiness] for machine in report.machines for verdict in machine.verdicts}
    if NOT_READY in found:
        return NOT_READY
    return UNDECIDED if UNDECIDED in found or answer.share.state != "done" else OK
