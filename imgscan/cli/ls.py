"""`imgscan ls`: list a folder of a guest."""

from __future__ import annotations

import click

from imgscan.batch.isolated import ReadOptions
from imgscan.cli.look import look_into, write_text
from imgscan.cli.main import OK
from imgscan.cli.options import image_options


@click.command("ls")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@click.option("-l", "long", is_flag=True, help="Also mode, links, owner, size and time (UTC).")
@image_options
def command(arguments: tuple[str, ...], system: int | None, long: bool, reading: ReadOptions) -> int:
    """List a folder of the guest, or one file.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path (of a Btrfs subvolume: VOLUME:/subvol:NAME/path).
    """
    look_into("ls", arguments, {"system": system, "long": long}, reading, write_text)
    return OK
