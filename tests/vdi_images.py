"""VDI images built field by field, for what qemu-img does not write."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

FREE, ZERO = 0xFFFF_FFFF, 0xFFFF_FFFE
FIELDS = {
    "version": (0x44, 4),
    "header_size": (0x48, 4),
    "type": (0x4C, 4),
    "flags": (0x50, 4),
    "offset_blocks": (0x154, 4),
    "offset_data": (0x158, 4),
    "sector_size": (0x168, 4),
    "disk_size": (0x170, 8),
    "block_size": (0x178, 4),
    "block_extra": (0x17C, 4),
    "blocks": (0x180, 4),
    "blocks_allocated": (0x184, 4),
}
UUID = "11223344-5566-7788-99aa-bbccddeeff00"
UUID_BYTES = bytes.fromhex("443322116655887799aabbccddeeff00")
PARENT_UUID_BYTES = bytes(range(16))


@dataclass
class Vdi:
    """An image whose blocks are stored in reverse order.

    `blocks` holds contents by number, `entries` raw map entries, `extra` header fields that differ.
    """

    size: int
    blocks: dict[int, bytes] = field(default_factory=dict)
    block: int = 4096
    block_extra: int = 0
    type: int = 1
    entries: dict[int, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        count = -(-self.size // self.block)
        table = [FREE] * count
        data = b""
        for position, (number, content) in enumerate(sorted(self.blocks.items(), reverse=True)):
            table[number] = position
            data += b"\xee" * self.block_extra + content.ljust(self.block, b"\0")
        for number, entry in self.entries.items():
            table[number] = entry
        map_at = 512
        data_at = -(-(map_at + 4 * count) // 512) * 512
        header = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0")
        header += struct.pack(
            "<4sIIII256sII", b"\x7f\x10\xda\xbe", 0x0001_0001, 400, self.type, 0, b"", map_at, data_at
        )
        header += struct.pack("<IIIII", 0, 0, 0, 512, 0)
        header += struct.pack("<QIIII", self.size, self.block, self.block_extra, count, len(self.blocks))
        header += UUID_BYTES + bytes(16) + (PARENT_UUID_BYTES if self.type > 2 else bytes(16)) + bytes(16)
        image = bytearray(header.ljust(map_at, b"\0") + struct.pack(f"<{count}I", *table))
        image = image.ljust(data_at, b"\0") + data
        for name, value in self.extra.items():
            at, size = FIELDS[name]
            image[at : at + size] = value.to_bytes(size, "little")
        return bytes(image)
