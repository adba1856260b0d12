"""What the rules about mounts ask of each line of a guest's mount table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, AtPath, Evidence
from imgscan.model.rule import Result, failed, passed
from imgscan.model.system import Mount, System

LINES = 16
"""Lines that a summary names; all are evidence."""
READS = ("systems.root", "systems.mounts", "systems.mount_units")
"""What such a rule reads."""


def each_mount(system: System, objection: Callable[[Mount], str | None], *, good: str) -> Result:
    """Ask about each line of fstab and each mount unit: objections stand, else a file that was not read, else a pass.

    `objection` says what is wrong with a line, as a clause; `good` is what to say of lines without any.
    """
    found: list[str] = []
    evidence: list[Evidence] = []
    unread: UnreadFact | None = None
    for fact in (system.mounts, system.mount_units):
        try:
            mounts = fact.get()
        except UnreadFact as signal:
            unread = unread or signal
            continue
        for mount in mounts:
            try:
                said = objection(mount)
            except UnreadFact as signal:
                unread = unread or signal
                continue
            if said is not None:
                found.append(f"{place_of(mount)}: {said}")
                evidence += mount.evidence
    where: tuple[Evidence, ...] = system.mounts.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if found:
        return failed(listed(found), *(evidence or where))
    if unread is not None:
        raise unread
    return passed(good, *where)


def listed(phrases: Sequence[str], separator: str = "; ") -> str:
    """Return phrases as one sentence, and how many more there are beyond the first `LINES`."""
    more = f"{separator}and {len(phrases) - LINES} more" if len(phrases) > LINES else ""
    return separator.join(phrases[:LINES]) + more


def place_of(mount: Mount) -> str:
    """Return where a mount stands: `line 3 (/dev/sda1 on /data)`."""
    what = f"{mount.source} on {mount.point}" if mount.point != "none" else f"{mount.source}, swap"
    place = mount.evidence[0] if mount.evidence else None
    if not isinstance(place, AtPath):
        return what
    name = place.path.rpartition("/")[2]
    return f"{name} line {place.line} ({what})" if place.line else f"{name} ({what})"
