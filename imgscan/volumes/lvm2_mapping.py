"""The logical volumes of one group as devices, made of their segments, from the physical volumes up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from imgscan.devices.concat import ConcatDevice
from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import LVM_DEPTH, LVM_SEGMENTS, VIRTUAL_SIZE
from imgscan.devices.slice import SliceDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.layouts import dm_raid
from imgscan.layouts.dm_raid import IN_SYNC, RaidSuperblock
from imgscan.layouts.lvm2 import SECTOR, Value, number, section, string, strings
from imgscan.model.disk import Problem, ProblemKind
from imgscan.volumes.lvm2_metadata import VolumeGroup, brief
from imgscan.volumes.lvm2_snapshot import SnapshotDevice
from imgscan.volumes.lvm2_thin import ThinDevice, ThinPool
from imgscan.volumes.raid import (
    Leg,
    MirrorDevice,
    ParityDevice,
    Row,
    Source,
    StripedDevice,
    TenDevice,
    TenLayout,
    parity_layout,
)

Readable = BlockDevice | ImageError
"""A device, or why nothing of it can be read."""
_MIRROR_LOG_MAGIC: Final = b"rRiM"
_MOST_LOG_BYTES: Final = 1 << 20
"""Of a mirror's log: LVM has regions of 512 KiB and more, 4 TiB then."""
_WRITES_THROUGH: Final = frozenset({"writethrough", "passthrough"})
"""Modes in which a cache holds nothing that its origin does not."""


class Built(msgspec.Struct):
    """A logical volume: its device and what it is made of.

    `members` are the physical volumes that are present and that it lies on, `missing` the names (in the metadata) of
    those that are not; `kinds` the types of its segments. `size` is in bytes. `error` says why a part of it, or all,
    cannot be read.
    """

    size: int
    device: Readable
    error: ImageError | None = None
    kinds: dict[str, None] = msgspec.field(default_factory=dict)
    members: dict[str, None] = msgspec.field(default_factory=dict)
    missing: dict[str, None] = msgspec.field(default_factory=dict)
    problems: list[Problem] = msgspec.field(default_factory=list)

    def take(self, below: Built, *, is_needed: bool) -> Readable:
        """Note what a volume below is made of, and return its device.

        `is_needed` is whether what cannot be read there cannot be read here either.
        """
        if is_needed:
            self.error = self.error or below.error
        self.members |= below.members
        self.missing |= below.missing
        self.problems += [problem for problem in below.problems if problem not in self.problems]
        return below.device


class _Segment(msgspec.Struct, frozen=True):
    """A segment being built: `size` in bytes, `type` without LVM's ``+`` suffixes, `into` takes what it lies on."""

    name: str
    type: str
    size: int
    extents: int
    node: Mapping[str, Value]
    into: Built
    depth: int


class GroupDevices:
    """Builds each logical volume of a group once. `physical` are the devices by the name in the metadata.

    `members` are the names of those that are present; `title` is the group's name in the report.
    """

    def __init__(
        self, group: VolumeGroup, title: str, physical: Mapping[str, Readable], members: Mapping[str, str]
    ) -> None:
        self._group = group
        self._title = title
        self._physical = physical
        self._members = members
        self._built: dict[str, Built] = {}
        self._pools: dict[str, ThinPool | ImageError] = {}
        self._open: set[str] = set()
        self._segments = 0
        self._make: dict[str, Callable[[_Segment], Readable]] = {
            "striped": self._striped,
            "linear": self._striped,
            "mirror": self._mirror,
            "raid1": self._raid1,
            "raid0": self._raid0,
            "raid0_meta": self._raid0,
            "raid10": self._raid10,
            "raid10_near": self._raid10,
            "thin": self._thin,
            "thin-pool": self._thin_pool,
            "cache": self._cache,
            "zero": lambda segment: ConcatDevice(segment.name, [(segment.size, None)]),
            "error": self._error,
        }
        found = list(_snapshots(group))
        self._snapshots = {each.store: each for each in found if not each.is_merging}
        self._merging = {each.origin: each for each in found if each.is_merging}

    def names(self) -> list[str]:
        """Return the volumes that LVM shows to its user, in the metadata's order.

        A snapshot is two there: its store, and a volume of type snapshot that joins it with the origin.
        """
        found = []
        for name, volume in self._group.volumes.items():
            status = strings(volume, "status")
            is_join = section(volume, "segment1").get("type") == "snapshot"
            if name in self._snapshots or ("VISIBLE" in status and "PVMOVE" not in status and not is_join):
                found.append(name)
        return found

    def build(self, name: str) -> Built:
        """Return the volume of that name in the metadata, as a user sees it: a snapshot's store as the snapshot.

        The origin of a snapshot that is being merged into it already reads as that snapshot.
        """
        role = self._snapshots.get(name) or self._merging.get(name)
        if role is None:
            return self._volume(name, 0)
        store, below = self._volume(role.store, 0), self._volume(role.origin, 0)
        built = Built(0, UnsupportedFormat("it is a snapshot"), kinds={"snapshot": None})
        device, base = built.take(store, is_needed=True), built.take(below, is_needed=True)
        try:
            built.size = self._size(role.extents)
            built.device = _snapshot(self._named(name), base, device, built.size)
        except ImageError as error:
            built.device = built.error = error
        if name in self._merging:
            what = f"{self._named(name)} is read as its snapshot {brief(role.store)}, which is being merged into it"
            built.problems.append(Problem("snapshot-merging", "unclean", what))
        return built

    def origin_of(self, name: str) -> str | None:
        """Return the name of the volume that a volume is a snapshot of."""
        if name in self._snapshots:
            return self._snapshots[name].origin
        first = section(self._group.volumes.get(name, {}), "segment1")
        origin = first.get("origin")
        return origin if first.get("type") == "thin" and isinstance(origin, str) else None

    def pool_of(self, name: str) -> str | None:
        """Return the name of the pool that a thin volume lies in."""
        pool = section(self._group.volumes.get(name, {}), "segment1").get("thin_pool")
        return pool if isinstance(pool, str) else None

    def _named(self, name: str) -> str:
        return f"{self._title}/{brief(name)}"

    def _size(self, extents: int) -> int:
        size = extents * self._group.extent
        if size > VIRTUAL_SIZE:
            raise LimitExceeded(f"a volume of {self._title} claims {size} bytes")
        return size

    def _volume(self, name: str, depth: int) -> Built:
        if name in self._built:
            return self._built[name]
        if name in self._open or depth > LVM_DEPTH:
            what = "lies on itself" if name in self._open else f"lies deeper than {LVM_DEPTH} other volumes"
            cycle = CorruptStructure(f"the logical volume {what}", where=self._named(name))
            return Built(0, cycle, cycle)
        self._open.add(name)
        absent = CorruptStructure("the metadata has no such logical volume", where=self._named(name))
        built = Built(0, absent, None if name in self._group.volumes else absent)
        try:
            if name in self._group.volumes:
                self._join(name, built, depth)
        except ImageError as error:
            built.device = built.error = error if error.where else type(error)(error.message, where=self._named(name))
        self._open.discard(name)
        self._built[name] = built
        return built

    def _join(self, name: str, built: Built, depth: int) -> None:
        """Put the segments of a volume one after another."""
        volume = self._group.volumes[name]
        count = number(volume, "segment_count", most=LVM_SEGMENTS)
        self._segments += count
        if self._segments > LVM_SEGMENTS:
            raise LimitExceeded(f"the volume group has more than {LVM_SEGMENTS} segments")
        parts: list[tuple[int, Readable]] = []
        for index in range(count):
            node = section(volume, f"segment{index + 1}")
            start, extents = number(node, "start_extent"), number(node, "extent_count")
            if start * self._group.extent != built.size:
                raise CorruptStructure(f"segment {index + 1} begins at extent {start}, not where the one before ends")
            size = self._size(extents)
            built.size = self._size(start + extents)
            kind = string(node, "type").partition("+")[0]
            segment = _Segment(self._named(name), kind, size, extents, node, built, depth)
            built.kinds[_kind_name(kind, node)] = None
            parts.append((size, self._segment(segment)))
        whole = [part for size, part in parts if size]
        errors = [part for part in whole if isinstance(part, ImageError)]
        if errors:
            built.error = errors[0]
        if len(whole) == 1 or (errors and len(errors) == len(whole)):
            built.device = whole[0]
        else:
            built.device = ConcatDevice(self._named(name), parts)

    def _segment(self, segment: _Segment) -> Readable:
        try:
            if segment.type in self._make:
                return self._make[segment.type](segment)
            if segment.type.startswith("raid") and segment.type[4:] in dm_raid.MD_LAYOUTS:
                return self._parity(segment)
            raise UnsupportedFormat(f"the segment type {brief(segment.type)} is not read")
        except ImageError as error:
            return error if error.where else type(error)(error.message, where=segment.name, offset=error.offset)

    def _below(self, segment: _Segment, name: str, *, is_needed: bool = False) -> Readable:
        """Return the logical volume of a segment's part."""
        return segment.into.take(self._volume(name, segment.depth + 1), is_needed=is_needed)

    def _areas(self, segment: _Segment, name: str, extents: int, *, is_needed: bool) -> list[Readable]:
        """Return the parts that an array of names and first extents lists, each of as many extents."""
        listed = segment.node.get(name)
        if not isinstance(listed, list) or len(listed) % 2 or not listed:
            raise CorruptStructure(f"the segment has no list {name} of names and extents")
        size = self._size(extents)
        found: list[Readable] = []
        for below, first in zip(listed[::2], listed[1::2], strict=True):
            if not isinstance(below, str) or not isinstance(first, int) or not 0 <= first < 1 << 40:
                raise CorruptStructure(f"the segment's list {name} holds no names and extents")
            start = first * self._group.extent
            if below in self._physical:
                device = self._physical[below]
                start += self._group.physical[below].start
                if below in self._members:
                    segment.into.members[self._members[below]] = None
                else:
                    segment.into.missing[below] = None
            else:
                device = self._below(segment, below, is_needed=is_needed)
            found.append(device if isinstance(device, ImageError) else SliceDevice(device, start, size, segment.name))
        return found

    def _striped(self, segment: _Segment) -> Readable:
        count = number(segment.node, "stripe_count", 1, most=1 << 16)
        if not count or segment.extents % count:
            raise CorruptStructure(f"{segment.extents} extents are no stripes over {count} parts")
        parts = self._areas(segment, "stripes", segment.extents // count, is_needed=True)
        if len(parts) != count:
            raise CorruptStructure(f"{len(parts)} parts are listed for {count} stripes")
        return parts[0] if count == 1 else _stripes(segment, parts)

    def _mirror(self, segment: _Segment) -> Readable:
        """Read the first leg: the kernel copies from it to the others, and so does `pvmove`.

        Without it another one is read where the log on disk says that all of it is in sync.
        """
        legs = self._areas(segment, "mirrors", segment.extents, is_needed=False)
        first = legs[0]
        if not isinstance(first, ImageError):
            return first
        log = segment.node.get("mirror_log")
        if not isinstance(log, str):
            raise MissingPart(f"{first.message}, and no log tells whether its mirror is in sync")
        device = self._below(segment, log)
        if isinstance(device, ImageError) or not _is_synced(device, segment):
            raise MissingPart(f"{first.message}, and its log does not say that the mirror is in sync")
        _raise_if_all_lost(legs)
        segment.into.problems.append(_degraded(segment, "its first leg is missing", "missing"))
        return MirrorDevice(segment.name, segment.size, _legs(segment, legs))

    def _images(self, segment: _Segment) -> tuple[list[Readable], bool]:
        """Return the images of a RAID, those that are not in sync as errors, and whether parity can be relied on."""
        if number(segment.node, "reshape_count", 0):
            raise UnsupportedFormat("a RAID that was reshaped is not read")
        names = strings(segment.node, "raids")
        if not names or len(names) % 2 or len(names) != 2 * number(segment.node, "device_count", len(names) // 2):
            raise CorruptStructure("the RAID has no list of images")
        images = [self._below(segment, name) for name in names[1::2]]
        blocks = [_superblock(self._below(segment, name)) for name in names[::2]]
        known = [block for block in blocks if isinstance(block, RaidSuperblock)]
        if not known:
            if any(isinstance(block, ImageError) for block in blocks):
                raise next(block for block in blocks if isinstance(block, ImageError))
            return images, False  # it was made and never used: no image knows anything yet
        newest = max(known, key=lambda block: block.events)
        if any(block.is_reshaping for block in known):
            raise UnsupportedFormat("a RAID that is being reshaped is not read")
        for position, block in enumerate(blocks):
            if isinstance(images[position], ImageError):
                continue
            flaw = _flaw(block, position, newest)
            if flaw:
                images[position] = MissingPart(f"image {position} of the RAID {flaw}", where=segment.name)
            elif isinstance(block, RaidSuperblock) and block.data_offset:
                raise UnsupportedFormat("a RAID that was reshaped is not read")
        lost = [  # an image of a kind that is not read is there all the same
            str(position)
            for position, image in enumerate(images)
            if isinstance(image, ImageError) and not isinstance(image, UnsupportedFormat)
        ]
        if lost:
            what = f"image {', '.join(lost)} of {len(images)} is missing or not in sync"
            segment.into.problems.append(_degraded(segment, what, "missing"))
        if newest.resynced != IN_SYNC:
            what = f"it was in sync up to sector {newest.resynced} only"
            segment.into.problems.append(_degraded(segment, what, "unclean"))
        return images, newest.resynced == IN_SYNC

    def _raid1(self, segment: _Segment) -> Readable:
        images, _ = self._images(segment)
        _raise_if_all_lost(images)
        return MirrorDevice(segment.name, segment.size, _legs(segment, images))

    def _raid0(self, segment: _Segment) -> Readable:
        names = strings(segment.node, "raid0_lvs") or strings(segment.node, "raids")[1::2]
        if not names or segment.extents % len(names):
            raise CorruptStructure("the RAID has no list of images")
        return _stripes(segment, [self._below(segment, name, is_needed=True) for name in names])

    def _raid10(self, segment: _Segment) -> Readable:
        copies = number(segment.node, "data_copies", 2, most=64)
        count = number(segment.node, "device_count", most=1 << 10)
        if copies < 2 or count % copies:
            raise UnsupportedFormat(f"a RAID 10 of {copies} copies on {count} images is not read")
        images, _ = self._images(segment)
        _raise_if_all_lost(images)
        for first in range(0, count, copies):
            _note_loss(segment, images[first : first + copies], copies - 1)
        layout = TenLayout(copies, 1, has_offset=False, set_size=count)
        used = segment.size * copies // count
        return TenDevice(segment.name, _legs(segment, images), layout, _chunk(segment), used)

    def _parity(self, segment: _Segment) -> Readable:
        layout = parity_layout(*dm_raid.MD_LAYOUTS[segment.type[4:]])
        count = number(segment.node, "device_count", most=1 << 10)
        data = 0 if layout is None else count - layout.parities
        if layout is None or data < 1 or segment.extents % data:
            raise CorruptStructure(f"{segment.extents} extents are no RAID over {count} images")
        images, has_parity = self._images(segment)
        _raise_if_all_lost(images)
        _note_loss(segment, images, layout.parities if has_parity else 0)
        make = ParityDevice if has_parity else _WithoutParity
        return make(segment.name, _legs(segment, images), layout, _chunk(segment), segment.size // data)

    def _thin(self, segment: _Segment) -> Readable:
        pool = self._pool(string(segment.node, "thin_pool"), segment)
        external = segment.node.get("external_origin")
        origin = self._below(segment, external, is_needed=True) if isinstance(external, str) else None
        device = number(segment.node, "device_id", most=1 << 24)
        return ThinDevice(segment.name, pool, device, segment.size, origin)

    def _thin_pool(self, segment: _Segment) -> Readable:
        for key in ("metadata", "pool"):
            self._below(segment, string(segment.node, key))
        raise UnsupportedFormat("a thin pool has no bytes of its own")

    def _pool(self, name: str, segment: _Segment) -> ThinPool:
        node = section(self._group.volumes.get(name, {}), "segment1")
        if string(node, "type", "").partition("+")[0] != "thin-pool":
            raise CorruptStructure("its thin pool is not in the metadata")
        metadata, data = (self._below(segment, string(node, key), is_needed=True) for key in ("metadata", "pool"))
        if name not in self._pools:
            try:
                if isinstance(metadata, ImageError) or isinstance(data, ImageError):
                    raise metadata if isinstance(metadata, ImageError) else data  # type: ignore[misc] # one is
                pool = ThinPool(metadata, data)
                if pool.superblock.chunk != number(node, "chunk_size") * SECTOR:
                    raise CorruptStructure("the thin pool's chunks have another size than the group's metadata says")
                self._pools[name] = pool
            except ImageError as error:
                self._pools[name] = error
        found = self._pools[name]
        if isinstance(found, ImageError):
            raise type(found)(found.message, where=found.where, offset=found.offset)
        if found.superblock.needs_check:
            detail = f"the thin pool {self._named(name)} asks to be checked and repaired"
            segment.into.problems.append(Problem("thin-pool-needs-check", "unclean", detail))
        return found

    def _cache(self, segment: _Segment) -> Readable:
        """Read the origin of a cache that writes through; in any other mode the origin may be out of date."""
        origin = self._below(segment, string(segment.node, "origin"), is_needed=True)
        pool = segment.node.get("cache_pool", "")
        node: Mapping[str, Value] = section(self._group.volumes.get(str(pool), {}), "segment1")
        mode = segment.node.get("cache_mode", node.get("cache_mode"))
        if mode not in _WRITES_THROUGH:
            how = f"mode {brief(mode)}" if isinstance(mode, str) else "unknown mode"
            raise UnsupportedFormat(f"it has a cache of {how}, which may hold newer data; it is not read")
        detail = f"{segment.name} is read from the origin of its cache, of mode {mode}"
        segment.into.problems.append(Problem("cache-origin", "note", detail))
        return origin

    def _error(self, segment: _Segment) -> Readable:
        raise MissingPart(f"{segment.extents} extents were given up: LVM put an error segment in their place")


class _Snapshot(msgspec.Struct, frozen=True):
    """An old snapshot: the names of its store and of its origin."""

    store: str
    origin: str
    extents: int
    is_merging: bool


def _snapshots(group: VolumeGroup) -> Iterator[_Snapshot]:
    """Yield the group's old snapshots."""
    for volume in group.volumes.values():
        node = section(volume, "segment1")
        store, origin = node.get("cow_store", node.get("merging_store")), node.get("origin")
        if node.get("type") == "snapshot" and isinstance(store, str) and isinstance(origin, str):
            extents = node.get("extent_count")
            size = extents if isinstance(extents, int) and 0 <= extents < 1 << 40 else 0
            yield _Snapshot(store, origin, size, "merging_store" in node)


def _snapshot(name: str, origin: Readable, store: Readable, size: int) -> BlockDevice:
    for part in (origin, store):
        if isinstance(part, ImageError):
            raise type(part)(part.message, where=part.where, offset=part.offset)
    if isinstance(origin, ImageError) or isinstance(store, ImageError):  # for the type checker; see above
        raise CorruptStructure("it cannot be read", where=name)
    return SnapshotDevice(name, origin, store, size)


def _kind_name(kind: str, node: Mapping[str, Value]) -> str:
    """Return what LVM's tools call a segment: striped over one part is linear."""
    return "linear" if kind == "striped" and node.get("stripe_count", 1) == 1 else brief(kind)


def _chunk(segment: _Segment) -> int:
    chunk = number(segment.node, "stripe_size", most=1 << 22) * SECTOR
    if not chunk:
        raise CorruptStructure("the stripe size is zero")
    return chunk


def _stripes(segment: _Segment, parts: list[Readable]) -> Readable:
    _raise_if_all_lost(parts)
    segment.into.error = segment.into.error or next((part for part in parts if isinstance(part, ImageError)), None)
    lengths = [segment.size // len(parts)] * len(parts)
    return StripedDevice(segment.name, _legs(segment, parts), lengths, _chunk(segment))


class _Lost:
    """A part that cannot be read: every read raises why."""

    sector_size = SECTOR

    def __init__(self, name: str, size: int, error: ImageError) -> None:
        self.name = name
        self.size = size
        self._error = error

    def read_at(self, _offset: int, _length: int) -> bytes:
        """Raise the error."""
        raise type(self._error)(self._error.message, where=self._error.where, offset=self._error.offset)


class _WithoutParity(ParityDevice):
    """A RAID whose parity was never computed for all of it: nothing can be rebuilt from it."""

    def _rebuilt(self, _row: Row, _index: int, _at: int, _length: int, lost: ImageError) -> bytes:
        raise lost


def _legs(segment: _Segment, parts: Iterable[Readable]) -> list[Leg]:
    """Return parts as a RAID's legs, in their order."""
    return [
        Leg(segment.name, Source(_Lost(segment.name, segment.size, part) if isinstance(part, ImageError) else part, 0))
        for part in parts
    ]


def _raise_if_all_lost(parts: Iterable[Readable]) -> None:
    errors = [part for part in parts if isinstance(part, ImageError)]
    if errors and all(isinstance(part, ImageError) for part in parts):
        raise type(errors[0])(errors[0].message, where=errors[0].where, offset=errors[0].offset)


def _note_loss(segment: _Segment, images: Iterable[Readable], bearable: int) -> None:
    """Note that more images are lost than what is left can stand in for."""
    errors = [image for image in images if isinstance(image, ImageError)]
    if len(errors) > bearable:
        segment.into.error = segment.into.error or errors[0]


def _superblock(metadata: Readable) -> RaidSuperblock | ImageError | None:
    if isinstance(metadata, ImageError):
        return metadata
    try:
        return dm_raid.parse_superblock(metadata.read_at(0, dm_raid.SUPERBLOCK_BYTES))
    except ImageError as error:
        return error


def _flaw(block: RaidSuperblock | ImageError | None, position: int, newest: RaidSuperblock) -> str:
    """Return why an image must not be read, empty when it may."""
    if not isinstance(block, RaidSuperblock):
        return "has no superblock that can be read"
    if newest.failed >> position & 1:
        return "has failed, says the newest superblock"
    if block.events + 1 < newest.events:
        return f"is out of date: event {block.events}, and another has {newest.events}"
    if block.recovered != IN_SYNC:
        return f"was rebuilt up to sector {block.recovered} only"
    return ""


def _is_synced(log: BlockDevice, segment: _Segment) -> bool:
    """Whether a mirror's log on disk has every region marked clean.

    Source: Linux, drivers/md/dm-log.c: a header, and from byte 1024 on a bit for each region.
    """
    region = number(segment.node, "region_size", most=1 << 40) * SECTOR
    if not region:
        return False
    regions = -(-segment.size // region)
    length = -(-regions // 8)
    if length > _MOST_LOG_BYTES:
        return False
    try:
        if log.read_at(0, 4) != _MIRROR_LOG_MAGIC or 1024 + length > log.size:
            return False
        bits = int.from_bytes(log.read_at(1024, length), "little")
    except ImageError:
        return False
    return bits & (1 << regions) - 1 == (1 << regions) - 1


def _degraded(segment: _Segment, what: str, kind: ProblemKind) -> Problem:
    return Problem("degraded-volume", kind, f"{segment.name} ({brief(segment.type)}) is degraded: {what}")
