"""What the rules ask that concern every filesystem of a machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, not_applicable, over
from imgscan.model.volume import Volume

READS = ("volumes.signature", "volumes.content", "volumes.readable", "volumes.condition", "disks.partitioning")
"""What such a rule reads at least."""


def each_filesystem(machine: MachineFacts, ask: Callable[[Volume], Result]) -> Result:
    """Ask about each volume; what could not be looked at leaves the answer open, unless another volume fails."""

    def ask_known(volume: Volume) -> Result:
        volume.signature.get()
        return ask(volume)

    def ask_unread(disk: Disk) -> Result:
        disk.partitioning.get()
        return not_applicable("the machine has no filesystems")

    questions = [partial(ask_known, volume) for volume in machine.volumes]
    questions += [partial(ask_unread, disk) for disk in machine.disks if not disk.partitioning.is_known]
    return over(questions, lambda question: question(), none="the machine has no filesystems")


def evidence_of(volume: Volume) -> tuple[Evidence, ...]:
    """Return where a volume's filesystem stands."""
    return volume.signature.evidence or (AtOffset(volume.name, 0, 0, f"{volume.content} superblock"),)


def phrases(volume: Volume, words: tuple[str, ...]) -> list[str]:
    """Return what a volume's condition says with one of the words."""
    condition = volume.condition.get() if volume.condition is not None else None
    return [phrase for phrase in (condition or "").split("; ") if any(word in phrase for word in words)]
