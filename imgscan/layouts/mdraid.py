"""Superblocks of MD, Linux' software RAID: versions 0.90 (either byte order), 1.0, 1.1 and 1.2.

Source: the Linux kernel's include/uapi/linux/raid/md_p.h and Documentation/admin-guide/md.rst; the checksums and what
a field means at which level as drivers/md/md.c reads them. Here all sizes and offsets are in bytes.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure, ImageError

MAGIC: Final = 0xA92B4EFC
SUPERBLOCK_BYTES: Final = 4096
"""Both kinds are at most this large."""
SECTOR: Final = 512
MOST_DEVICES: Final = (SUPERBLOCK_BYTES - 256) // 2
"""Roles that fit into a superblock of version 1."""
OLD_DEVICES: Final = 27
"""The same of version 0.90."""

SPARE, FAULTY, JOURNAL = 0xFFFF, 0xFFFE, 0xFFFD
"""Roles that are no place in the array."""
LINEAR, MULTIPATH = -1, -4
LEVEL_NAMES: Final = {-11: "container", -5: "faulty", MULTIPATH: "multipath", LINEAR: "linear"}
RAID0_ORIGINAL, RAID0_ALTERNATE = 1, 2
"""What chooses the device in the later zones of RAID 0; 0 when nobody wrote it down."""

_NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF
_BITMAP, _RECOVERY, _RESHAPE, _BAD_BLOCKS, _REPLACEMENT, _BACKWARDS, _NEW_OFFSET = 1, 2, 4, 8, 16, 32, 64
_RECOVERY_BITMAP, _CLUSTERED, _JOURNAL, _PPL, _MULTIPLE_PPLS, _RAID0_LAYOUT = 128, 256, 512, 1024, 2048, 4096
_KNOWN_FEATURES: Final = 8191
_BAD_BLOCK_BYTES: Final = 64 * 1024
"""A bad block log; mdadm makes one of 4 KiB."""
_HEAD: Final = struct.Struct("<4I16s32sQiiQIIi")
_SHAPE: Final = struct.Struct("<IQiIIi")
_PLACE: Final = struct.Struct("<QQQQII16sBBHi")
_STATE: Final = struct.Struct("<QQQII")


class Reshape(msgspec.Struct, frozen=True):
    """A change of shape that is under way: what the array is going to be.

    Up to `position` (in bytes of the array; from there on when `backwards`) it has the new shape already. `devices` is
    how many more (or fewer) there are then; `shift` what is added to a member's data offset.
    """

    position: int
    level: int
    layout: int
    chunk: int
    devices: int
    backwards: bool
    shift: int


class MdSuperblock(msgspec.Struct, frozen=True):
    """A member's superblock, at `offset` of the member.

    `size` is how much of each member the array uses (0 at linear and RAID 0, which use `data_size`); `devices` how
    many make it up; `resynced` up to where the copies or parity of the array agree, `recovered` up to where this
    member holds its data, None when that is everywhere. `roles` is by device number, and `number` this device's own.
    `bad_blocks` are ranges of the member (start, length).
    """

    version: str
    offset: int
    uuid: str
    name: str | None
    device_uuid: str | None
    created: int
    updated: int
    events: int
    level: int
    layout: int
    size: int
    chunk: int
    devices: int
    roles: tuple[int, ...]
    number: int
    data_offset: int
    data_size: int
    resynced: int | None
    recovered: int | None
    reshape: Reshape | None
    preferred_minor: int | None
    is_replacement: bool
    is_write_mostly: bool
    has_journal: bool
    has_ppl: bool
    is_clustered: bool
    has_layout: bool
    unknown_features: int
    is_checksum_good: bool
    bad_blocks: tuple[tuple[int, int], ...] = ()

    @property
    def role(self) -> int:
        """Which place in the array this device has, or one of `SPARE`, `FAULTY`, `JOURNAL`."""
        return self.roles[self.number] if self.number < len(self.roles) else SPARE

    @property
    def level_name(self) -> str:
        """The level as mdadm calls it: `raid5`, `linear`, ..."""
        return LEVEL_NAMES.get(self.level, f"raid{self.level}")


def find_superblock(device: BlockDevice, where: str) -> MdSuperblock:
    """Return a member's superblock; of several the newest whose checksum is good, as mdadm chooses.

    :raises CorruptStructure: there is none, or none that can be
    :raises ImageError: none was found, and a place where one could be cannot be read
    """
    found: list[MdSuperblock] = []
    lost: ImageError | None = None
    for read in (_version_1, _version_0):
        try:
            found.extend(read(device, where))
        except ImageError as error:
            lost = lost or error
    if not found:
        raise lost or CorruptStructure("there is no MD superblock", where=where)
    return max(found, key=lambda block: (block.is_checksum_good, block.created))


def _version_1(device: BlockDevice, where: str) -> list[MdSuperblock]:
    places = (("1.1", 0), ("1.2", 4096), ("1.0", (device.size // SECTOR - 16 & ~7) * SECTOR))
    found, lost = [], None
    for version, offset in places:
        if offset < 0 or offset + 1024 > device.size:
            continue
        try:
            raw = device.read_at(offset, min(SUPERBLOCK_BYTES, device.size - offset))
            if struct.unpack_from("<II", raw) == (MAGIC, 1) and struct.unpack_from("<Q", raw, 144)[0] == offset >> 9:
                found.append(_with_bad_blocks(_parse_1(raw, version, offset, where), raw, device))
        except ImageError as error:
            lost = lost or error
    if not found and lost is not None:
        raise lost
    return found


def _parse_1(raw: bytes, version: str, offset: int, where: str) -> MdSuperblock:
    _, _, features, _, uuid, name, created, level, layout, size, chunk, devices, _ = _HEAD.unpack_from(raw)
    new_level, position, delta, new_layout, new_chunk, shift = _SHAPE.unpack_from(raw, 100)
    place = _PLACE.unpack_from(raw, 128)
    data_offset, data_size, _, recovered, number, _, device_uuid, flags = place[:8]
    updated, events, resynced, checksum, places = _STATE.unpack_from(raw, 192)
    if places > MOST_DEVICES or 256 + 2 * places > len(raw) or devices > MOST_DEVICES:
        raise CorruptStructure(
            f"the MD superblock has {places} places for {devices} devices", where=where, offset=offset
        )
    is_reshaping = bool(features & _RESHAPE)
    return MdSuperblock(
        version=version,
        offset=offset,
        uuid=uuid.hex(),
        name=name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape") or None,
        device_uuid=device_uuid.hex(),
        created=created & (1 << 40) - 1,
        updated=updated & (1 << 40) - 1,
        events=events,
        level=level,
        layout=layout,
        size=size * SECTOR,
        chunk=chunk * SECTOR,
        devices=devices,
        roles=struct.unpack_from(f"<{places}H", raw, 256),
        number=number,
        data_offset=data_offset * SECTOR,
        data_size=data_size * SECTOR,
        resynced=None if resynced == _NEVER else resynced * SECTOR,
        recovered=recovered * SECTOR if features & _RECOVERY and not features & _JOURNAL else None,
        reshape=Reshape(
            position * SECTOR,
            new_level if new_level < 1 << 31 else new_level - (1 << 32),
            new_layout,
            new_chunk * SECTOR,
            delta,
            delta < 0 or (delta == 0 and bool(features & _BACKWARDS)),
            shift * SECTOR if features & _NEW_OFFSET else 0,
        )
        if is_reshaping
        else None,
        preferred_minor=None,
        is_replacement=bool(features & _REPLACEMENT),
        is_write_mostly=bool(flags & 1),
        has_journal=bool(features & _JOURNAL),
        has_ppl=bool(features & (_PPL | _MULTIPLE_PPLS)),
        is_clustered=bool(features & _CLUSTERED),
        has_layout=level != 0 or bool(features & _RAID0_LAYOUT),
        unknown_features=features & ~_KNOWN_FEATURES,
        is_checksum_good=checksum == _checksum_1(raw[: 256 + 2 * places]),
    )


def _checksum_1(raw: bytes) -> int:
    """Return the sum of all words with the checksum itself as zero; half a word may be left over."""
    words = raw[:216] + bytes(4) + raw[220:]
    total: int = sum(struct.unpack_from(f"<{len(words) // 4}I", words))
    if len(words) % 4 >= 2:
        total += int.from_bytes(words[-2:], "little")
    return (total & 0xFFFF_FFFF) + (total >> 32) & 0xFFFF_FFFF


def _with_bad_blocks(block: MdSuperblock, raw: bytes, device: BlockDevice) -> MdSuperblock:
    """Add the log of bad blocks: its place counts from the superblock, its entries from the member's first byte."""
    features = struct.unpack_from("<I", raw, 8)[0]
    *_, shift, sectors, relative = _PLACE.unpack_from(raw, 128)
    length = sectors * SECTOR
    if not features & _BAD_BLOCKS or not 0 < length <= _BAD_BLOCK_BYTES or shift > 32:
        return block
    entries = struct.unpack(f"<{length // 8}Q", device.read_at(block.offset + relative * SECTOR, length))
    ranges = tuple(
        ((entry >> 10 << shift) * SECTOR, ((entry & 0x3FF) << shift) * SECTOR) for entry in entries if entry != _NEVER
    )
    return msgspec.structs.replace(block, bad_blocks=tuple(sorted(span for span in ranges if span[1])))


def _version_0(device: BlockDevice, where: str) -> list[MdSuperblock]:
    offset = (device.size & ~0xFFFF) - 0x10000
    if offset < 0:
        return []
    raw = device.read_at(offset, SUPERBLOCK_BYTES)
    for order in "<>":
        if struct.unpack_from(f"{order}2I", raw) == (MAGIC, 0):
            return [_parse_0(struct.unpack(f"{order}1024I", raw), order, offset, where)]
    return []


def _parse_0(words: tuple[int, ...], order: str, offset: int, where: str) -> MdSuperblock:
    """Version 0.90 is 1024 words: 32 that never change, 32 of state, 64 of its level, 32 for each of 27 devices."""
    minor, level, size, devices, preferred = words[2], words[7], words[8], words[10], words[11]
    if devices > OLD_DEVICES or minor not in {90, 91}:
        raise CorruptStructure(
            f"the MD superblock 0.{minor} has places for {devices} devices", where=where, offset=offset
        )
    signed = level - (1 << 32) if level >> 31 else level

    def long(at: int) -> int:  # the two halves stand in the byte order of the machine
        low, high = (words[at], words[at + 1]) if order == "<" else (words[at + 1], words[at])
        return low | high << 32

    events, checkpoint = long(39), long(41)
    is_clean = bool(words[33] & 1)
    roles = [SPARE] * OLD_DEVICES
    write_mostly = set()
    for index in range(OLD_DEVICES):
        number, _, _, role, state = words[128 + 32 * index : 133 + 32 * index]
        if number < OLD_DEVICES and state:
            active = state & 0b0100  # in sync
            roles[number] = FAULTY if state & 0b0001 else role if active and role < devices else SPARE
            if state >> 9 & 1:
                write_mostly.add(number)
    own = words[992]
    delta = words[47] - (1 << 32) if words[47] >> 31 else words[47]
    fields = struct.pack(">4I", words[5], words[13], words[14], words[15])
    resynced = None if is_clean else words[43] * SECTOR if events == checkpoint else 0
    checked = sum(words) - words[38]
    return MdSuperblock(
        version="0.90" if order == "<" else "0.90 (big-endian)",
        offset=offset,
        uuid=fields.hex(),
        name=None,
        device_uuid=None,
        created=words[6],
        updated=words[32],
        events=events,
        level=signed,
        layout=words[64],
        size=size * 1024,
        chunk=words[65],
        devices=devices,
        roles=tuple(roles),
        number=own,
        data_offset=0,
        data_size=offset,
        resynced=resynced,
        recovered=None,
        reshape=Reshape(
            long(44) * SECTOR,
            words[46] - (1 << 32) if words[46] >> 31 else words[46],
            words[48],
            words[49],
            delta,
            delta < 0,
            0,
        )
        if minor == 91 and long(44) != _NEVER
        else None,
        preferred_minor=preferred,
        is_replacement=False,
        is_write_mostly=own in write_mostly,
        has_journal=False,
        has_ppl=False,
        is_clustered=False,
        has_layout=signed != 0,
        unknown_features=0,
        is_checksum_good=(checked & 0xFFFF_FFFF) + (checked >> 32) & 0xFFFF_FFFF == words[38],
    )
