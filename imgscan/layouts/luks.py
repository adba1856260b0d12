"""LUKS headers, versions 1 and 2.

Source: LUKS1 On-Disk Format Specification 1.2.3 (C. Fruhwirth); LUKS2 On-Disk Format Specification 1.1 (M. Broz),
sections 2 (binary header) and 3 (JSON area). Numbers are big-endian, sizes in bytes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat

MAGIC, SECONDARY_MAGIC = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
HEADER_SIZES: Final = tuple(16 * KIB << shift for shift in range(9))
"""What a LUKS2 header may be large: 16 KiB to 4 MiB. Its copy begins where it ends."""
_JSON_BYTES: Final = 4 * MIB
_SLOT_USED: Final = 0x00AC71F3
_ONE: Final = struct.Struct(">6sH32s32s32sII20s32sI40s")
_TWO: Final = struct.Struct(">6sHQQ48s32s64s40s48sQ")


class Luks1(msgspec.Struct, frozen=True):
    """A LUKS1 header; `slots` are the key slots in use, `key_bytes` the volume key's length."""

    cipher: str
    hash: str
    payload_offset: int
    key_bytes: int
    slots: tuple[int, ...]
    iterations: tuple[int, ...]


class Area(msgspec.Struct):
    """Where a key slot keeps its key."""

    encryption: str = ""


class Kdf(msgspec.Struct):
    """How a key slot's key is derived: argon2i, argon2id (time, memory in KiB) or pbkdf2 (iterations)."""

    type: str = ""
    hash: str = ""
    iterations: int = 0
    time: int = 0
    memory: int = 0


class Keyslot(msgspec.Struct):
    """A key slot; `reencrypt` ones hold no key."""

    type: str = ""
    key_size: int = 0
    area: Area = msgspec.field(default_factory=Area)
    kdf: Kdf = msgspec.field(default_factory=Kdf)


class Segment(msgspec.Struct):
    """A part of the data area; `size` is a number in bytes or `dynamic`."""

    type: str = ""
    offset: str = "0"
    size: str = ""
    encryption: str = ""
    sector_size: int = 0
    integrity: dict[str, msgspec.Raw] | None = None
    flags: list[str] = []


class Token(msgspec.Struct):
    """Something that can unlock key slots: `clevis` (with `jwe`), `systemd-tpm2`, `systemd-fido2`, ..."""

    type: str = ""
    keyslots: list[str] = []
    jwe: msgspec.Raw = msgspec.Raw(b"null")
    pcrs: msgspec.Raw = msgspec.field(name="tpm2-pcrs", default=msgspec.Raw(b"null"))


class Config(msgspec.Struct):
    """Requirements that a reader must know."""

    requirements: dict[str, list[str]] = {}
    flags: list[str] = []


class Metadata(msgspec.Struct):
    """The JSON area."""

    keyslots: dict[str, Keyslot] = {}
    segments: dict[str, Segment] = {}
    tokens: dict[str, Token] = {}
    config: Config = msgspec.field(default_factory=Config)


class Luks2(msgspec.Struct, frozen=True):
    """A LUKS2 header: `which` of the two, `is_checksum_good`, and its JSON area."""

    which: str
    sequence: int
    size: int
    label: str
    subsystem: str
    checksum: str
    is_checksum_good: bool
    metadata: Metadata


def version_of(device: BlockDevice) -> int:
    """Return the version that the first header names, 2 when only a second one can be there."""
    raw = device.read_at(0, 8)
    return int(struct.unpack(">H", raw[6:])[0]) if raw.startswith(MAGIC) else 2


def read_luks1(device: BlockDevice) -> Luks1:
    """Return the header of a LUKS1 volume."""
    raw = device.read_at(0, 592)
    _, _, cipher, mode, digest, offset, key_bytes, *_ = _ONE.unpack_from(raw)
    slots = [struct.unpack_from(">II", raw, 208 + 48 * index) for index in range(8)]
    used = tuple(index for index, (state, _) in enumerate(slots) if state == _SLOT_USED)
    return Luks1(
        f"{_text(cipher)}-{_text(mode)}",
        _text(digest),
        offset * 512,
        key_bytes,
        used,
        tuple(slots[index][1] for index in used),
    )


def read_luks2(device: BlockDevice) -> tuple[Luks2, ...]:
    """Return the headers that are there, the one to use first: checksum good, then the newer.

    :raises CorruptStructure: neither can be
    """
    found, lost = [], None
    try:
        first = _read(device, 0)
    except ImageError as error:
        first, lost = None, error
    places = (first.size,) if first is not None else HEADER_SIZES
    found = [first] if first is not None else []
    for at in places:
        if at + 4096 > device.size:
            break
        try:
            second = _read(device, at)
        except ImageError as error:
            lost = lost or error
            continue
        if second is not None:
            found.append(second)
            break
    if not found:
        raise lost or CorruptStructure("there is no LUKS2 header", where=device.name, offset=0)
    return tuple(sorted(found, key=lambda header: (not header.is_checksum_good, -header.sequence)))


def _read(device: BlockDevice, at: int) -> Luks2 | None:
    raw = device.read_at(at, 4096)
    magic, version, size, sequence, label, algorithm, _, _, subsystem, offset = _TWO.unpack_from(raw)
    if magic != (SECONDARY_MAGIC if at else MAGIC) or version != 2:
        return None
    if size not in HEADER_SIZES or offset != at:
        raise CorruptStructure(f"a LUKS2 header of {size} bytes cannot be", where=device.name, offset=at)
    area = device.read_at(at + 4096, min(size - 4096, _JSON_BYTES))
    name = _text(algorithm)
    if name not in {"sha1", "sha256", "sha512"}:
        raise UnsupportedFormat(f"a LUKS2 header with the checksum {name!a}", where=device.name, offset=at)
    digest = hashlib.new(name, raw[:448] + bytes(64) + raw[512:] + area).digest()
    try:
        metadata = msgspec.json.decode(area.split(b"\0", 1)[0], type=Metadata)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CorruptStructure(
            "the JSON area of the LUKS2 header cannot be read", where=device.name, offset=at + 4096
        ) from error
    return Luks2(
        "secondary" if at else "primary",
        sequence,
        size,
        _text(label),
        _text(subsystem),
        name,
        raw[448 : 448 + len(digest)] == digest,
        metadata,
    )


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
