"""`imgscan raw`: a virtual disk's bytes on standard output, for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imgscan.batch import isolated
from imgscan.batch.isolated import ReadOptions
from imgscan.cli.main import OK, UNDECIDED
from imgscan.cli.options import image_options
from imgscan.errors import UsageError
from imgscan.model.text import shown


@click.command("raw")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PATH...")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="First byte. [default: 0]")
@click.option("--length", type=click.IntRange(min=0), metavar="N", help="How many bytes. [default: up to the end]")
@click.option(
    "--volume",
    metavar="NAME",
    help="Read this volume (disk0/p1, vg0/root) of the machine that all PATHs make, instead of one disk.",
)
@click.option(
    "--on-error", type=click.Choice(["stop", "zero"]), default="stop", show_default=True, help="At what cannot be read."
)
@image_options
def command(
    paths: tuple[Path, ...],
    offset: int,
    length: int | None,
    volume: str | None,
    on_error: str,
    reading: ReadOptions,
) -> int:
    """Write the bytes of one virtual disk, or of one volume, to standard output.

    Stops with status 3 at what cannot be read; with --on-error zero it writes zeros there, says so, and goes on.
    """
    if len(paths) > 1 and volume is None:
        raise UsageError("give one disk, or say by --volume which volume of the machine")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; send the bytes to a file or another program")

    def write(data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def note(text: str) -> None:
        sys.stderr.write(f"imgscan: {shown(text)}\n")

    wanted: dict[str, str | int | bool | None] = {"offset": offset, "length": length, "volume": volume}
    wanted["zero"] = on_error == "zero"
    answer = isolated.look("raw", paths, wanted, write, note, reading)
    return UNDECIDED if answer == b"lost" else OK
