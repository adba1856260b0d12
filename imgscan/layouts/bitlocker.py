"""BitLocker's boot sector and its FVE metadata blocks, as far as they tell without a key.

Source: J. Metz, "BitLocker Drive Encryption (BDE) format" (libbde documentation); the states of the block's header as
dislocker and cryptsetup (lib/bitlk) name them. Numbers are little-endian, offsets and sizes in bytes.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import KIB
from imgscan.errors import CorruptStructure, ImageError

SIGNATURE: Final = b"-FVE-FS-"
_GUIDS: Final = frozenset({"4967d63b-2e29-4ad8-8399-f6a339e3d001", "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8"})
"""Identifiers in the boot sector: the usual one, and that of volumes that are encrypted as they are written."""
_METADATA_BYTES: Final = 64 * KIB
_BLOCK: Final = struct.Struct("<8s4HQ2I3QQ")
_ENTRIES: Final = struct.Struct("<4I16sIIQ")
VISTA, SEVEN = 1, 2
MASTER_KEY, DESCRIPTION = 2, 7
"""Types of metadata entries."""
_UNICODE, _KEY_OF_VOLUME = 2, 8
CLEAR_KEY: Final = 0x0000
STATES: Final = {1: "decrypted", 2: "converting", 4: "encrypted", 5: "conversion paused"}
METHODS: Final = {
    0x8000: "aes-cbc-128 with diffuser",
    0x8001: "aes-cbc-256 with diffuser",
    0x8002: "aes-cbc-128",
    0x8003: "aes-cbc-256",
    0x8004: "aes-xts-128",
    0x8005: "aes-xts-256",
}
PROTECTORS: Final = {
    0x0000: "clear key",
    0x0100: "TPM",
    0x0200: "startup key",
    0x0300: "TPM and startup key",
    0x0500: "TPM and PIN",
    0x0700: "TPM, PIN and startup key",
    0x0800: "recovery password",
    0x1000: "smart card or certificate",
    0x2000: "password",
}


class BitLockerVolume(msgspec.Struct, frozen=True):
    """What a BitLocker volume tells. `encrypted` is how many bytes are (so far); `protectors` the types of its keys.

    `state` and `next_state` are as in `STATES`; `blocks` is how many of the three metadata blocks could be read.
    """

    kind: str
    version: int
    state: int
    next_state: int
    encrypted: int
    size: int | None
    identifier: str
    method: int
    created: int
    protectors: tuple[int, ...]
    description: str | None
    blocks: int


def read_volume(device: BlockDevice) -> BitLockerVolume:
    """Return what the boot sector and the first good metadata block say.

    :raises CorruptStructure: no metadata block can be
    """
    sector = device.read_at(0, 512)
    kind, places = _places(sector)
    lost: ImageError | None = None
    found: list[BitLockerVolume] = []
    (sectors,) = struct.unpack_from("<Q", sector, 0x28)
    (unit,) = struct.unpack_from("<H", sector, 0x0B)
    for at in places:
        try:
            found.append(_read_block(device, at, kind, sectors * unit or None))
        except ImageError as error:
            lost = lost or error
    if not found:
        raise lost or CorruptStructure("the boot sector names no BitLocker metadata", where=device.name, offset=0)
    return msgspec.structs.replace(found[0], blocks=len(found))


def _places(sector: bytes) -> tuple[str, tuple[int, ...]]:
    """Return which kind of volume it is, and where its metadata blocks lie."""
    to_go = str(uuid.UUID(bytes_le=sector[424:440]))
    if to_go in _GUIDS:
        return "BitLocker To Go", struct.unpack_from("<3Q", sector, 440)
    if str(uuid.UUID(bytes_le=sector[160:176])) in _GUIDS:
        return "Windows 7 or later", struct.unpack_from("<3Q", sector, 176)
    unit, cluster = struct.unpack_from("<HB", sector, 0x0B)
    (first,) = struct.unpack_from("<Q", sector, 0x38)
    return "Windows Vista", (first * unit * cluster,)


def _read_block(device: BlockDevice, at: int, kind: str, size: int | None) -> BitLockerVolume:
    raw = device.read_at(at, 112)
    signature, _, version, state, next_state, encrypted, _, _, *_ = _BLOCK.unpack_from(raw)
    length, _, header, _, identifier, _, method, created = _ENTRIES.unpack_from(raw, 64)
    if signature != SIGNATURE or version not in {VISTA, SEVEN} or not 48 <= header <= length <= _METADATA_BYTES:
        raise CorruptStructure("a BitLocker metadata block cannot be", where=device.name, offset=at)
    entries = device.read_at(at + 64 + header, length - header)
    protectors: list[int] = []
    description = None
    for kind_of_entry, value, data in _entries(entries):
        if kind_of_entry == MASTER_KEY and value == _KEY_OF_VOLUME and len(data) >= 28:
            protectors.append(struct.unpack_from("<H", data, 26)[0])
        elif kind_of_entry == DESCRIPTION and value == _UNICODE:
            description = data[: len(data) & ~1].decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
    return BitLockerVolume(
        kind,
        version,
        state,
        next_state,
        encrypted,
        size,
        str(uuid.UUID(bytes_le=identifier)),
        method & 0xFFFF,
        created,
        tuple(protectors),
        description,
        1,
    )


def _entries(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, value type and data of each metadata entry."""
    at = 0
    while at + 8 <= len(raw):
        size, kind, value, _ = struct.unpack_from("<4H", raw, at)
        if size < 8 or at + size > len(raw):
            return
        yield kind, value, raw[at + 8 : at + size]
        at += size
