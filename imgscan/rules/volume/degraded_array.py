"""A RAID array lacks members, or has members that do not hold its data.

What it checks
--------------
Every array of Linux' software RAID (MD) among the given disks: all its members have to be there, with metadata whose
checksum is right and that was written together, no two of them in one place of the array, and none may be in the middle
of being rebuilt; nor may the array be changing its shape. Spares that are not there do not matter. Logical volumes of
LVM that are mirrors or RAID have to have all their images, in sync.

Why it matters
--------------
A degraded array has lost its redundancy: the next damage loses data. Many initramfs wait for the missing member, or do
not start such an array without a question at the console. An array that lacks too many members, and a striped one that
lacks any, does not start at all. Most often a disk was left out of the export, or members were exported at different
times.

How to fix
----------
Shut the machine down and export all member disks, at the same time. If a member failed in the source machine, replace
it there (`mdadm --manage /dev/mdX --add ...`) and wait until `/proc/mdstat` shows no rebuilding; or, where the array
is to go on with fewer members, say so with `mdadm --grow --raid-devices`.
"""

from __future__ import annotations

from functools import partial

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, over, passed
from imgscan.model.volume import Volume
from imgscan.rules.explanation import how_to_fix, title

FLAWS = frozenset(
    {
        "array-degraded",
        "member-missing",
        "array-rebuilding",
        "array-reshaping",
        "event-counts-differ",
        "members-diverged",
        "duplicate-member",
        "superblock-checksum",
        "degraded-volume",
    }
)
"""Codes of problems that degraded arrays carry."""
NONE = "the machine has no software RAID"


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask every array, and everything that may be one and was not read."""

    def ask(volume: Volume) -> Result:
        flaws = [problem for problem in volume.problems if problem.code in FLAWS]
        evidence = tuple(dict.fromkeys(piece for flaw in flaws for piece in flaw.evidence))
        if flaws:
            evidence = evidence or (AtOffset(volume.name, 0, 0, "MD array"),)
            return failed(f"{volume.name}: {'; '.join(problem.detail for problem in flaws)}", *evidence)
        if volume.kind != "raid-array":
            if volume.content == "linux_raid_member" and volume.readable is not None:
                volume.readable.get()
            volume.signature.get()  # of a logical volume too, that may be a RAID and is not read
            return not_applicable(NONE)
        if not volume.metadata:  # not even its superblock was read
            volume.signature.get()
        level, devices = volume.metadata.get("level", "array"), volume.metadata.get("raid_devices", "all")
        whole = f"the {level} {volume.name} has all of its {devices} members"
        return passed(whole, AtOffset(volume.name, 0, 0, "MD array"))

    def ask_unread(disk: Disk) -> Result:
        disk.partitioning.get()
        return not_applicable(NONE)

    questions = [partial(ask, volume) for volume in machine.volumes]
    questions += [partial(ask_unread, disk) for disk in machine.disks]
    return over(questions, lambda question: question(), none="the machine has no disks")


RULE = Rule(
    name="degraded-array",
    title=title(__doc__),
    scope="machine",
    reads=(
        "volumes.kind",
        "volumes.problems",
        "volumes.metadata",
        "volumes.signature",
        "volumes.content",
        "volumes.readable",
        "disks.partitioning",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
)
