"""From logical addresses to the devices: chunks, their profiles and copies."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import BTRFS_CHUNKS
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import Chunk, Stripe

_STRIPED: Final = btrfs.RAID0 | btrfs.RAID10 | btrfs.RAID5 | btrfs.RAID6


class Member(msgspec.Struct, frozen=True):
    """A device of the filesystem that is there; `generation` of its superblock tells one that was left behind."""

    device: BlockDevice
    uuid: bytes
    generation: int


class _Piece(msgspec.Struct, frozen=True):
    """A range without a break on its devices: where it begins on each, one for each copy."""

    length: int
    copies: tuple[Stripe, ...]


class ChunkMap:
    """The chunks of a filesystem and the devices that are there, by their numbers."""

    def __init__(self, volume: str, members: Mapping[int, Member]) -> None:
        self.volume = volume
        self.members = members
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Put in a chunk; the same one again changes nothing.

        :raises CorruptStructure: it overlaps another one
        :raises LimitExceeded: there are too many
        """
        at = bisect_right(self.chunks, chunk.start, key=attrgetter("start"))
        before = self.chunks[at - 1] if at else None
        if before is not None and before.start == chunk.start and before.length == chunk.length:
            self.chunks[at - 1] = chunk
            return
        after = self.chunks[at] if at < len(self.chunks) else None
        if (before is not None and before.start + before.length > chunk.start) or (
            after is not None and chunk.start + chunk.length > after.start
        ):
            raise CorruptStructure(f"the Btrfs chunk at {chunk.start} overlaps another one", where=self.volume)
        if len(self.chunks) >= BTRFS_CHUNKS:
            raise LimitExceeded(f"there are more than {BTRFS_CHUNKS} chunks", where=self.volume)
        insort(self.chunks, chunk, key=attrgetter("start"))

    def copies(self, position: int) -> int:
        """Return how many copies there are of what lies at a logical position."""
        return btrfs.COPIES[self._chunk(position).profile]

    def read(self, position: int, length: int, copy: int = 0) -> bytes:
        """Return `length` bytes from a logical position, of one of its copies (0 is the first).

        :raises MissingPart: the device is not there
        :raises ImageError: it cannot be read
        """
        pieces: list[bytes] = []
        for piece in self._pieces(position, length):
            stripe = piece.copies[copy % len(piece.copies)]
            pieces.append(self._device(stripe).read_at(stripe.offset, piece.length))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_any(self, position: int, length: int) -> bytes:
        """Return bytes as `read`, of the first copy that can be read."""
        lost: ImageError | None = None
        for copy in range(self.copies(position)):
            try:
                return self.read(position, length, copy)
            except ImageError as error:
                lost = lost or error
        raise lost or CorruptStructure(f"nothing is at {position}", where=self.volume)

    def _chunk(self, position: int) -> Chunk:
        at = bisect_right(self.chunks, position, key=attrgetter("start")) - 1
        if at < 0 or position >= self.chunks[at].start + self.chunks[at].length:
            raise CorruptStructure(f"no Btrfs chunk holds the logical address {position}", where=self.volume)
        return self.chunks[at]

    def _pieces(self, position: int, length: int) -> Iterator[_Piece]:
        while length > 0:
            chunk = self._chunk(position)
            inside = position - chunk.start
            take = min(length, chunk.length - inside)
            if chunk.profile & _STRIPED:
                take = min(take, btrfs.STRIPE_BYTES - inside % btrfs.STRIPE_BYTES)
            yield _Piece(take, self._newest_first(_locate(chunk, inside)))
            position += take
            length -= take

    def _newest_first(self, copies: tuple[Stripe, ...]) -> tuple[Stripe, ...]:
        """Put copies first that are there and up to date; a device that was left out for a while is neither."""
        if len(copies) == 1:
            return copies
        return tuple(sorted(copies, key=self._age))

    def _age(self, stripe: Stripe) -> int:
        member = self.members.get(stripe.device)
        return 0 if member is None else -member.generation

    def _device(self, stripe: Stripe) -> BlockDevice:
        member = self.members.get(stripe.device)
        if member is None or member.uuid != stripe.device_uuid:
            uuid = stripe.device_uuid.hex()
            text = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
            raise MissingPart(
                f"the Btrfs device {stripe.device} (UUID_SUB {text}) is not among the disks given", where=self.volume
            )
        return member.device


def _locate(chunk: Chunk, inside: int) -> tuple[Stripe, ...]:
    """Return where the byte `inside` of a chunk lies: a place on a device for each copy."""
    stripes, profile, count = chunk.stripes, chunk.profile, len(chunk.stripes)
    if not profile & _STRIPED:
        return tuple(msgspec.structs.replace(stripe, offset=stripe.offset + inside) for stripe in stripes)
    number, rest = divmod(inside, btrfs.STRIPE_BYTES)
    if profile == btrfs.RAID10:
        row, column = divmod(number, count // chunk.sub_stripes)
        first = column * chunk.sub_stripes
        used: tuple[int, ...] = tuple(range(first, first + chunk.sub_stripes))
    elif profile == btrfs.RAID0:
        row, column = divmod(number, count)
        used = (column,)
    else:  # the parity moves by one device from row to row
        row, column = divmod(number, count - (2 if profile == btrfs.RAID6 else 1))
        used = ((row + column) % count,)
    offset = row * btrfs.STRIPE_BYTES + rest
    return tuple(msgspec.structs.replace(stripes[index], offset=stripes[index].offset + offset) for index in used)
