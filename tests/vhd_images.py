"""VHD files built from the Virtual Hard Disk Image Format Specification 1.0 with `struct` alone."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

BLOCK = 2 << 20
UNIQUE_ID = bytes(range(16))
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
BAT_OFFSET = 512 + 1024


def checksum(data: bytes | bytearray, at: int) -> int:
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFFFFFF


def footer(
    size: int,
    kind: int,
    unique_id: bytes = UNIQUE_ID,
    *,
    timestamp: int = 1234,
    saved: bool = False,
    geometry: tuple[int, int, int] = (100, 4, 17),
    application: bytes = b"win ",
) -> bytearray:
    data = bytearray(512)
    struct.pack_into(
        ">8sIIQI4sHH4sQQHBBII16sB",
        data,
        0,
        *(b"conectix", 2, 0x10000, 512 if kind != FIXED else (1 << 64) - 1, timestamp, application, 6, 1, b"Wi2k"),
        *(size, size, *geometry, kind, 0, unique_id, saved),
    )
    return seal_footer(data)


def seal_footer(data: bytearray) -> bytearray:
    struct.pack_into(">I", data, 64, checksum(data, 64))
    return data


def seal_header(image: bytearray, at: int = 512) -> None:
    struct.pack_into(">I", image, at + 36, checksum(image[at : at + 1024], 36))


@dataclass
class Vhd:
    """A dynamic, or with `parent_id` a differencing disk. `blocks` maps a block to its data, `present` to the sectors
    whose bits are set (all when it is not there), `locators` a platform code to the name as stored.
    """

    size: int
    blocks: dict[int, bytes] = field(default_factory=dict)
    present: dict[int, set[int]] = field(default_factory=dict)
    block_size: int = BLOCK
    unique_id: bytes = UNIQUE_ID
    parent_id: bytes | None = None
    parent_timestamp: int = 0
    parent_name: str = ""
    locators: dict[bytes, bytes] = field(default_factory=dict)
    timestamp: int = 1234

    def build(self) -> bytearray:
        kind = DYNAMIC if self.parent_id is None else DIFFERENCING
        end = footer(self.size, kind, self.unique_id, timestamp=self.timestamp)
        entries = -(-self.size // self.block_size)
        table = [0xFFFFFFFF] * entries
        header = bytearray(1024)
        struct.pack_into(
            ">8sQQIIII16sI4x512s",
            header,
            0,
            *(b"cxsparse", (1 << 64) - 1, BAT_OFFSET, 0x10000, entries, self.block_size, 0),
            *(self.parent_id or bytes(16), self.parent_timestamp, self.parent_name.encode("utf-16-be")),
        )
        image = bytearray(BAT_OFFSET + -(-4 * entries // 512) * 512)
        for number, (platform, name) in enumerate(self.locators.items()):
            struct.pack_into(">4sII4xQ", header, 576 + 24 * number, platform, 512, len(name), len(image))
            image += name.ljust(512, b"\0")
        image[:512] = end
        image[512 : 512 + 1024] = header
        seal_header(image)
        sectors = self.block_size // 512
        bitmap_size = -(-sectors // 8 // 512) * 512 or 512
        for block, data in self.blocks.items():
            table[block] = len(image) // 512
            bitmap = bytearray(bitmap_size)
            for sector in self.present.get(block, range(sectors)):
                bitmap[sector // 8] |= 0x80 >> sector % 8  # the most significant bit is the first sector
            image += bitmap + data.ljust(self.block_size, b"\0")
        struct.pack_into(f">{entries}I", image, BAT_OFFSET, *table)
        return image + end
