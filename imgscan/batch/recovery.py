"""What is left of a machine whose worker died: the failing part left out once, and what was learnt before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TypeVar

import msgspec

from imgscan.batch.conversation import Death
from imgscan.errors import Why
from imgscan.model.boot import Boot
from imgscan.model.disk import WHY_OF_PROBLEM, Disk, Problem, ProblemKind
from imgscan.model.fact import Fact, unread
from imgscan.model.machine import Io, MachineFacts, UnreadPlace
from imgscan.model.text import shown

T = TypeVar("T")

LeftOut = dict[str, tuple[Why, str]]
"""Parts (`imgscan.devices.parts`) that are not read, with why and a sentence."""
_KINDS: dict[Why, ProblemKind] = {why: kind for kind, why in WHY_OF_PROBLEM.items()}
"""Never `unsupported`: that would say what the image is, and nothing of it was seen."""


def without_failing_part(death: Death) -> LeftOut | None:
    """Return what to leave out when the machine is read again; None when no part is to blame, or a host's trouble."""
    if death.from_outside or not death.part:
        return None
    return {death.part: (death.why, death.detail)}


def with_missing_disks(facts: MachineFacts, paths: Sequence[str]) -> MachineFacts:
    """Return the facts with disks of which nothing is known but where they would be: no rule may pass without them."""
    detail = "the machine's description names this disk, and it is not there"
    first = len(facts.disks)
    return msgspec.structs.replace(
        facts,
        disks=(*facts.disks, *(_unread_disk(first + i, path, "missing", detail) for i, path in enumerate(paths))),
        unread=(*facts.unread, *(UnreadPlace(shown(path), "missing", detail) for path in paths)),
    )


def with_changed_disks(facts: MachineFacts, detail: str) -> MachineFacts:
    """Return the facts of files that changed while they were read: what was read may be of two states."""
    problem = Problem("image-changed", "changed", shown(detail))
    disks = tuple(msgspec.structs.replace(disk, problems=(*disk.problems, problem)) for disk in facts.disks)
    return msgspec.structs.replace(facts, disks=disks)


def _unread_disk(index: int, path: str, why: Why, detail: str) -> Disk:
    return Disk(
        name=f"disk{index}",
        path=shown(path),
        format=None,
        variant=None,
        virtual_size=None,
        problems=(Problem(f"image-{why}", _KINDS.get(why, "crashed"), shown(detail)),),
        partitioning=unread(why, detail),
        unclean=unread(why, detail),
        encryption=unread(why, detail),
        device_mapping=unread(why, detail),
        delta=unread(why, detail),
    )


def cut_short(learnt: MachineFacts | None, paths: Sequence[str], death: Death) -> MachineFacts:
    """Return the facts that were learnt before the worker died; all that was not reached is unread because of it."""
    detail = f"{death.detail} (while reading {death.part})" if death.part else death.detail
    place = UnreadPlace(death.part or "machine", death.why, shown(death.detail))
    if learnt is None:
        disks = [_unread_disk(index, path, death.why, detail) for index, path in enumerate(paths)]
        learnt = MachineFacts(
            name=shown(PurePath(paths[0]).stem if paths else ""),
            disks=tuple(disks),
            volumes=(),
            boot=Boot(firmware=unread("not-collected", detail), disk=unread("not-collected", detail)),
            systems=(),
            systems_searched=unread("not-collected", detail),
            unread=(),
            io=Io(0, 0, {}),
        )
    boot = learnt.boot
    return msgspec.structs.replace(
        learnt,
        boot=msgspec.structs.replace(
            boot, firmware=_lost(boot.firmware, death, detail), disk=_lost(boot.disk, death, detail)
        ),
        systems_searched=_lost(learnt.systems_searched, death, detail),
        unread=(*learnt.unread, place),
    )


def _lost(fact: Fact[T], death: Death, detail: str) -> Fact[T]:
    """Return the fact; one that was not reached is unread because of the death."""
    return unread(death.why, detail) if fact.unread == "not-collected" else fact
