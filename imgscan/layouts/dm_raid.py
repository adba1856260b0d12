"""The superblock that device-mapper's RAID target keeps beside each image, and the order of chunks on the images.

Sources: Linux, drivers/md/dm-raid.c (struct dm_raid_superblock, the table raid_types) and drivers/md/raid5.h (the
ALGORITHM names). Little-endian.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

SUPERBLOCK_BYTES: Final = 512
IN_SYNC: Final = (1 << 64) - 1
_MAGIC: Final = 0x64526D44  # "DmRd"
_VERSION_190: Final = 1


class RaidSuperblock(NamedTuple):
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


class Place(NamedTuple):
    """Where a chunk of data lies: on which image, in which row of chunks; `parity` is the image with the row's XOR."""

    image: int
    row: int
    parity: int


def parity_place(layout: str, images: int, chunk: int) -> Place:
    """Return where a chunk is in a RAID of `images` devices with parity.

    `layout` is a segment type of LVM without `raid`: `4`, `5_ls`, `6_zr`, ... (`5` and `6` are `5_ls` and `6_zr`).
    Only the XOR parity is told; RAID 6's second one is not needed to read.
    """
    six = layout.startswith("6")
    data = images - (2 if six else 1)
    row, at = divmod(chunk, data)
    if layout in {"4", "5_0", "6_0_6"}:
        return Place(at + 1, row, 0)
    if layout in {"5_n", "6_n_6"}:
        return Place(at, row, data)
    if layout in {"6", "6_zr", "6_nr"}:
        parity = row % images if layout != "6_nr" else images - 1 - (row + 1) % images
        if parity == images - 1:  # the second parity stands first then
            return Place(at + 1, row, parity)
        return Place(at if at < parity else at + 2, row, parity)
    if layout == "6_nc":
        parity = images - 1 - row % images
        return Place((parity + 1 + at) % images, row, parity)
    ring = images - 1 if six else images  # 6_ls_6 and its like are those of RAID 5, with the second parity behind
    kind = layout[2:4]
    parity = row % ring if kind in {"ra", "rs"} else ring - 1 - row % ring
    if kind in {"la", "ra"}:
        return Place(at if at < parity else at + 1, row, parity)
    return Place((parity + 1 + at) % ring, row, parity)


LAYOUTS: Final = frozenset(
    {
        "4", "5", "5_0", "5_n", "5_la", "5_ra", "5_ls", "5_rs",
        "6", "6_zr", "6_nr", "6_nc", "6_n_6", "6_0_6", "6_la_6", "6_ra_6", "6_ls_6", "6_rs_6",
    }
)  # fmt: skip
"""The layouts that `parity_place` knows."""
