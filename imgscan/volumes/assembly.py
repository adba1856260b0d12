"""What every volume layer (LVM2, MD RAID, ...) has in common: the shape of its module, what it gets and returns.

A layer's module offers

- ``MEMBERS``: the contents, by libblkid's names, that its members show (`LVM2_member`, `linux_raid_member`, ...)
- ``assemble(members) -> tuple[Assembled, ...]``: all volumes that can be made of the members found so far, in a stable
  order; never raises an `ImageError`: what cannot be read is in the result
"""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.model.disk import Problem
from imgscan.model.volume import VolumeKind


class Member(msgspec.Struct, frozen=True):
    """A volume that holds a part of another one; `name` as in the report (`disk0/p2`), `content` libblkid's name."""

    name: str
    device: BlockDevice
    content: str


class Assembled(msgspec.Struct, frozen=True):
    """A volume made of members, as the report names it (`vg0/root`, `md/<uuid8>`).

    `on` names what lies directly below it (members, or other assembled volumes), `size` is in bytes. `device` is None
    when nothing of it can be read, and `error` then says why; both may be set when a part is missing: reads of that
    part raise. `problems` are what is wrong with the layer (a missing member, a bad checksum, a degraded array),
    `metadata` what is worth showing (level, segment types, chunk size, origin of a snapshot, ...). `is_complete` is
    False when more members may turn up later in the stack.
    """

    name: str
    kind: VolumeKind
    on: tuple[str, ...]
    size: int
    device: BlockDevice | None
    error: ImageError | None = None
    problems: tuple[Problem, ...] = ()
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    is_complete: bool = True
