"""What the stages of one scan have made so far, and how what could not be read is told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.parts import Parts
from imgscan.errors import Why
from imgscan.model.disk import Disk, ImageFacts
from imgscan.model.fact import Fact, unread
from imgscan.model.machine import UnreadPlace
from imgscan.model.volume import Free, Volume


class ScanState(msgspec.Struct):
    """What the stages have made so far.

    `too_large` is about volumes with a filesystem that reaches beyond their end: its counters are worth nothing.
    """

    paths: Sequence[str]
    parts: Parts
    counter: IoCounter
    disks: list[Disk] = msgspec.field(default_factory=list)
    volumes: list[Volume] = msgspec.field(default_factory=list)
    devices: dict[str, BlockDevice] = msgspec.field(default_factory=dict)
    filesystems: dict[str, FileSystem] = msgspec.field(default_factory=dict)
    members: dict[tuple[str, str], dict[str, BlockDevice]] = msgspec.field(default_factory=dict)
    too_large: dict[str, Fact[Free]] = msgspec.field(default_factory=dict)
    unread: list[UnreadPlace] = msgspec.field(default_factory=list)
    unsearched: list[UnreadPlace] = msgspec.field(default_factory=list)


KIND_TO_WHY: dict[str, Why] = {
    "encrypted": "encrypted",
    "unsupported": "unsupported",
    "missing": "missing",
    "refused": "denied",
    "truncated": "truncated",
    "changed": "changed",
    "io-error": "io-error",
}


def unread_place(where: str, lost: Fact[str] | Fact[bool] | Fact[str | None]) -> UnreadPlace:
    """Return an unread fact as a place that was not read."""
    why: Why = "internal" if isinstance(lost.unread, msgspec.UnsetType) else lost.unread
    return UnreadPlace(where, why, str(lost.detail))


def why_no_device(image: ImageFacts, name: str) -> Fact[str]:
    """Return why nothing of a disk's content can be read, from the problems its container reader reported."""
    serious = [problem for problem in image.problems if problem.kind not in {"note", "unclean"}]
    if not serious:
        return unread("unsupported", f"{name}: nothing of this disk can be read")
    first = serious[0]
    return unread(KIND_TO_WHY.get(first.kind, "corrupt"), f"{name}: {first.detail}", *first.evidence)
