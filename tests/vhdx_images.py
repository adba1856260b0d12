"""VHDX files built from [MS-VHDX] with `struct` alone: nothing of imgscan is used, so that the two can disagree."""

from __future__ import annotations

import functools
import operator
import struct
import uuid
from dataclasses import dataclass, field

MIB = 1 << 20
BAT_OFFSET, LOG_OFFSET, METADATA_OFFSET = 3 * MIB, 1 * MIB, 2 * MIB
DATA_GUID = "{11111111-2222-3333-4444-555555555555}"
LOG_GUID = "{aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee}"
NO_GUID = "{00000000-0000-0000-0000-000000000000}"
BAT, METADATA = "{2DC27766-F623-4200-9D64-115E9BFD4A08}", "{8B7CA206-4790-4B9A-B8FE-575F050F886E}"
FILE_PARAMETERS, DISK_SIZE = "{CAA16737-FA36-4D43-B3B6-33F0AA44E76B}", "{2FA54224-CD1B-4876-B211-5DBED83BF4B8}"
DISK_ID, LOGICAL = "{BECA12AB-B2E6-4523-93EF-C309E000C746}", "{8141BF1D-A96F-4709-BA47-F233A8FAAB5F}"
PHYSICAL, LOCATOR = "{CDA348C7-445D-4471-9CC9-E9885251C556}", "{A8D35F2D-B30B-454D-ABF7-D3D84834AB0C}"
LOCATOR_TYPE = "{B04AEFB7-D19E-4A81-B789-25B8E9445913}"
NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULL, PARTIAL = 0, 1, 2, 3, 6, 7


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    used = data.rstrip(b"\0")
    for byte in used:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    blocks, rest = divmod(len(data) - len(used), 4096)
    for _ in range(blocks):
        crc = functools.reduce(operator.xor, (_past_zeros(1 << bit) for bit in range(32) if crc >> bit & 1), 0)
    for _ in range(rest):
        crc = _TABLE[crc & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _past_zeros(crc: int) -> int:
    """Return the register after 4096 zero bytes: linear in its bits, so that 32 answers are all there are."""
    for _ in range(4096):
        crc = _TABLE[crc & 0xFF] ^ crc >> 8
    return crc


def seal(image: bytearray, at: int, length: int) -> None:
    """Write the CRC-32C of a header (4 KiB), region table (64 KiB) or log entry at byte 4 of it."""
    image[at + 4 : at + 8] = bytes(4)
    struct.pack_into("<I", image, at + 4, crc32c(bytes(image[at : at + length])))


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


@dataclass
class Vhdx:
    """What to build. `blocks` maps a block to its state and data; `present` to the sectors a partial block holds."""

    size: int
    block_size: int = MIB
    sector: int = 512
    blocks: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    present: dict[int, set[int]] = field(default_factory=dict)
    parent: dict[str, str] | None = None
    fixed: bool = False
    data_guid: str = DATA_GUID
    log_guid: str = NO_GUID
    log_length: int = MIB
    extra_items: list[tuple[str, bytes, int]] = field(default_factory=list)
    extra_regions: list[tuple[str, int, int, int]] = field(default_factory=list)

    @property
    def ratio(self) -> int:
        return (1 << 23) * self.sector // self.block_size

    def build(self) -> bytearray:
        bat = self._bat()
        bat_length = -(-len(bat) // MIB) * MIB
        image = bytearray(BAT_OFFSET + bat_length)
        image[0:8] = b"vhdxfile"
        image[8:24] = "builder\0".encode("utf-16-le")
        for at, sequence in ((64 << 10, 7), (128 << 10, 8)):
            header = struct.pack(
                "<4sIQ16s16s16sHHIQ",
                *(b"head", 0, sequence, guid(DATA_GUID), guid(self.data_guid), guid(self.log_guid)),
                *(0, 1, self.log_length, LOG_OFFSET),
            )
            image[at : at + len(header)] = header
            seal(image, at, 4096)
        regions = [(BAT, BAT_OFFSET, bat_length, 1), (METADATA, METADATA_OFFSET, MIB, 1), *self.extra_regions]
        for at in (192 << 10, 256 << 10):
            struct.pack_into("<4sII", image, at, b"regi", 0, len(regions))
            for number, (name, offset, length, flags) in enumerate(regions):
                struct.pack_into("<16sQII", image, at + 16 + 32 * number, guid(name), offset, length, flags)
            seal(image, at, 65536)
        self._write_metadata(image)
        for entry, data in bat.placed:
            offset = len(image)
            image += data
            struct.pack_into("<Q", bat.table, 8 * entry[0], offset | entry[1])
        image[BAT_OFFSET : BAT_OFFSET + len(bat)] = bat.table
        return image

    def _bat(self) -> _Bat:
        blocks = -(-self.size // self.block_size)
        chunks = -(-blocks // self.ratio)
        count = chunks * (self.ratio + 1) if self.parent is not None else blocks + (blocks - 1) // self.ratio
        bat = _Bat(bytearray(8 * count))
        for block, (state, data) in self.blocks.items():
            at = block + block // self.ratio
            if state in {FULL, PARTIAL}:
                bat.placed.append(((at, state), data.ljust(self.block_size, b"\0")))
            else:
                struct.pack_into("<Q", bat.table, 8 * at, state)
        bits = self.block_size // self.sector
        for chunk in sorted({block // self.ratio for block in self.present}):
            bitmap = bytearray(MIB)
            for block, sectors in self.present.items():
                if block // self.ratio == chunk:
                    for sector in sectors:
                        bit = block % self.ratio * bits + sector
                        bitmap[bit // 8] |= 1 << bit % 8  # the least significant bit is the first sector
            bat.placed.append(((chunk * (self.ratio + 1) + self.ratio, 6), bytes(bitmap)))
        return bat

    def _write_metadata(self, image: bytearray) -> None:
        flags = (1 if self.fixed else 0) | (2 if self.parent is not None else 0)
        items = [
            (FILE_PARAMETERS, struct.pack("<II", self.block_size, flags), 4),
            (DISK_SIZE, struct.pack("<Q", self.size), 6),
            (DISK_ID, guid(DATA_GUID), 6),
            (LOGICAL, struct.pack("<I", self.sector), 6),
            (PHYSICAL, struct.pack("<I", 4096), 6),
            *self.extra_items,
        ]
        if self.parent is not None:
            items.append((LOCATOR, locator(self.parent), 4))
        struct.pack_into("<8s2xH", image, METADATA_OFFSET, b"metadata", len(items))
        offset = 65536
        for number, (item, data, item_flags) in enumerate(items):
            at = METADATA_OFFSET + 32 * (number + 1)
            struct.pack_into("<16sIII", image, at, guid(item), offset, len(data), item_flags)
            image[METADATA_OFFSET + offset : METADATA_OFFSET + offset + len(data)] = data
            offset += -(-len(data) // 4096) * 4096


class _Bat:
    def __init__(self, table: bytearray) -> None:
        self.table = table
        self.placed: list[tuple[tuple[int, int], bytes]] = []

    def __len__(self) -> int:
        return len(self.table)


def locator(keys: dict[str, str]) -> bytes:
    table, texts = b"", b""
    base = 20 + 12 * len(keys)
    for key, value in keys.items():
        name, text = key.encode("utf-16-le"), value.encode("utf-16-le")
        table += struct.pack("<IIHH", base + len(texts), base + len(texts) + len(name), len(name), len(text))
        texts += name + text
    return guid(LOCATOR_TYPE) + struct.pack("<HH", 0, len(keys)) + table + texts


Write = tuple[int, bytes] | tuple[int, int]
"""A write of the log: an offset and either 4 KiB of data, or a number of zero bytes."""


def log_entry(sequence: int, tail: int, writes: list[Write], file_size: int, log_guid: str = LOG_GUID) -> bytearray:
    """Build a log entry ([MS-VHDX] 2.3.1)."""
    descriptors, sectors = b"", b""
    for offset, what in writes:
        if isinstance(what, int):
            descriptors += struct.pack("<4sIQQQ", b"zero", 0, what, offset, sequence)
        else:
            assert len(what) == 4096
            descriptors += struct.pack("<4s4s8sQQ", b"desc", what[-4:], what[:8], offset, sequence)
            sectors += struct.pack("<4sI", b"data", sequence >> 32) + what[8:-4]
            sectors += struct.pack("<I", sequence & 0xFFFFFFFF)
    front = -(-(64 + len(descriptors)) // 4096) * 4096
    header = struct.pack(
        "<4sIIIQI4x16sQQ",
        *(b"loge", 0, front + len(sectors), tail, sequence, len(writes), guid(log_guid), file_size, file_size),
    )
    entry = bytearray((header + descriptors).ljust(front, b"\0") + sectors)
    seal(entry, 0, len(entry))
    return entry


def put_log(image: bytearray, entries: list[tuple[int, bytearray]], log_offset: int, log_length: int) -> None:
    """Put entries at their offsets in the ring of the log."""
    for at, entry in entries:
        first = min(len(entry), log_length - at)
        image[log_offset + at : log_offset + at + first] = entry[:first]
        image[log_offset : log_offset + len(entry) - first] = entry[first:]


def set_log_guid(image: bytearray, text: str = LOG_GUID) -> None:
    """Say in both headers that the log is not empty."""
    for at in (64 << 10, 128 << 10):
        image[at + 48 : at + 64] = guid(text)
        seal(image, at, 4096)
