"""What the rules about volume groups have in common: which volumes miss a part, and which of them a system needs."""

from __future__ import annotations

from functools import partial

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk, Problem
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, failed, not_applicable, over, passed
from imgscan.model.volume import Volume

FLAWS = frozenset(
    {
        "missing-physical-volume",
        "incomplete-volume-group",
        "no-volume-group",
        "duplicate-physical-volume",
        "missing-device",
    }
)
"""Codes of problems that volumes of an incomplete group carry, and a Btrfs that lacks a device."""
_FATAL = frozenset({"missing", "damage"})
"""Kinds of those after which the volume is not activated, or not mounted."""
_DEVICES = ("UUID=", "LABEL=", "/dev/")
"""How a mount's source begins that is a volume of the machine."""
NONE = "the machine has no volume group, and no Btrfs on several devices"
READS = (
    "volumes.problems",
    "volumes.metadata",
    "volumes.signature",
    "volumes.readable",
    "volumes.content",
    "disks.partitioning",
    "systems.root",
    "systems.mounts",
    "systems.references",
)
"""What a rule reads that asks `of_volume_groups`."""


def of_volume_groups(machine: MachineFacts, *, needed: bool) -> Result:
    """Fail for volumes of incomplete groups: those that lost a part and a system needs, or all others.

    A Btrfs on several devices counts as a group: without one of them the kernel does not mount it.
    """

    def ask(volume: Volume) -> Result:
        flaws = [problem for problem in volume.problems if problem.code in FLAWS]
        if not flaws:
            if volume.content == "LVM2_member" and volume.readable is not None:
                volume.readable.get()
            if any(other.metadata.get("part_of") == volume.name for other in machine.volumes):
                evidence = AtOffset(volume.name, 65536, 0, "superblock")
                return passed(f"the Btrfs {volume.name} has all of its devices", evidence)
            if "group" not in volume.metadata:
                volume.signature.get()
                return not_applicable(NONE)
            evidence = AtOffset(volume.name, 0, 0, "logical volume")
            return passed(f"the volume group {volume.metadata['group']} is complete", evidence)
        is_fatal = any(problem.kind in _FATAL for problem in flaws)
        if (is_fatal and _is_needed(machine, volume)) != needed:
            if needed:
                return passed(f"no system needs what {volume.name} lacks to start", *_evidence(volume, flaws))
            return not_applicable(f"a system needs {volume.name} to start, which has a rule of its own")
        return failed(f"{volume.name}: {'; '.join(problem.detail for problem in flaws)}", *_evidence(volume, flaws))

    def ask_unread(disk: Disk) -> Result:
        disk.partitioning.get()
        return not_applicable(NONE)

    questions = [partial(ask, volume) for volume in machine.volumes]
    questions += [partial(ask_unread, disk) for disk in machine.disks]
    return over(questions, lambda question: question(), none="the machine has no disks")


def _evidence(volume: Volume, flaws: list[Problem]) -> tuple[Evidence, ...]:
    found = tuple(piece for flaw in flaws for piece in flaw.evidence)
    return found or (AtOffset(volume.name, 0, 0, "logical volume"),)


def _is_needed(machine: MachineFacts, volume: Volume) -> bool:
    """Whether a system starts from a volume or cannot start without it; any, where no system was found.

    :raises UnreadFact: what a system mounts was not read, and decides
    """
    if not machine.systems:
        return True
    unread: UnreadFact | None = None
    for system in machine.systems:
        if system.root == volume.name:
            return True
        try:
            if any(reference.volume == volume.name for reference in system.references.get()):
                return True
            for mount in system.mounts.get():
                if {"nofail", "noauto"} & set(mount.options.split(",")):
                    continue
                if mount.volume == volume.name:
                    return True
                if mount.volume is None and mount.source.startswith(_DEVICES) and not volume.signature.is_known:
                    detail = (
                        f"{mount.point} is mounted from {mount.source}, which may be {volume.name}: it was not read"
                    )
                    unread = unread or UnreadFact("missing", detail, mount.evidence)
        except UnreadFact as signal:
            unread = unread or signal
    if unread is not None:
        raise unread
    return False
