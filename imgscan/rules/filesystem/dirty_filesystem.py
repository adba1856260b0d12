"""A filesystem was not cleanly unmounted.

What it checks
--------------
How each filesystem was left, by its own record: ext2/3/4 (journal to replay, or not marked as unmounted), XFS (whether
the last record of its log is that of an unmount), Btrfs (a log tree), JFS (marked as mounted), NTFS (the dirty flag,
and a journal that was not closed, as after a hibernation, a fast startup or a power failure), FAT and exFAT (the flags
in the table and the boot sector; a FAT12 may say nothing). imgscan replays no journal: what it reports of such a volume
may be slightly older than what the machine would find.

Why it matters
--------------
The image was taken of a running machine, or the machine lost power. What is imported is as after a power failure: the
journal is replayed at the next start, and what applications had not written yet is missing. An importer that looks
into the volumes without replaying the journal sees an older state, or refuses to mount it.

How to fix
----------
Shut the machine down from inside (on Windows by `shutdown /s /f /t 0`, not by a fast startup), then export it again.
If it is down already, start it once and shut it down cleanly.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.volume import Volume
from imgscan.rules.each_filesystem import READS, each_filesystem, evidence_of, phrases
from imgscan.rules.explanation import how_to_fix, title

WORDS = ("replayed", "unmounted")
"""What a condition says of changes that are still to be written (`imgscan.devices.filesystem`)."""


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each filesystem how it was left."""

    def ask(volume: Volume) -> Result:
        if volume.readable is not None:
            volume.readable.get()
        if volume.condition is None or volume.condition.get() is None:
            return not_applicable(f"{volume.name} does not say how it was left")
        dirty = phrases(volume, WORDS)
        if dirty:
            return failed(f"{volume.name} ({volume.content}): {'; '.join(dirty)}", *evidence_of(volume))
        return passed(f"{volume.name} was cleanly unmounted", *evidence_of(volume))

    return each_filesystem(machine, ask)


RULE = Rule(
    name="dirty-filesystem",
    title=title(__doc__),
    scope="machine",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
