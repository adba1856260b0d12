"""`imgscan cat`: a guest file's bytes on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imgscan.cli.guest import guest_place
from imgscan.cli.main import OK
from imgscan.cli.options import image_options, scan_options
from imgscan.errors import UsageError

CHUNK_BYTES = 1 << 20


@click.command("cat")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@image_options
def command(
    arguments: tuple[str, ...], system: int | None, input_format: str | None, search_dirs: tuple[Path, ...]
) -> int:
    """Write a guest file's bytes to standard output, as they are.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path.
    """
    with guest_place(arguments, system, scan_options(input_format, search_dirs)) as (tree, path):
        place = tree.resolve(path)
        if place.entry.kind != "file":
            raise UsageError(f"it is a {place.entry.kind}, not a file", where=path)
        offset = 0
        while data := place.filesystem.read(place.entry.node, offset, CHUNK_BYTES):
            sys.stdout.buffer.write(data)
            offset += len(data)
    return OK
