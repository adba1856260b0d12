"""List a folder of a guest."""

from __future__ import annotations

from datetime import UTC, datetime

from imgscan.batch.jobs.places import guest_place
from imgscan.batch.protocol import Job
from imgscan.batch.worker import JobContext
from imgscan.devices.filesystem import Entry
from imgscan.errors import ImageError
from imgscan.model.text import shown

KIND_LETTER = {"file": "-", "directory": "d", "symlink": "l", "device": "b", "fifo": "p", "socket": "s", "other": "?"}


def run(job: Job, context: JobContext) -> bytes:
    """Write the names in the folder that `where` names, or the one file; with `long` as `ls -l` does.

    :raises ImageError: a part of it cannot be read; what can be has been written
    """
    damage: ImageError | None = None
    with guest_place(job, context) as (tree, path):
        place = tree.resolve(path)
        entries = [place.entry]
        if place.entry.kind == "directory":
            entries = []
            try:
                entries += tree.list(path)
            except ImageError as error:
                damage = error
        for entry in sorted(entries, key=lambda entry: entry.name):
            line = shown(entry.name or path)
            if job.arguments.get("long"):
                line = f"{long_line(entry)} {line}"
                if entry.kind == "symlink" and place.entry.kind == "directory":
                    try:
                        line += f" -> {shown(place.filesystem.readlink(entry.node))}"
                    except ImageError as error:
                        damage = damage or error
            context.write(f"{line}\n".encode())
        if damage is not None:
            raise damage
    return b""


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
