"""What several rules ask of a machine: its disks by name, its boot disk, the exception for Windows on EFI.

Everything here either answers or raises `UnreadFact`, also for facts that contradict themselves (a facts file can
be written by anyone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.disk import WHY_OF_PROBLEM, Disk, PartitionTable
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, not_applicable
from imgscan.model.volume import Volume

EFI_SYSTEM_PARTITION = frozenset({"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef"})
"""Types of an EFI system partition in a GPT and in an MBR (UEFI 2.10, sections 5.3.3 and 5.2.2)."""

READS_EFI_EXCEPTION = (
    "disks.format",
    "disks.problems",
    "disks.files",
    "boot.disk",
    "boot.firmware",
    "systems.family",
    "systems.root",
    "systems.architecture",
    "systems_searched",
    "volumes.on",
)
"""What a rule reads that asks `efi_is_supported` about the boot disk."""


class EfiParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The systems that the target boots from EFI: `families` and `architectures` on disks of `formats`."""

    families: tuple[str, ...]
    architectures: tuple[str, ...]
    formats: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """Yes or no, why, and what showed it."""

    yes: bool
    reason: str
    evidence: tuple[Evidence, ...]


def disk_named(machine: MachineFacts, name: str) -> Disk:
    """Return the disk of that name.

    :raises UnreadFact: the facts name a disk that they do not describe
    """
    for disk in machine.disks:
        if disk.name == name:
            return disk
    raise UnreadFact("missing", f"the facts name a disk {name} and do not describe it")


def volume_named(machine: MachineFacts, name: str) -> Volume:
    """Return the volume of that name.

    :raises UnreadFact: the facts name a volume that they do not describe
    """
    for volume in machine.volumes:
        if volume.name == name:
            return volume
    raise UnreadFact("missing", f"the facts name a volume {name} and do not describe it")


def image_of(disk: Disk, structure: str = "") -> AtOffset:
    """Return the start of a disk's first image file as evidence for what its headers say."""
    files = disk.files
    return AtOffset(files[0].name if files else disk.name, 0, 0, structure or f"{disk.format or 'image'} header")


def format_of(disk: Disk) -> str | None:
    """Return a disk's format; None when its file was read and is of no format that imgscan knows.

    :raises UnreadFact: the file could not be read far enough to tell
    """
    if disk.format is None:
        for problem in disk.problems:
            if problem.kind in WHY_OF_PROBLEM:
                raise UnreadFact(WHY_OF_PROBLEM[problem.kind], problem.detail, problem.evidence)
    return disk.format


def known_format_of(disk: Disk) -> str:
    """Return a disk's format.

    :raises UnreadFact: it is not known
    """
    found = format_of(disk)
    if found is None:
        raise UnreadFact("unsupported", f"the format of {disk.name} is not known", (image_of(disk),))
    return found


def partition_table_of(disk: Disk) -> PartitionTable:
    """Return a disk's partition table; its scheme is `none` when the disk has none.

    :raises UnreadFact: it could not be read
    """
    disk.partitioning.get()
    if disk.partition_table is None:
        raise UnreadFact("missing", f"the facts hold no partition table of {disk.name}")
    return disk.partition_table


def where_partitioned(disk: Disk) -> tuple[Evidence, ...]:
    """Return where a disk's partition table was read, also for facts that do not say."""
    return disk.partitioning.evidence or (AtOffset(disk.name, 0, 512, "partition table"),)


def of_boot_disk(machine: MachineFacts, ask: Callable[[Disk], Result]) -> Result:
    """Ask about the boot disk.

    Without one the question does not apply (`no-bootable-partition` fails). With several candidates all have to fail
    or none: otherwise it is unknown, because what tells them apart is not on the disks.

    :raises UnreadFact: the boot disk, or the answer about it, is not known
    """
    names = machine.boot.disk.get()
    if not names:
        return not_applicable(
            "no disk of the machine can boot (no-bootable-partition says why)", *machine.boot.disk.evidence
        )
    answers = [ask(disk_named(machine, name)) for name in names]
    fails = [answer for answer in answers if answer.outcome == "fail"]
    if fails and len(fails) < len(answers):
        said = "; ".join(f"{name}: {answer.summary}" for name, answer in zip(names, answers, strict=True))
        evidence = tuple(piece for answer in answers for piece in answer.evidence)
        raise UnreadFact("missing", f"which disk boots is not told by the disks, and it matters here: {said}", evidence)
    return joined(fails or [answer for answer in answers if answer.outcome == "pass"] or answers)


def joined(answers: Sequence[Result]) -> Result:
    """Return several answers of the same outcome as one."""
    return Result(
        answers[0].outcome,
        "; ".join(dict.fromkeys(answer.summary for answer in answers)),
        tuple(dict.fromkeys(piece for answer in answers for piece in answer.evidence)),
    )


def efi_is_supported(machine: MachineFacts, disk: Disk, params: EfiParams) -> Answer:
    """Say whether the target boots `disk` although it boots by EFI: a 64-bit Windows on VHDX, for instance.

    Asked are the systems on that disk, or all when none lies there; one that is supported is enough (two systems are
    `dual-boot`).

    :raises UnreadFact: the format, the system or its architecture is not known, and they decide
    """
    image = known_format_of(disk)
    if image not in params.formats:
        return Answer(False, f"{disk.name} is a {image} image, not {' or '.join(params.formats)}", (image_of(disk),))
    there = [system for system in machine.systems if disk.name in machine.disks_below(system.root)]
    systems = there or list(machine.systems)
    wanted = " or ".join(params.families)
    reasons: list[Answer] = []
    unread: UnreadFact | None = None
    for system in systems:
        if system.family not in params.families:
            reasons.append(Answer(False, f"the system on {system.root} is {system.family}, not {wanted}", ()))
            continue
        try:
            architecture = system.architecture.get()
        except UnreadFact as signal:
            unread = unread or signal
            continue
        evidence = system.architecture.evidence
        about = f"the {system.family} on {system.root} is {architecture}"
        if architecture in params.architectures:
            return Answer(True, f"{about}, on {image}", (image_of(disk), *evidence))
        if architecture is None:
            unread = unread or UnreadFact("missing", f"the architecture of {system.root} is not recorded", evidence)
        reasons.append(Answer(False, f"{about}, not {' or '.join(params.architectures)}", evidence))
    if unread is not None:
        raise unread
    searched = machine.systems_searched.get()
    if not systems:
        detail = f"no installed system was found (searched: {', '.join(searched) or 'nothing'})"
        raise UnreadFact("missing", f"{detail}, so it is open whether it is {wanted}")
    evidence = tuple(piece for answer in reasons for piece in answer.evidence)
    evidence = evidence or tuple(AtOffset(system.root, 0, 0, "installed system") for system in systems)
    return Answer(False, "; ".join(answer.reason for answer in reasons), evidence)
