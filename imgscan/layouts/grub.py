"""GRUB's boot images on disk, for BIOS firmware.

GRUB 2: `boot.img` is the boot sector; it loads the sector at 0x5C, `diskboot.img`, whose list of blocks (12 bytes each,
from its end downwards) names the rest of the core image; that begins with the header of the decompressor, and what
it unpacks to ends in a list of modules. GRUB legacy: `stage1` loads the sector at 0x44, of stage 1.5 or stage 2.
Observed on images of grub-mkimage 2.06 and grub 0.97; the offsets are those of GRUB's manual, section "Images", and of
its public headers (offsets.h, kernel.h).
"""

from __future__ import annotations

import re
import struct

import msgspec

KERNEL_SECTOR = 0x5C
MESSAGES = b"GRUB \0Geom\0Hard Disk\0Read\0 Error"
"""What GRUB's boot sector prints, in all versions."""
OBJECT_CONFIG = 2
OBJECT_PREFIX = 3


class Blocks(msgspec.Struct, frozen=True):
    """A run of sectors of 512 bytes."""

    start: int
    length: int


def kernel_sector(sector: bytes) -> int:
    """Return the sector of the core image that a GRUB 2 boot sector loads."""
    (start,) = struct.unpack_from("<Q", sector, KERNEL_SECTOR)
    return int(start)


def is_diskboot(sector: bytes) -> bool:
    """Whether a sector is the first of a GRUB 2 core image on a disk."""
    return b"loading" in sector and b"Geom\0Read\0 Error" in sector


def core_blocks(diskboot: bytes) -> tuple[Blocks, ...]:
    """Return the list of blocks in the first sector of a core image."""
    found = []
    for at in range(512 - 12, 0x150, -12):
        start, count = struct.unpack_from("<QH", diskboot, at)
        if not count:
            break
        found.append(Blocks(start, count))
    return tuple(found)


class CoreHeader(msgspec.Struct, frozen=True):
    """The decompressor's header: sizes in bytes, `payload` where the LZMA stream begins, None when it was not found.

    `redundancy` is the size of the Reed-Solomon code behind the image, with which GRUB repairs the image when it
    starts: half as many wrong bytes as that has. It does not cover the first `unprotected` bytes, which do the repair.
    """

    compressed: int
    uncompressed: int
    redundancy: int
    unprotected: int
    payload: int | None


_LOADED_AT = 0x8200
"""Where GRUB's boot code loads the core image, behind its first sector."""
_UNPACK = re.compile(rb"\xbf\x00\x00\x10\x00\xbe(.{4})\x57\x8b\x0d\x0c\x82\x00\x00", re.DOTALL)
"""The decompressor's own code: it unpacks what lies at the address in the middle, to 1 MiB."""


def core_header(core: bytes) -> CoreHeader | None:
    """Return the header of a core image (without its first sector), None when it is too short."""
    if len(core) < 64:
        return None
    compressed, uncompressed, redundancy, unprotected = struct.unpack_from("<IIIH", core, 8)
    code = _UNPACK.search(core[:8192])
    payload = struct.unpack("<I", code[1])[0] - _LOADED_AT if code else None
    return CoreHeader(compressed, uncompressed, redundancy, unprotected, payload)


def erased_sector(core: bytes, header: CoreHeader) -> int | None:
    """Return the place of a sector of zeros in the code that must run as it is, None when there is none.

    `core` is without its first sector. Code that is repaired when it starts is left out, and so is what lies behind
    the header of a version that is not known.
    """
    end = 512
    if starts_with_jump(core):
        end = header.unprotected if header.redundancy or header.payload is None else header.payload
    end = max(512, min(end, 8192, len(core)))
    for at in range(0, end, 512):
        piece = core[at : min(at + 512, end)]
        if len(piece) >= 256 and not any(piece):  # real code has no more than a few zeros in a row
            return at
    return None


def starts_with_jump(core: bytes) -> bool:
    """Whether a core image (without its first sector) begins as GRUB 2.00 and later do: a far jump into itself."""
    opcode, target, segment = struct.unpack_from("<BHH", core)
    return bool(opcode == 0xEA and segment == 0 and _LOADED_AT < target < _LOADED_AT + 512)


def core_objects(image: bytes) -> list[tuple[int, bytes]]:
    """Return ``(type, content)`` of the objects behind an unpacked core image; a damaged list ends early."""
    at = -1
    while (at := image.find(b"mimg", at + 1)) >= 0:
        if at + 12 > len(image):
            break
        offset, size = struct.unpack_from("<II", image, at + 4)
        if not 12 <= offset <= 64 or not offset < size <= len(image) - at:
            continue
        objects, place = [], at + offset
        while place + 8 <= at + size:
            kind, length = struct.unpack_from("<II", image, place)
            if length < 8 or place + length > at + size:
                break
            objects.append((kind, image[place + 8 : place + length]))
            place += length
        if objects:
            return objects
    return []


class LegacyStage(msgspec.Struct, frozen=True):
    """GRUB legacy's stage 1.5 or 2, as its second sector describes it.

    `partition` counts from 0, None when it is that of the whole drive; `config` is the file that it reads next.
    """

    version: str
    partition: int | None
    config: str


def legacy_next_sector(sector: bytes) -> int:
    """Return the sector that GRUB legacy's stage 1 loads."""
    (start,) = struct.unpack_from("<I", sector, 0x44)
    return int(start)


def legacy_stage(second: bytes) -> LegacyStage | None:
    """Return what the second sector of stage 1.5 or stage 2 says, None when it is no such sector."""
    partition = struct.unpack_from("<I", second, 8)[0] >> 16 & 0xFF
    version, found, rest = second[0x12:0x40].partition(b"\0")
    if not found or not re.fullmatch(rb"\d+\.\d+[\w.~+-]*", version):
        return None
    start = 0x12 + len(version) + 1
    if rest[:4] == b"\xff\xff\xff\xff":  # stage 1.5: a device (this: the same) before the file's name
        start += 4
    name = second[start : start + 128].split(b"\0", 1)[0].decode("utf-8", "replace")
    return LegacyStage(version.decode("ascii"), None if partition == 0xFF else partition, name)
