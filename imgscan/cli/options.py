"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from imgscan.reports import FORMATS
from imgscan.scan import ScanOptions

Command = TypeVar("Command", bound=Callable[..., Any])

INPUT_FORMATS = ("raw", "vmdk", "vhd", "vhdx", "qcow2", "vdi")


def image_options(command: Command) -> Command:
    """Add `--input-format` and `--search-dir`."""
    command = click.option(
        "--input-format",
        type=click.Choice(INPUT_FORMATS),
        help="Take the images for this format instead of telling it by their content.",
    )(command)
    return click.option(
        "--search-dir",
        "search_dirs",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Also look here for the parents that an image names. May be repeated.",
    )(command)


def output_options(command: Command) -> Command:
    """Add `-o` and `--force`."""
    command = click.option("--force", is_flag=True, help="Let -o replace an existing file (never an image).")(command)
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        callback=_output,
        metavar="FILE",
        help="Write here instead of standard output.",
    )(command)


def _output(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """Take `-` for standard output, as other tools do."""
    return None if path == Path("-") else path


def scan_options(input_format: str | None, search_dirs: tuple[Path, ...]) -> ScanOptions:
    """Return the options as the scan takes them."""
    return ScanOptions(search=tuple(search_dirs), input_format=input_format)


paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
profile_option = click.option(
    "--profile",
    "profile_names",
    multiple=True,
    metavar="NAME|FILE",
    help="The target; may be repeated. [default: aws-sms]",
)
format_option = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True, help="How to print it."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Text: also list what passed or does not apply.")
