"""`imgscan tree`: show everything below a folder of a guest."""

from __future__ import annotations

import click

from imgscan.batch.isolated import ReadOptions
from imgscan.cli.look import look_into, write_text
from imgscan.cli.main import OK
from imgscan.cli.options import image_options


@click.command("tree")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="How many levels are shown; all without it.")
@click.option("-l", "long", is_flag=True, help="Also mode, links, owner, size and time (UTC).")
@image_options
def command(arguments: tuple[str, ...], system: int | None, depth: int | None, long: bool, reading: ReadOptions) -> int:
    """Show all files below a folder of the guest, with what is mounted there; symbolic links are not followed.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path (of a Btrfs subvolume: VOLUME:/subvol:NAME/path).
    What cannot be read is said in its place, and makes the exit status 3.
    """
    look_into("tree", arguments, {"system": system, "depth": depth, "long": long}, reading, write_text)
    return OK
