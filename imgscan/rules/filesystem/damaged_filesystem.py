"""A filesystem is damaged.

What it checks
--------------
What reading each filesystem showed, and what it says of itself: a superblock or tree that contradicts itself or fails
its checksum, so that the files cannot be read; counters of free space that cannot be; a filesystem that reaches beyond
the end of its volume; errors that the system recorded (ext2/3/4, JFS, FAT, exFAT); a superblock or boot region that
fails its checksum (ext4, exFAT); a damaged copy of a superblock (Btrfs). A pass means that these were looked at, not
every file.

Why it matters
--------------
The importer may not find the system, or the guest stops at its filesystem check, mounts the volume read-only, or
loses files. A copy that broke off, or disks that were copied while the machine wrote to them, are the usual causes.

How to fix
----------
Compare the image with the source machine. If the volume is sound there, export it again, with the machine shut down.
If not, check it there (`fsck -f`, `xfs_repair`, `btrfs check`, `chkdsk /f`) and restore from a backup what was lost.
"""

from __future__ import annotations

from imgscan.model.fact import Fact
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.volume import Free, Volume
from imgscan.rules.each_filesystem import READS, each_filesystem, evidence_of, phrases
from imgscan.rules.explanation import how_to_fix, title

PROVEN = frozenset({"corrupt", "truncated"})
"""Reasons for which nothing could be read that are damage themselves."""
WORDS = ("damaged", "errors")
"""What a condition says of damage (`imgscan.devices.filesystem`)."""


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each filesystem for damage."""

    def ask(volume: Volume) -> Result:
        facts: tuple[Fact[bool] | Fact[Free] | Fact[str | None] | None, ...]
        facts = (volume.readable, volume.free, volume.condition)
        for fact in facts:
            if fact is not None and fact.unread in PROVEN:
                detail = str(fact.detail).removeprefix(f"{volume.name}: ")
                return failed(f"{volume.name}: {detail}", *(fact.evidence or evidence_of(volume)))
        if volume.readable is None:
            return not_applicable(f"{volume.name} has no files of its own")
        volume.readable.get()
        damage = [] if volume.condition is None or volume.condition.get() is None else phrases(volume, WORDS)
        if damage:
            return failed(f"{volume.name} ({volume.content}): {'; '.join(damage)}", *evidence_of(volume))
        return passed(f"{volume.name} shows no damage", *evidence_of(volume))

    return each_filesystem(machine, ask)


RULE = Rule(
    name="damaged-filesystem",
    title=title(__doc__),
    scope="machine",
    reads=(*READS, "volumes.free"),
    remedy=how_to_fix(__doc__),
    check=check,
)
