"""The superblock that device-mapper's RAID target keeps beside each image, and MD's numbers for its layouts.

Sources: Linux, drivers/md/dm-raid.c (struct dm_raid_superblock, the table raid_types) and drivers/md/raid5.h (the
ALGORITHM names). Little-endian.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

SUPERBLOCK_BYTES: Final = 512
IN_SYNC: Final = (1 << 64) - 1
_MAGIC: Final = 0x64526D44  # "DmRd"
_VERSION_190: Final = 1


class RaidSuperblock(msgspec.Struct, frozen=True):
    """`recovered` and `resynced` are how many sectors of the image, and of the array, are in sync (`IN_SYNC`: all).

    `failed` has a bit for each image that failed. `data_offset` is where the image's data begins, in sectors;
    `is_reshaping` is whether the layout is being changed.
    """

    devices: int
    position: int
    events: int
    failed: int
    recovered: int
    resynced: int
    data_offset: int
    is_reshaping: bool


def parse_superblock(data: bytes) -> RaidSuperblock | None:
    """Return the superblock, None when there is none."""
    if len(data) < SUPERBLOCK_BYTES:
        return None
    magic, features, devices, position, events, failed, recovered, resynced = struct.unpack_from("<4I4Q", data)
    if magic != _MAGIC:
        return None
    data_offset, flags = 0, 0
    if features & _VERSION_190:
        (flags,) = struct.unpack_from("<I", data, 60)
        (data_offset,) = struct.unpack_from("<Q", data, 96)
        for number, extended in enumerate(struct.unpack_from("<3Q", data, 120), 1):
            failed |= extended << 64 * number
    return RaidSuperblock(devices, position, events, failed, recovered, resynced, data_offset, bool(flags & 1))


MD_LAYOUTS: Final[dict[str, tuple[int, int]]] = {
    "4": (5, 4), "5": (5, 2), "5_0": (5, 4), "5_n": (5, 5), "5_la": (5, 0), "5_ra": (5, 1), "5_ls": (5, 2),
    "5_rs": (5, 3), "6": (6, 8), "6_zr": (6, 8), "6_nr": (6, 9), "6_nc": (6, 10), "6_la_6": (6, 16), "6_ra_6": (6, 17),
    "6_ls_6": (6, 18), "6_rs_6": (6, 19), "6_0_6": (6, 20), "6_n_6": (6, 21),
}  # fmt: skip
"""Level and layout as MD numbers them, by LVM's segment type without `raid`; LVM's RAID 4 has its parity first."""
