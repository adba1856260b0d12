"""A thin pool, and its volumes as devices: every chunk is looked up in the pool's trees when it is read."""

from __future__ import annotations

from bisect import bisect_right
from threading import Lock

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import THIN_CACHE_NODES, THIN_DEPTH
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.layouts.thin import BLOCK, ThinNode, ThinSuperblock, parse_node, parse_superblock


class ThinPool:
    """The trees of a pool; the nodes read last are kept. Can be shared between threads.

    :raises ImageError: the superblock cannot be read
    """

    def __init__(self, metadata: BlockDevice, data: BlockDevice) -> None:
        self._metadata = metadata
        self.data = data
        self.superblock: ThinSuperblock = parse_superblock(metadata.read_at(0, BLOCK))
        self._nodes: dict[int, ThinNode] = {}
        self._lock = Lock()

    def root_of(self, device: int) -> int:
        """Return the block of the root of a device's own tree.

        :raises CorruptStructure: the pool has no such device
        """
        root, _ = self.find(self.superblock.mappings, device)
        if root is None:
            raise CorruptStructure(f"the thin pool has no device {device}", where=self._metadata.name)
        return root

    def find(self, root: int, key: int) -> tuple[int | None, int]:
        """Return the value of a key in the tree at `root` (None: there is none), and the next key that has one.

        The second number tells how far a hole reaches: no key between is in the tree; it is `key` + 1 after a value.
        """
        number, bound = root, 1 << 64
        for _ in range(THIN_DEPTH):
            node = self._node(number)
            at = bisect_right(node.keys, key) - 1
            if at + 1 < len(node.keys):
                bound = node.keys[at + 1]
            if at < 0:
                return None, max(bound, key + 1)
            if node.is_leaf:
                return (node.values[at], key + 1) if node.keys[at] == key else (None, max(bound, key + 1))
            number = node.values[at]
        raise LimitExceeded(f"the thin pool's tree is deeper than {THIN_DEPTH}", where=self._metadata.name)

    def _node(self, number: int) -> ThinNode:
        node = self._nodes.get(number)
        if node is None:
            if number >= self._metadata.size // BLOCK:
                raise CorruptStructure(f"a node should be in block {number}", where=self._metadata.name)
            try:
                node = parse_node(self._metadata.read_at(number * BLOCK, BLOCK), number)
            except CorruptStructure as error:
                raise CorruptStructure(error.message, where=self._metadata.name, offset=error.offset) from error
            with self._lock:
                while len(self._nodes) >= THIN_CACHE_NODES:
                    del self._nodes[next(iter(self._nodes))]
                self._nodes[number] = node
        return node


class ThinDevice:
    """A thin volume. What was never written comes from the external origin where there is one, and is zeros else."""

    sector_size = 512

    def __init__(
        self, name: str, pool: ThinPool, device: int, size: int, origin: BlockDevice | ImageError | None
    ) -> None:
        self.name = name
        self.size = size
        self._pool = pool
        self._root = pool.root_of(device)
        self._origin = origin

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        chunk_size = self._pool.superblock.chunk
        pieces: list[bytes] = []
        end = offset + length
        while offset < end:
            chunk, within = divmod(offset, chunk_size)
            value, following = self._pool.find(self._root, chunk)
            take = min(end, following * chunk_size) - offset
            if value is None:
                pieces.append(self._from_origin(offset, take))
            else:  # the lower 24 bits are the time of the snapshot that it may be shared with
                pieces.append(self._pool.data.read_at((value >> 24) * chunk_size + within, take))
            offset += take
        return b"".join(pieces)

    def _from_origin(self, offset: int, length: int) -> bytes:
        origin = self._origin
        if origin is None:
            return bytes(length)
        if isinstance(origin, ImageError):
            raise type(origin)(origin.message, where=origin.where, offset=origin.offset)
        there = max(0, min(length, origin.size - offset))
        return (origin.read_at(offset, there) if there else b"") + bytes(length - there)
