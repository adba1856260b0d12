"""The parent of a delta or differencing image: found, checked, or standing in as what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import msgspec

from imgscan.containers.container import OpenContext, OpenedImage
from imgscan.containers.problems import error_of, problem_of, problems_of_parent
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.errors import ImageError, MissingPart
from imgscan.model.disk import ImageFacts, Parent, Problem
from imgscan.model.text import shown


class FoundParent(msgspec.Struct, frozen=True):
    """What lies below a differencing disk. `device` always is one: it raises where the parent cannot be read.

    `facts` are the parent's, None when it was not opened; `parents` the whole chain below, nearest first.
    """

    device: BlockDevice
    file: FileDevice | None
    facts: ImageFacts | None
    parents: tuple[Parent, ...]
    problems: tuple[Problem, ...]


class UnreadableParent:
    """Stands for a parent that is not there: what the child holds is read, the rest raises why."""

    sector_size = 512

    def __init__(self, name: str, size: int, reason: ImageError) -> None:
        self.name = name
        self.size = size
        self._reason = reason

    def read_at(self, _offset: int, _length: int) -> NoReturn:
        """Raise the reason, anew each time so that tracebacks do not grow."""
        raise type(self._reason)(self._reason.message, where=self._reason.where, offset=self._reason.offset)


class PaddedParent:
    """A parent that is smaller than its child: beyond its end there are zeros."""

    def __init__(self, below: BlockDevice, size: int) -> None:
        self._below = below
        self.name = below.name
        self.size = size
        self.sector_size = below.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; the caller stays inside the child."""
        inside = max(0, min(length, self._below.size - offset))
        if inside == length:
            return self._below.read_at(offset, length)
        return (self._below.read_at(offset, inside) if inside else b"") + bytes(length - inside)


def find_parent(
    file: FileDevice,
    size: int,
    hints: tuple[str, ...],
    identity: str,
    context: OpenContext,
    matches: Callable[[FileDevice, OpenContext], OpenedImage],
) -> FoundParent:
    """Open the parent of `file` (a child of `size` bytes); nothing that can go wrong with it stops the child.

    `hints` are tried in their order, each name once: the host-file policy looks at last components only.
    """
    hint = hints[0] if hints else ""
    by_name = {name.replace("\\", "/").rsplit("/", 1)[-1]: name for name in reversed(hints)}
    tried = tuple(name for name in hints if name in by_name.values())
    try:
        candidate, opened = context.open_parent(file, tried, matches)
        if opened.device is None:
            raise error_of(opened.facts, candidate.name)
    except ImageError as error:
        code = "parent-missing" if isinstance(error, MissingPart) else "parent-unreadable"
        problem = problem_of(error, code)
        detail = shown(f"{error}; what the parent holds cannot be read")
        problem = msgspec.structs.replace(problem, detail=detail)
        stand_in = UnreadableParent(file.name, size, error)
        return FoundParent(stand_in, None, None, (Parent(shown(hint), None, None, identity),), (problem,))
    facts = opened.facts
    device: BlockDevice = opened.device
    if device.size < size:
        device = PaddedParent(device, size)
    own = Parent(shown(hint), shown(candidate.name), facts.format, identity)
    return FoundParent(device, candidate, facts, (own, *facts.parents), problems_of_parent(facts))
