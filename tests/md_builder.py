"""MD superblocks of versions 1.2 and 1.0 put together by hand, where no kernel makes an array: mirrors around a volume.

Fields as in include/uapi/linux/raid/md_p.h; `mdadm --examine` says that they are right (tests/volumes/test_mdraid.py).
"""

from __future__ import annotations

import struct
import uuid

DATA_OFFSET = 64 * 1024
IDENTITY = uuid.UUID("5eed5eed-0000-4000-8000-00000000a44a")


def mirror(
    volume: bytes, devices: int = 2, name: str = "tester:0", events: int = 17, *, at_end: bool = False
) -> list[bytes]:
    """Return the members of a RAID 1 that holds a volume; with its metadata `at_end`, where version 1.0 has it."""
    if at_end:
        # in the last 8 to 12 KiB of a member
        return [
            volume + _superblock(len(volume), index, devices, name, events, 0, len(volume)) + bytes(8192 - 4096)
            for index in range(devices)
        ]
    heads = [_superblock(len(volume), index, devices, name, events, DATA_OFFSET, 4096) for index in range(devices)]
    return [bytes(4096) + head.ljust(DATA_OFFSET - 4096, b"\0") + volume for head in heads]


def _superblock(size: int, index: int, devices: int, name: str, events: int, data: int, place: int) -> bytes:
    """Return the 4 KiB at byte `place` of a member whose data begin at byte `data`."""
    block = bytearray(256 + 2 * 384)
    struct.pack_into("<4I16s32s", block, 0, 0xA92B4EFC, 1, 0, 0, IDENTITY.bytes, name.encode())
    struct.pack_into("<QIIQII", block, 64, 1_700_000_000, 1, 0, size // 512, 0, devices)
    struct.pack_into("<QQQQII", block, 128, data // 512, size // 512, place // 512, 0, index, 0)
    block[168:184] = uuid.uuid5(IDENTITY, str(index)).bytes
    struct.pack_into("<QQQII", block, 192, 1_700_000_001, events, 0xFFFF_FFFF_FFFF_FFFF, 0, 384)
    struct.pack_into("<384H", block, 256, *range(devices), *[0xFFFF] * (384 - devices))
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFF_FFFF) + (total >> 32) & 0xFFFF_FFFF)
    return bytes(block).ljust(4096, b"\0")
