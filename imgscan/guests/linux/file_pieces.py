"""A large file of the guest by position: small reads are served from larger pieces, of which a few are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from imgscan.devices.guest_tree import Location
from imgscan.devices.limits import KIB
from imgscan.errors import LimitExceeded, TruncatedRead
from imgscan.model.text import shown

PIECE: Final = 64 * KIB
_KEPT: Final = 16


class FilePieces:
    """Reads a file in pieces of `PIECE` bytes.

    `limit` is how many bytes may be read in all; what is served may be four times that: pages may be asked for again.
    """

    def __init__(self, place: Location, limit: int) -> None:
        self.place = place
        self.size = place.entry.size
        self._left = limit
        self._limit = limit
        self._to_serve = 4 * limit
        self._pieces: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        :raises TruncatedRead: the file ends before
        :raises LimitExceeded: more was read of the file than it may cost
        """
        where = self.place.filesystem.volume
        if offset < 0 or offset + length > self.size:
            detail = f"{shown(self.place.path)} ends at {self.size}, before the {length} bytes at {offset}"
            raise TruncatedRead(detail, where=where)
        self._to_serve -= length
        if self._to_serve < 0:
            raise self._exceeded()
        first, last = offset // PIECE, (offset + length - 1) // PIECE
        data = b"".join(self._piece(number) for number in range(first, last + 1))
        start = offset - first * PIECE
        return data[start : start + length]

    def _piece(self, number: int) -> bytes:
        found = self._pieces.get(number)
        if found is not None:
            self._pieces.move_to_end(number)
            return found
        if self._left <= 0:
            raise self._exceeded()
        found = self.place.filesystem.read(self.place.entry.node, number * PIECE, PIECE)
        self._left -= len(found)
        self._pieces[number] = found
        if len(self._pieces) > _KEPT:
            self._pieces.popitem(last=False)
        return found

    def _exceeded(self) -> LimitExceeded:
        return LimitExceeded(f"more than {self._limit} bytes of {shown(self.place.path)} would have to be read")
