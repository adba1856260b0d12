"""`imgscan stat`: what is known of one guest file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imgscan.cli.guest import guest_place
from imgscan.cli.ls import time_text
from imgscan.cli.main import OK
from imgscan.cli.options import image_options, scan_options
from imgscan.model.text import shown


@click.command("stat")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@image_options
def command(
    arguments: tuple[str, ...], system: int | None, input_format: str | None, search_dirs: tuple[Path, ...]
) -> int:
    """Show kind, size, mode, owner, time and place of a guest file; a symbolic link is not followed.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path.
    """
    with guest_place(arguments, system, scan_options(input_format, search_dirs)) as (tree, path):
        place = tree.resolve(path, follow=False)
        entry = place.entry
        rows = [
            ("path", shown(place.path)),
            ("kind", entry.kind),
            ("size", f"{entry.size} bytes"),
            ("mode", f"{entry.mode:04o}"),
            ("owner", f"{entry.uid}:{entry.gid}"),
            ("links", str(entry.links)),
            ("modified", time_text(entry.mtime)),
            ("volume", f"{place.filesystem.volume} ({place.filesystem.type}), inode {entry.node}"),
        ]
        if entry.kind == "symlink":
            rows.insert(2, ("target", shown(place.filesystem.readlink(entry.node))))
        for name, value in rows:
            sys.stdout.write(f"{name:<9} {value}\n")
    return OK
