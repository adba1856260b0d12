"""Btrfs' trees: nodes, checked and kept, and their items by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import BTRFS_NODE_CACHE_BYTES
from imgscan.errors import CorruptStructure, ImageError
from imgscan.filesystems.btrfs_checksum import Checksum
from imgscan.filesystems.btrfs_chunks import ChunkMap
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import Key, Node

_MOST_DAMAGED: Final = 64
"""Nodes of one tree that may be damaged where the others are wanted all the same."""


class Place(msgspec.Struct, frozen=True):
    """Where a node is and what its parent says of it; `first` is its first key, None for a root."""

    position: int
    level: int
    generation: int
    first: Key | None = None


class Nodes:
    """Reads tree nodes: of the copies the first that is what it should be. The last ones are kept."""

    def __init__(self, chunks: ChunkMap, fsid: bytes, size: int, checksum: Checksum) -> None:
        self._chunks = chunks
        self._fsid = fsid
        self._checksum = checksum
        self.volume = chunks.volume
        self.size = size
        self._kept: OrderedDict[Place, Node] = OrderedDict()

    def read(self, place: Place) -> Node:
        """Return a node.

        :raises CorruptStructure: no copy is what the parent says
        :raises ImageError: no copy can be read
        """
        node = self._kept.get(place)
        if node is not None:
            self._kept.move_to_end(place)
            return node
        lost: ImageError | None = None
        for copy in range(self._chunks.copies(place.position)):
            try:
                node = self._checked(self._chunks.read(place.position, self.size, copy), place)
            except ImageError as error:
                if lost is None or lost.why == "missing":  # what is wrong with a copy that is there says more
                    lost = error
                continue
            self._kept[place] = node
            if len(self._kept) * self.size > BTRFS_NODE_CACHE_BYTES:
                self._kept.popitem(last=False)
            return node
        raise lost or CorruptStructure(f"there is no node at {place.position}", where=self.volume)

    def _checked(self, raw: bytes, place: Place) -> Node:
        if not self._checksum.is_right(raw[btrfs.CHECKSUM_BYTES :], raw[: btrfs.CHECKSUM_BYTES]):
            raise self._wrong(place, f"its {self._checksum.name} checksum is wrong")
        try:
            node = Node(raw)
        except CorruptStructure as error:
            raise self._wrong(place, error.message) from error
        header = node.header
        if header.position != place.position or header.fsid != self._fsid:
            raise self._wrong(place, "it belongs elsewhere")
        if header.level != place.level:
            raise self._wrong(place, f"it is of level {header.level}, not {place.level}")
        if header.generation != place.generation:
            raise self._wrong(place, f"it is of generation {header.generation}, not {place.generation}")
        if place.first is not None and (not node.count or node.key(0) != place.first):
            raise self._wrong(place, "its first key is not the one that its parent names")
        return node

    def _wrong(self, place: Place, what: str) -> CorruptStructure:
        return CorruptStructure(f"the Btrfs tree node at logical address {place.position}: {what}", where=self.volume)


class Tree:
    """One tree's items by key."""

    def __init__(self, nodes: Nodes, root: Place) -> None:
        self._nodes = nodes
        self.root = root

    def get(self, key: Key) -> bytes | None:
        """Return the item of a key, None when there is none."""
        found = self.last_not_above(key)
        return found[1] if found is not None and found[0] == key else None

    def last_not_above(self, key: Key) -> tuple[Key, bytes] | None:
        """Return the item with the greatest key that is at most `key`, None when there is none."""
        node = self._nodes.read(self.root)
        while True:
            slot = node.last_not_above(key)
            if slot < 0:
                return None
            if not node.level:
                return node.key(slot), node.item(slot)
            node = self._nodes.read(_below(node, slot))

    def items(self, first: Key, last: Key, damage: list[ImageError] | None = None) -> Iterator[tuple[Key, bytes]]:
        """Yield the items with keys from `first` to `last`, both included, in order.

        With a list for `damage`, a node that cannot be read costs only what is below it, and the error goes there;
        for what tolerates gaps, so not for extents. It ends: below a slot only a node with the slot's own first key is
        read, slots are in order, and many damaged nodes are an error.
        """
        before: Key = (-1, 0, 0)
        node = self._nodes.read(self.root)
        path = [(node, _first_slot(node, first))]
        while path:
            node, slot = path.pop()
            if node.level:
                if slot >= node.count:
                    continue
                if node.key(slot) > last:
                    return
                path.append((node, slot + 1))
                try:
                    below = self._nodes.read(_below(node, slot))
                except ImageError as error:
                    if damage is None or len(damage) >= _MOST_DAMAGED:
                        raise
                    damage.append(error)
                else:
                    path.append((below, _first_slot(below, first)))
                continue
            for at in range(slot, node.count):
                key = node.key(at)
                if key > last:
                    return
                if key <= before:
                    raise CorruptStructure(
                        f"the Btrfs tree at logical address {self.root.position} repeats the key {key}",
                        where=self._nodes.volume,
                    )
                before = key
                yield key, node.item(at)


def _first_slot(node: Node, first: Key) -> int:
    """Return the first slot of a node that can lead to the key, or to one behind it."""
    slot = max(0, node.last_not_above(first))
    return slot + 1 if not node.level and node.count and node.key(slot) < first else slot


def _below(node: Node, slot: int) -> Place:
    position, generation = node.pointer(slot)
    return Place(position, node.level - 1, generation, node.key(slot))
