"""`imgscan ls`: list a folder of a guest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from imgscan.cli.guest import guest_place
from imgscan.cli.main import OK
from imgscan.cli.options import image_options, scan_options
from imgscan.devices.filesystem import Entry
from imgscan.model.text import shown

KIND_LETTER = {"file": "-", "directory": "d", "symlink": "l", "device": "b", "fifo": "p", "socket": "s", "other": "?"}


@click.command("ls")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... WHERE")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@click.option("-l", "long", is_flag=True, help="Also mode, links, owner, size and time (UTC).")
@image_options
def command(
    arguments: tuple[str, ...], system: int | None, long: bool, input_format: str | None, search_dirs: tuple[Path, ...]
) -> int:
    """List a folder of the guest, or one file.

    WHERE is /path in the guest's own mount tree, or VOLUME:/path.
    """
    with guest_place(arguments, system, scan_options(input_format, search_dirs)) as (tree, path):
        place = tree.resolve(path)
        entries = [place.entry]
        if place.entry.kind == "directory":
            entries = sorted(tree.list(path), key=lambda entry: entry.name)
        for entry in entries:
            name = shown(entry.name or path)
            if long:
                target = ""
                if entry.kind == "symlink" and place.entry.kind == "directory":
                    target = f" -> {shown(place.filesystem.readlink(entry.node))}"
                sys.stdout.write(f"{long_line(entry)} {name}{target}\n")
            else:
                sys.stdout.write(f"{name}\n")
    return OK


def long_line(entry: Entry) -> str:
    """Return mode, links, owner, size and time as `ls -l` shows them."""
    bits = "".join(letter if entry.mode & (0o400 >> position) else "-" for position, letter in enumerate("rwxrwxrwx"))
    owner = f"{entry.uid:>5} {entry.gid:>5}"
    return f"{KIND_LETTER[entry.kind]}{bits} {entry.links:>3} {owner} {entry.size:>11} {time_text(entry.mtime)}"


def time_text(seconds: float) -> str:
    """Return a time in UTC, or the bare number when no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{seconds:.0f}"
