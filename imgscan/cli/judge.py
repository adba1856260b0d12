"""`imgscan judge`: findings from facts that were read before."""

from __future__ import annotations

from pathlib import Path

import click

from imgscan import profiles
from imgscan.cli.main import DEFAULT_PROFILE
from imgscan.cli.options import format_option, output_options, profile_option, verbose_option
from imgscan.cli.output import check_output, write_result
from imgscan.cli.scan import exit_status, render
from imgscan.devices.file import FileIdentity
from imgscan.errors import UsageError
from imgscan.judge import report_on
from imgscan.reports.json import parse_facts

FACTS_BYTES = 256 << 20


@click.command("judge")
@click.argument("facts", type=click.Path(path_type=Path), metavar="FACTS.json")
@profile_option
@format_option
@verbose_option
@output_options
def command(
    facts: Path, profile_names: tuple[str, ...], format_: str, verbose: bool, output: Path | None, force: bool
) -> int:
    """Judge facts that `imgscan inspect --format json` wrote; no image is opened.

    Exit status as for scan.
    """
    check_output(output, force=force)
    chosen = [profiles.load(name) for name in profile_names or (DEFAULT_PROFILE,)]
    try:
        info = facts.stat()
        if not facts.is_file() or info.st_size > FACTS_BYTES:
            raise UsageError(f"it is no file of at most {FACTS_BYTES} bytes, and so no facts file", where=str(facts))
        data = facts.read_bytes()
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", where=str(facts)) from error
    report = report_on([parse_facts(data, str(facts)).machine], chosen)
    images = frozenset({FileIdentity(info.st_dev, info.st_ino)})
    write_result(render(report, format_, output, verbose=verbose), output, force=force, images=images)
    return exit_status(report)
