"""The metadata of LVM2: what physical volumes say of themselves and of their group.

Every metadata area holds the text of the whole group; the copy with the highest sequence number counts. A copy that
does not match its checksum, or cannot be understood, is passed over and reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from imgscan.devices.limits import LVM_PARSED_BYTES, LVM_TEXT_BYTES, LVM_TEXTS_BYTES, LVM_VOLUMES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, Why
from imgscan.layouts import lvm2
from imgscan.layouts.lvm2 import AreaHeader, PhysicalVolumeHeader, TextLocation, Value
from imgscan.model.disk import Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown
from imgscan.volumes.assembly import Member

MOST_EXTENT_BYTES = 1 << 46
"""LVM's extents have at most 2^31 - 1 KiB; sizes are checked again where they are multiplied."""


_BRIEF = 128
"""Characters of a text from the metadata that a message shows."""
_KINDS: dict[Why, ProblemKind] = {
    "corrupt": "damage",
    "truncated": "truncated",
    "missing": "missing",
    "io-error": "io-error",
    "changed": "changed",
}


class PhysicalVolume(msgspec.Struct, frozen=True):
    """A physical volume as the group's metadata describes it; `start` is that of its first extent, in bytes.

    `hint` is the device name that it had, for messages.
    """

    name: str
    uuid: str
    hint: str
    start: int
    extents: int
    is_missing: bool


class VolumeGroup(msgspec.Struct, frozen=True):
    """One copy of a group's metadata. `uuid` has no dashes, `extent` is in bytes; `volumes` are sections by LV name."""

    name: str
    uuid: str
    sequence: int
    extent: int
    status: frozenset[str]
    system_id: str
    lock_type: str
    physical: dict[str, PhysicalVolume]
    volumes: dict[str, dict[str, Value]]


class ReadMember(msgspec.Struct):
    """What was read of one member. `error` is set when not even its header could be read.

    `copies` are the good copies with the area's offset; `is_used` is whether something says that it is in a group.
    """

    member: Member
    header: PhysicalVolumeHeader | None = None
    copies: list[tuple[int, VolumeGroup]] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)
    error: ImageError | None = None
    is_used: bool = False


class MetadataReader:
    """Reads members; equal copies of a text are parsed once."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, VolumeGroup] = {}
        self._left = LVM_TEXTS_BYTES
        self._left_to_parse = LVM_PARSED_BYTES

    def read(self, member: Member) -> ReadMember:
        """Return what a member says. Never raises an `ImageError`."""
        found = ReadMember(member)
        try:
            device = member.device
            front = device.read_at(0, min(lvm2.LABEL_SECTORS * lvm2.SECTOR, device.size))
            found.header = lvm2.parse_label(front)
            if found.header is None:
                raise CorruptStructure("it has no good LVM2 label")
        except ImageError as error:
            found.error = _at(error, member.name)
            return found
        found.is_used = bool((found.header.flags or 0) & lvm2.PV_USED)
        for area in found.header.metadata_areas:
            try:
                copy = self._read_area(member, area.offset)
            except ImageError as error:
                found.error = found.error or _at(error, member.name)
                where = AtOffset(member.name, area.offset, lvm2.AREA_HEADER_BYTES, "LVM2 metadata area")
                detail = f"the metadata area of {member.name} at byte {area.offset} is of no use: {error.message}"
                kind = _KINDS.get(error.why, "unsupported")
                found.problems.append(Problem("lvm-metadata-area", kind, shown(detail), (where,)))
                continue
            if copy is not None:
                found.copies.append((area.offset, copy))
        return found

    def _read_area(self, member: Member, start: int) -> VolumeGroup | None:
        """Return the group that a metadata area describes, None when it describes none."""
        header = lvm2.parse_area_header(member.device.read_at(start, lvm2.AREA_HEADER_BYTES))
        if header.start != start:
            raise CorruptStructure(f"its header says that it is at byte {header.start}", offset=start)
        if header.text is None or header.text.flags & lvm2.AREA_IGNORED:
            return None
        self._left -= header.text.size
        if self._left < 0:
            raise LimitExceeded(f"the metadata on all physical volumes has more than {LVM_TEXTS_BYTES} bytes")
        raw = _text(member, start, header, header.text)
        if raw not in self._parsed:
            self._left_to_parse -= len(raw)
            if self._left_to_parse < 0:
                raise LimitExceeded(f"different metadata has more than {LVM_PARSED_BYTES} bytes in all")
            self._parsed[raw] = parse_group(raw)
        return self._parsed[raw]


def _at(error: ImageError, where: str) -> ImageError:
    return error if error.where else type(error)(error.message, where=where, offset=error.offset)


def _text(member: Member, start: int, header: AreaHeader, place: TextLocation) -> bytes:
    """Return the text, which runs on at the start of the buffer when it reaches the area's end."""
    buffer = header.size - lvm2.AREA_HEADER_BYTES
    if place.size > LVM_TEXT_BYTES:
        raise LimitExceeded(f"its text claims {place.size} bytes; imgscan reads up to {LVM_TEXT_BYTES}")
    if not (lvm2.AREA_HEADER_BYTES <= place.offset < header.size and 0 < place.size <= buffer):
        raise CorruptStructure(f"its text of {place.size} bytes at {place.offset} does not lie inside the area")
    first = min(place.size, header.size - place.offset)
    raw = member.device.read_at(start + place.offset, first)
    if first < place.size:
        raw += member.device.read_at(start + lvm2.AREA_HEADER_BYTES, place.size - first)
    if lvm2.checksum(raw) != place.checksum:
        raise CorruptStructure("its text does not match its checksum")
    return raw


def parse_group(raw: bytes) -> VolumeGroup:
    """Return the group that a metadata text describes.

    :raises CorruptStructure: the text is not one
    :raises LimitExceeded: it has more volumes than imgscan follows
    """
    top = lvm2.parse_text(raw.rstrip(b"\0").decode("utf-8", "surrogateescape"))
    groups = [(name, value) for name, value in top.items() if isinstance(value, dict)]
    if len(groups) != 1:
        raise CorruptStructure(f"the metadata text describes {len(groups)} volume groups")
    name, group = groups[0]
    logical = lvm2.section(group, "logical_volumes")
    physical = lvm2.section(group, "physical_volumes")
    if max(len(logical), len(physical)) > LVM_VOLUMES:
        raise LimitExceeded(f"the volume group has more than {LVM_VOLUMES} volumes")
    extent = lvm2.number(group, "extent_size") * lvm2.SECTOR
    if not 0 < extent <= MOST_EXTENT_BYTES:
        raise CorruptStructure(f"the extent size is {extent} bytes")
    return VolumeGroup(
        name,
        lvm2.string(group, "id").replace("-", ""),
        lvm2.number(group, "seqno"),
        extent,
        frozenset((*lvm2.strings(group, "status"), *lvm2.strings(group, "flags"))),
        lvm2.string(group, "system_id", ""),
        lvm2.string(group, "lock_type", ""),
        dict(_physical_volumes(physical)),
        {key: value for key, value in logical.items() if isinstance(value, dict)},
    )


def _physical_volumes(sections: dict[str, Value]) -> Iterator[tuple[str, PhysicalVolume]]:
    for name, node in sections.items():
        if isinstance(node, dict):
            flags = {*lvm2.strings(node, "status"), *lvm2.strings(node, "flags")}
            yield (
                name,
                PhysicalVolume(
                    name,
                    lvm2.string(node, "id").replace("-", ""),
                    brief(lvm2.string(node, "device", "unknown")),
                    lvm2.number(node, "pe_start") * lvm2.SECTOR,
                    lvm2.number(node, "pe_count"),
                    "MISSING" in flags,
                ),
            )


def brief(text: str) -> str:
    """Return text of the metadata fit to be shown, cut to a length that a message can have."""
    return shown(text if len(text) <= _BRIEF else f"{text[:_BRIEF]}...")


def newest(members: Sequence[ReadMember]) -> dict[str, VolumeGroup]:
    """Return the newest copy of each group, by the group's UUID, in the order in which they were met."""
    found: dict[str, VolumeGroup] = {}
    for read in members:
        for _, copy in read.copies:
            if copy.uuid not in found or copy.sequence > found[copy.uuid].sequence:
                found[copy.uuid] = copy
    return found
