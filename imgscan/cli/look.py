"""What `ls`, `cat` and `stat` share: the last argument is the place in the guest, and a worker looks there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from imgscan.batch import isolated
from imgscan.batch.isolated import ReadOptions
from imgscan.errors import UsageError


def look_into(
    kind: str,
    arguments: Sequence[str],
    options: dict[str, str | int | bool | None],
    reading: ReadOptions,
    sink: Callable[[bytes], object],
) -> None:
    """Do a job of a kind on the place that the last argument names; what it writes goes to `sink` as it comes.

    :raises UsageError: the place is missing, or names no volume or system there is
    :raises ImageError: what it names cannot be read
    """
    if len(arguments) < 2:
        raise UsageError("give the disk images, and last the place in the guest: /etc/fstab or disk0/p1:/etc/fstab")
    *paths, where = arguments
    if not where.startswith("/") and ":/" not in where:
        raise UsageError("not a place in a guest; give /path, or VOLUME:/path", where=where)
    isolated.look(kind, paths, {**options, "where": where}, sink, options=reading)


def write_text(data: bytes) -> None:
    """Write text that a worker made to standard output."""
    sys.stdout.write(data.decode("utf-8", "replace"))
