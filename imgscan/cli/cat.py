"""`imgscan cat`: a guest file's bytes on standard output."""

from __future__ import annotations

import sys

import click

from imgscan.batch.isolated import ReadOptions
from imgscan.cli.look import look_into
from imgscan.cli.main import OK
from imgscan.cli.options import image_options


@click.command("cat")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@image_options
def command(arguments: tuple[str, ...], system: int | None, reading: ReadOptions) -> int:
    """Write a guest file's bytes to standard output, as they are.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path (of a Btrfs subvolume: VOLUME:/subvol:NAME/path).
    """
    look_into("cat", arguments, {"system": system}, reading, sys.stdout.buffer.write)
    return OK
