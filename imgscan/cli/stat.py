"""`imgscan stat`: what is known of one guest file."""

from __future__ import annotations

import click

from imgscan.batch.isolated import ReadOptions
from imgscan.cli.look import look_into, write_text
from imgscan.cli.main import OK
from imgscan.cli.options import image_options


@click.command("stat")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@image_options
def command(arguments: tuple[str, ...], system: int | None, reading: ReadOptions) -> int:
    """Show kind, size, mode, owner, time and place of a guest file; a symbolic link is not followed.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path (of a Btrfs subvolume: VOLUME:/subvol:NAME/path).
    """
    look_into("stat", arguments, {"system": system}, reading, write_text)
    return OK
