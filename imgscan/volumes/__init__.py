"""Volume layers between partitions and filesystems: devices -> devices. `LAYERS` is the table of contents.

A layer is a module of the shape that `assembly` describes; `stack` puts layers on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from imgscan.volumes.assembly import Assembled, Member


class Layer(msgspec.Struct, frozen=True):
    """`members` are the contents that its members show, by libblkid's names; `assemble` is its module's."""

    name: str
    members: frozenset[str]
    assemble: Callable[[Sequence[Member]], tuple[Assembled, ...]]


def _lvm2(members: Sequence[Member]) -> tuple[Assembled, ...]:
    from imgscan.volumes.lvm2 import assemble  # noqa: PLC0415 - start-up time: only machines that have it

    return assemble(members)


def _mdraid(members: Sequence[Member]) -> tuple[Assembled, ...]:
    from imgscan.volumes.mdraid import assemble  # noqa: PLC0415 - the same

    return assemble(members)


LAYERS: Final = (
    Layer("mdraid", frozenset({"linux_raid_member"}), _mdraid),
    Layer("lvm2", frozenset({"LVM2_member"}), _lvm2),
)
"""In the order in which incomplete ones are given up: an array first, for it may complete a group."""

MEMBERS: Final = frozenset(content for layer in LAYERS for content in layer.members)
"""Contents that are parts of volumes which imgscan assembles."""
