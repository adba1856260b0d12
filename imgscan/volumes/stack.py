"""Layers on top of each other, in any order: which volumes can be made of the members found so far.

What is made is looked into by the caller, who adds it again when it is a member itself; so the stack grows until
nothing new comes. It ends: a volume is made once, and there are limits on their number and depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imgscan.devices.limits import VOLUME_DEPTH, VOLUMES
from imgscan.errors import ImageError, LimitExceeded
from imgscan.volumes import LAYERS, Layer
from imgscan.volumes.assembly import Assembled, Member


class Stack:
    """The members found so far, and what was made of them.

    `refused` is, for a layer that could not be followed any further, the error, by the layer's name.
    """

    def __init__(self, layers: Sequence[Layer] = LAYERS) -> None:
        self._layers = tuple(layers)
        self._members: dict[str, list[Member]] = {layer.name: [] for layer in self._layers}
        self._asked: dict[str, int] = {}
        self._waiting: dict[str, list[Assembled]] = {}
        self._made: set[str] = set()
        self._depth: dict[str, int] = {}
        self.refused: dict[str, ImageError] = {}

    def add(self, member: Member) -> None:
        """Take note of a volume whose content is a layer's."""
        for layer in self._layers:
            if member.content in layer.members:
                self._members[layer.name].append(member)

    def due(self) -> Layer | None:
        """Return a layer that has members it was not asked about, None when there is none."""
        for layer in self._layers:
            if layer.name not in self.refused and len(self._members[layer.name]) != self._asked.get(layer.name, 0):
                return layer
        return None

    def assemble(self, layer: Layer) -> list[Assembled]:
        """Return the volumes that a layer can make now and that are complete; the others wait.

        :raises Exception: whatever the layer raises, which it should not
        """
        members = self._members[layer.name]
        self._asked[layer.name] = len(members)
        new = [volume for volume in layer.assemble(tuple(members)) if volume.name not in self._made]
        self._waiting[layer.name] = [volume for volume in new if not volume.is_complete]
        return self._take(layer, [volume for volume in new if volume.is_complete])

    def give_up(self) -> list[Assembled]:
        """Return what one layer could make of incomplete members; none when nothing waits. Ask when nothing is due."""
        for layer in self._layers:
            waiting = self._waiting.pop(layer.name, [])
            if waiting:
                return self._take(layer, waiting)
        return []

    def refuse(self, layer: Layer, error: ImageError) -> None:
        """Ask a layer no more; its members stay unread."""
        self.refused[layer.name] = error
        self._waiting.pop(layer.name, None)

    def members_of(self, name: str) -> list[Member]:
        """Return the members of the layer of that name."""
        return self._members[name]

    def _take(self, layer: Layer, volumes: Sequence[Assembled]) -> list[Assembled]:
        """Note volumes as made; those beyond a limit have no device, only the error."""
        taken: list[Assembled] = []
        for volume in volumes:
            if len(self._made) >= VOLUMES:
                self.refuse(layer, LimitExceeded(f"there are more than {VOLUMES} volumes", where=volume.name))
                break
            depth = 1 + max((self._depth.get(below, 0) for below in volume.on), default=0)
            self._made.add(volume.name)
            self._depth[volume.name] = depth
            if depth > VOLUME_DEPTH:
                error = LimitExceeded(f"it lies on more than {VOLUME_DEPTH} other volumes", where=volume.name)
                taken.append(msgspec.structs.replace(volume, device=None, error=error))
            else:
                taken.append(volume)
        return taken
