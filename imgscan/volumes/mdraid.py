"""MD, Linux' software RAID: which members make an array, which of them hold good data, and the array as a device.

What is read is what the md driver would read: a member whose event count fell behind is left out, one that is being
rebuilt counts as far as it got, and missing data comes from the other copies or from parity. Bitmaps are not needed
for reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from imgscan.devices.concat import ConcatDevice
from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import VIRTUAL_SIZE
from imgscan.devices.slice import SliceDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.layouts.mdraid import (
    FAULTY,
    JOURNAL,
    LINEAR,
    MULTIPATH,
    RAID0_ALTERNATE,
    RAID0_ORIGINAL,
    SECTOR,
    SPARE,
    MdSuperblock,
    find_superblock,
)
from imgscan.model.disk import Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.raid import (
    Leg,
    MirrorDevice,
    ParityDevice,
    ReshapingDevice,
    Source,
    StripedDevice,
    TenDevice,
    parity_layout,
    ten_layout,
)

MEMBERS: Final = frozenset({"linux_raid_member"})
_MIRRORS: Final = frozenset({1, MULTIPATH})
_WHOLE: Final = frozenset({0, LINEAR})
"""Levels that read nothing when a member is missing, and use each member as far as it goes."""
_STANDING: Final = {SPARE: "spare", FAULTY: "faulty", JOURNAL: "journal"}


class _Found(msgspec.Struct, frozen=True):
    """A member and its superblock."""

    member: Member
    block: MdSuperblock

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def evidence(self) -> AtOffset:
        return AtOffset(self.name, self.block.offset, 256, "MD superblock")

    def source(self, *, shift: int = 0) -> Source:
        block = self.block
        return Source(self.member.device, block.data_offset + shift, block.recovered, block.bad_blocks)


class _Array(msgspec.Struct):
    """The members of one array, sorted out.

    `newest` is the superblock that speaks for all; `active` are the members at each place, with the one that holds
    most of its data first; `standing` is what the others are.
    """

    name: str
    newest: _Found
    members: list[_Found]
    active: dict[int, list[_Found]] = msgspec.field(default_factory=dict)
    standing: dict[str, str] = msgspec.field(default_factory=dict)
    problems: list[Problem] = msgspec.field(default_factory=list)

    @property
    def block(self) -> MdSuperblock:
        return self.newest.block

    def whole(self, place: int) -> bool:
        """Whether a member holds all data of a place."""
        return any(found.block.recovered is None for found in self.active.get(place, ()))

    def problem(self, code: str, kind: ProblemKind, detail: str, *founds: _Found) -> None:
        self.problems.append(Problem(code, kind, shown(detail), tuple(found.evidence for found in founds)))


def assemble(members: Sequence[Member]) -> tuple[Assembled, ...]:
    """Return an array for each identifier found, readable or not, in the order of their first members."""
    arrays: dict[str, list[_Found]] = {}
    lost: list[Assembled] = []
    for member in members:
        if member.content not in MEMBERS:
            continue
        try:
            found = _Found(member, find_superblock(member.device, member.name))
        except ImageError as error:
            name = f"md/{member.name.replace('/', '-')}"
            lost.append(Assembled(name, "raid-array", (member.name,), 0, None, error))
        else:
            arrays.setdefault(found.block.uuid, []).append(found)
    short = [uuid[:8] for uuid in arrays]
    return (
        *(
            _assemble(f"md/{uuid[:8] if short.count(uuid[:8]) == 1 else uuid}", founds)
            for uuid, founds in arrays.items()
        ),
        *lost,
    )


def _assemble(name: str, founds: list[_Found]) -> Assembled:
    trusted = [found for found in founds if found.block.is_checksum_good]
    newest = max(trusted or founds, key=lambda found: found.block.events)
    array = _Array(name, newest, founds)
    for found in founds:
        if not found.block.is_checksum_good:
            array.standing[found.name] = "damaged"
            array.problem(
                "superblock-checksum",
                "damage",
                f"the MD superblock of {found.name} does not have its checksum; the member is not used",
                found,
            )
    _sort_out(array, trusted)
    device: BlockDevice | None = None
    error: ImageError | None = None
    size = 0
    try:
        if not trusted:
            raise CorruptStructure("no MD superblock of this array has its checksum", where=name)
        _check(array)
        size = _usable_size(array)
        device = _device(array)
        size = device.size
    except ImageError as failed:
        error = failed
    _say_what_is_wrong(array)
    order = sorted(founds, key=lambda found: _place(array, found))
    is_complete = all(array.whole(place) for place in range(array.block.devices))
    return Assembled(
        name,
        "raid-array",
        tuple(found.name for found in order),
        size,
        device,
        error,
        tuple(array.problems),
        _described(array, order),
        is_complete,
    )


def _place(array: _Array, found: _Found) -> int:
    places = [place for place, active in array.active.items() if found in active]
    return places[0] if places else array.block.devices


def _sort_out(array: _Array, trusted: list[_Found]) -> None:
    """Give every member its place, or say why it has none."""
    newest = array.block
    stale: list[_Found] = []
    for found in trusted:
        role = found.block.role
        if role in _STANDING:
            array.standing[found.name] = _STANDING[role]
        elif found.block.events + 1 < newest.events or not _agrees(newest, found.block, role):
            array.standing[found.name] = "stale"
            stale.append(found)
        elif role >= newest.devices:
            array.standing[found.name] = "spare"
        else:
            array.active.setdefault(role, []).append(found)
    for place, founds in array.active.items():
        founds.sort(key=lambda found: (found.block.recovered is not None, found.block.is_replacement))
        doubles = [found for found in founds if not found.block.is_replacement]
        if len(doubles) > 1:
            array.problem(
                "duplicate-member",
                "note",
                f"{' and '.join(found.name for found in doubles)} are the same member ({place}) of this array; "
                f"{doubles[0].name} is used",
                *doubles,
            )
            for found in doubles[1:]:
                founds.remove(found)
                array.standing[found.name] = "duplicate"
    if stale:
        counts = ", ".join(
            f"{found.name} has {found.block.events}" for found in (array.newest, *stale) if found in trusted
        )
        left_out = ", ".join(found.name for found in stale)
        array.problem(
            "event-counts-differ",
            "unclean",
            f"the members were not written together: of events, {counts}; {left_out} is out of date and not read",
            array.newest,
            *stale,
        )
    for found in stale:
        if found.block.role < newest.devices and _role_in(found.block, newest.number) in {FAULTY, SPARE}:
            array.problem(
                "members-diverged",
                "unclean",
                f"{found.name} was in use without {array.newest.name} as well: what was written there is not read",
                found,
            )


def _agrees(newest: MdSuperblock, block: MdSuperblock, role: int) -> bool:
    """Whether the newest superblock gives a member the role that it claims."""
    return _role_in(newest, block.number) == role


def _role_in(block: MdSuperblock, number: int) -> int:
    return block.roles[number] if number < len(block.roles) else SPARE


def _check(array: _Array) -> None:
    """Refuse what cannot be, and what is not read.

    :raises ImageError: the reason
    """
    block = array.block
    where, offset = array.newest.name, block.offset
    if block.unknown_features:
        raise UnsupportedFormat(
            f"the MD superblock asks for features that are not known ({block.unknown_features:#x})",
            where=where,
            offset=offset,
        )
    shapes = [(block.level, block.layout, block.chunk, block.devices)]
    change = block.reshape
    if change is not None:
        shapes = [(block.level, block.layout, block.chunk, block.devices - change.devices)]
        shapes.append((change.level, change.layout, change.chunk, block.devices))
    for level, layout, chunk, devices in shapes:
        least = {4: 2, 5: 2, 6: 3}.get(level, 1)
        if not least <= devices <= len(block.roles) or (level == 6 and devices > 257):
            raise CorruptStructure(f"a {block.level_name} of {devices} devices cannot be", where=where, offset=offset)
        if level in {0, 4, 5, 6, 10} and (chunk == 0 or chunk % SECTOR):
            raise CorruptStructure(f"a chunk of {chunk} bytes cannot be", where=where, offset=offset)
        known = level in {0, 4, *_MIRRORS, LINEAR} or (
            ten_layout(layout, devices) if level == 10 else parity_layout(level, layout)
        )
        if not known:
            raise UnsupportedFormat(f"MD level {level} with layout {layout} is not read", where=where, offset=offset)
    if change is not None and (block.level not in {4, 5, 6, 10} or change.level not in {4, 5, 6, 10}):
        raise UnsupportedFormat(
            f"a {block.level_name} that is changing its shape is not read", where=where, offset=offset
        )
    used = max((f.block.data_size for f in array.members), default=0) if block.level in _WHOLE else block.size
    if used * block.devices > VIRTUAL_SIZE:
        raise LimitExceeded(f"an array of {block.devices} times {used} bytes", where=where, offset=offset)


def _legs(array: _Array, devices: int, *, new_shape: bool = False) -> list[Leg]:
    legs = []
    for place in range(devices):
        founds = array.active.get(place, [])
        shifts = [f.block.reshape.shift if new_shape and f.block.reshape else 0 for f in founds]
        sources = [found.source(shift=shift) for found, shift in zip(founds, shifts, strict=True)]
        legs.append(Leg(f"{array.name} (member {place})", *sources))
    return legs


def _usable_size(array: _Array) -> int:
    """Return the array's size as far as it does not depend on members that may be missing."""
    block = array.block
    if block.level in _MIRRORS:
        return block.size
    if block.level in _WHOLE:
        return 0
    return _shaped(array, new=False).size


def _device(array: _Array) -> BlockDevice:
    """Return the array.

    :raises MissingPart: too few members are there
    """
    block = array.block
    present = [array.whole(place) for place in range(block.devices)]
    missing = present.count(False)
    enough = present.count(True) > 0
    if block.level in _WHOLE:
        enough = not missing
    elif block.level in {4, 5, 6}:
        change = block.reshape
        enough = missing <= (2 if block.level == 6 and (change is None or change.level == 6) else 1)
    elif block.level == 10:
        shaped = _shaped(array, new=False)
        enough = isinstance(shaped, TenDevice) and shaped.has_all_chunks(present)
    if not enough:
        raise MissingPart(
            f"{missing} of the {block.devices} members of this {block.level_name} are not there", where=array.name
        )
    if block.level in _WHOLE:
        return _whole(array)
    if block.level in _MIRRORS:
        return _mirror(array)
    old = _shaped(array, new=False)
    if block.reshape is None:
        return old
    new = _shaped(array, new=True)
    below, above = (old, new) if block.reshape.backwards else (new, old)
    return ReshapingDevice(array.name, min(old.size, new.size), block.reshape.position, below, above)


def _whole(array: _Array) -> BlockDevice:
    """Linear, or RAID 0."""
    block = array.block
    founds = [array.active[place][0] for place in range(block.devices)]
    lengths = [found.block.data_size for found in founds]
    if block.level == LINEAR:
        if block.chunk:
            lengths = [length // block.chunk * block.chunk for length in lengths]
        slices = [
            SliceDevice(found.member.device, found.block.data_offset, length, array.name)
            for found, length in zip(founds, lengths, strict=True)
        ]
        return ConcatDevice(array.name, list(zip(lengths, slices, strict=True)))
    layouts = {RAID0_ORIGINAL: True, RAID0_ALTERNATE: False}
    is_original = layouts.get(block.layout) if block.has_layout else None
    device = StripedDevice(array.name, _legs(array, block.devices), lengths, block.chunk, is_original=is_original)
    if device.is_ambiguous:
        array.problem(
            "raid0-layout-unknown",
            "unsupported",
            "the members differ in size, and which of two layouts is behind the end of the shortest is not written "
            "down: kernels before 3.14 used one and those up to 5.3 another; that part is not read",
            array.newest,
        )
    return device


def _mirror(array: _Array) -> MirrorDevice:
    """RAID 1: whole members first, and those that are mostly written to last."""
    block = array.block
    founds = [found for place in sorted(array.active) for found in array.active[place]]
    founds.sort(key=lambda found: (found.block.recovered is not None, found.block.is_write_mostly))
    return MirrorDevice(array.name, block.size, [Leg(found.name, found.source()) for found in founds])


def _shaped(array: _Array, *, new: bool) -> ParityDevice | TenDevice:
    """Return the array in the shape that it has, or in the one that it is getting."""
    block = array.block
    change = block.reshape
    level, number, chunk, devices = block.level, block.layout, block.chunk, block.devices
    if change is not None and new:
        level, number, chunk = change.level, change.layout, change.chunk
    elif change is not None:
        devices -= change.devices
    legs = _legs(array, devices, new_shape=new)
    if level == 10:
        ten = ten_layout(number, devices)
        if ten is not None:
            return TenDevice(array.name, legs, ten, chunk, block.size)
    parity = parity_layout(level, number)
    if parity is None:  # `_check` has seen to it
        raise UnsupportedFormat(f"MD level {level} with layout {number} is not read", where=array.name)
    return ParityDevice(array.name, legs, parity, chunk, block.size)


def _say_what_is_wrong(array: _Array) -> None:
    block = array.block
    if block.level not in _WHOLE:
        _say_what_is_missing(array)
    elif any(not array.whole(place) for place in range(block.devices)):
        missing = _places(place for place in range(block.devices) if not array.whole(place))
        array.problem("member-missing", "missing", f"this {block.level_name} lacks its {missing}", array.newest)
    for found in array.members:
        if not found.block.is_checksum_good:
            continue
        used = found.block.data_size if block.level in _WHOLE else min(block.size, found.block.data_size or block.size)
        end = found.block.data_offset + used
        if end > found.member.device.size:
            array.problem(
                "member-truncated",
                "truncated",
                f"{found.name} has {found.member.device.size} bytes, and the array uses it as far as byte {end}",
                found,
            )
        if found.block.bad_blocks:
            array.problem(
                "bad-blocks",
                "note",
                f"{found.name} lists {len(found.block.bad_blocks)} bad ranges; they are read from other members",
                found,
            )
    if block.has_journal:
        array.problem(
            "array-journal",
            "note",
            "the array has a write journal; what stands only there is not read",
            array.newest,
        )
    if block.is_clustered:
        array.problem("array-clustered", "note", "the array is shared by a cluster", array.newest)


def _say_what_is_missing(array: _Array) -> None:
    block = array.block
    lacking = [place for place in range(block.devices) if not array.whole(place)]
    rebuilding = [found for place in lacking for found in array.active.get(place, ())]
    if lacking:
        array.problem(
            "array-degraded",
            "missing",
            f"{block.devices - len(lacking)} of {block.devices} members of this {block.level_name} hold all data; "
            f"not so {_places(lacking)}",
            array.newest,
        )
    for found in rebuilding:
        array.problem(
            "array-rebuilding",
            "unclean",
            f"{found.name} is being rebuilt and holds its data as far as byte {found.block.recovered}",
            found,
        )
    used = block.size
    if block.resynced is not None and block.resynced < used and block.reshape is None:
        array.problem(
            "array-not-in-sync",
            "unclean",
            f"the array was not closed: from byte {block.resynced} of its members on, "
            f"{'copies' if block.level in {1, 10} else 'data and parity'} may differ"
            + ("; what is computed from parity there may be wrong" if lacking and block.level in {4, 5, 6} else ""),
            array.newest,
        )
    if block.reshape is not None:
        array.problem(
            "array-reshaping",
            "unclean",
            f"the array is changing its shape and has come to byte {block.reshape.position}",
            array.newest,
        )


def _places(places: Iterable[int]) -> str:
    numbers = [str(place) for place in places]
    return f"member{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _described(array: _Array, order: Sequence[_Found]) -> dict[str, str]:
    block = array.block
    whole = sum(array.whole(place) for place in range(block.devices))
    states = ["clean" if block.resynced is None else "not in sync"]
    if whole < block.devices:
        states.append("degraded")
    if any(found.block.recovered is not None for founds in array.active.values() for found in founds):
        states.append("rebuilding")
    if block.reshape is not None:
        states.append("reshaping")
    members = []
    for found in order:
        place = _place(array, found)
        standing = array.standing.get(found.name, f"member {place}")
        extra = [
            text
            for text, is_so in (
                ("replacement", found.block.is_replacement),
                ("rebuilding", found.block.recovered is not None and found.name not in array.standing),
                ("write-mostly", found.block.is_write_mostly),
            )
            if is_so
        ]
        members.append(f"{found.name} ({', '.join([standing, *extra])})")
    ten = ten_layout(block.layout, block.devices) if block.level == 10 else None
    parity = parity_layout(block.level, block.layout) if block.level in {5, 6} else None
    zones = {RAID0_ORIGINAL: "original", RAID0_ALTERNATE: "alternate"}
    facts = {
        "metadata_version": block.version,
        "level": block.level_name,
        "raid_devices": str(block.devices),
        "layout": ten.text
        if ten
        else parity.name
        if parity
        else zones.get(block.layout)
        if block.level == 0 and block.has_layout
        else None,
        "chunk_size": str(block.chunk) if block.chunk and block.level not in {1, LINEAR} else None,
        "array_name": block.name,
        "array_uuid": ":".join(block.uuid[at : at + 8] for at in range(0, 32, 8)),
        "preferred_minor": None if block.preferred_minor is None else str(block.preferred_minor),
        "state": ", ".join(states),
        "members": ", ".join(members),
    }
    return {key: shown(value) for key, value in facts.items() if value}
