"""Old snapshots (device-mapper's persistent exception store): the origin, but for the chunks that were copied.

Source: Linux, drivers/md/dm-snap-persistent.c. Little-endian; the store begins with a header in its first chunk, then
areas follow, each a chunk of exceptions and the chunks that they tell of. The first exception without a new chunk
ends the list.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import MIB, SNAPSHOT_EXCEPTIONS
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat

_MAGIC = 0x70416E53
_MOST_CHUNK = 16 * MIB


class SnapshotDevice:
    """A snapshot of `origin`; its list of exceptions is read at once.

    :raises CorruptStructure: the store is none, was given up when it was full, or contradicts itself
    :raises ImageError: it cannot be read
    """

    sector_size = 512

    def __init__(self, name: str, origin: BlockDevice, store: BlockDevice, size: int) -> None:
        self.name = name
        self.size = size
        self._origin = origin
        self._store = store
        magic, valid, version, sectors = struct.unpack_from("<4I", store.read_at(0, 512))
        self._chunk = sectors * 512
        if magic != _MAGIC:
            raise CorruptStructure("the snapshot's store has no header", where=store.name, offset=0)
        if not valid:
            raise CorruptStructure("the snapshot was given up: its store was full", where=store.name, offset=4)
        if version != 1:
            raise UnsupportedFormat(f"the snapshot's store is of version {version}", where=store.name, offset=8)
        if not 512 <= self._chunk <= _MOST_CHUNK or self._chunk & (self._chunk - 1):
            raise CorruptStructure(f"the snapshot claims chunks of {sectors} sectors", where=store.name, offset=12)
        self._old, self._new = self._exceptions()

    def _exceptions(self) -> tuple[array[int], array[int]]:
        """Return the copied chunks of the origin in order, and where each lies in the store."""
        found: dict[int, int] = {}
        per_area = self._chunk // 16
        chunks = self._store.size // self._chunk
        count = 0  # the same chunk may be listed again and again
        for area in range(1, chunks, per_area + 1):
            pairs = array("Q")
            pairs.frombytes(self._store.read_at(area * self._chunk, self._chunk))
            if sys.byteorder == "big":
                pairs.byteswap()
            for at in range(0, len(pairs), 2):
                old, new = pairs[at], pairs[at + 1]
                if not new:
                    return _sorted(found)
                if new >= chunks:
                    raise CorruptStructure(
                        f"an exception lies in chunk {new}, beyond the snapshot's store",
                        where=self._store.name,
                        offset=area * self._chunk + at * 8,
                    )
                found[old] = new
            count += per_area
            if count > SNAPSHOT_EXCEPTIONS:
                raise LimitExceeded(f"the snapshot has more than {SNAPSHOT_EXCEPTIONS} exceptions", where=self.name)
        return _sorted(found)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        pieces: list[bytes] = []
        end = offset + length
        while offset < end:
            chunk, within = divmod(offset, self._chunk)
            at = bisect_left(self._old, chunk)
            if at < len(self._old) and self._old[at] == chunk:
                take = min(end - offset, self._chunk - within)
                pieces.append(self._store.read_at(self._new[at] * self._chunk + within, take))
            else:
                following = self._old[at] * self._chunk if at < len(self._old) else end
                take = min(end, following) - offset
                pieces.append(self._origin.read_at(offset, take))
            offset += take
        return b"".join(pieces)


def _sorted(found: dict[int, int]) -> tuple[array[int], array[int]]:
    order = sorted(found)
    return array("Q", order), array("Q", [found[old] for old in order])
