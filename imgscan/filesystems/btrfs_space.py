"""Free space of a Btrfs as df shows it after a mount: what `btrfs_statfs` of Linux 6 computes.

How much a volume can still take depends on chunks that are not made yet. The kernel assumes that they get the profile
of the data chunks that there are, and counts a reserve for metadata as used; both are done here after it
(fs/btrfs/super.c, block-rsv.c, and the table of profiles in volumes.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from imgscan.devices.limits import MIB
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import BlockGroup, DeviceItem, Superblock
from imgscan.model.volume import Free

_ORDER: Final = (
    0, btrfs.RAID0, btrfs.RAID1, btrfs.DUP, btrfs.RAID10, btrfs.RAID5, btrfs.RAID6, btrfs.RAID1C3, btrfs.RAID1C4,
)  # fmt: skip
"""Profiles as the kernel numbers them: of several the last one's factor counts."""
_PREFERRED: Final = (
    btrfs.RAID1C4, btrfs.RAID6, btrfs.RAID1C3, btrfs.RAID5, btrfs.RAID10, btrfs.RAID1, btrfs.DUP, btrfs.RAID0,
)  # fmt: skip
"""Of several profiles that are in use the first one gets the next chunk."""
_DEVICES_NEEDED: Final = {
    0: 1, btrfs.RAID0: 1, btrfs.RAID1: 2, btrfs.DUP: 1, btrfs.RAID10: 2, btrfs.RAID5: 2, btrfs.RAID6: 3,
    btrfs.RAID1C3: 3, btrfs.RAID1C4: 4,
}  # fmt: skip
_MIRRORED: Final = btrfs.PROFILES & ~btrfs.RAID0
_RESERVED_ON_DEVICE: Final = 1 * MIB
_UNLINK_UNITS: Final = 7
_LEVELS: Final = 8
_MOST_RESERVED: Final = 512 * MIB
_FULL_METADATA: Final = 4 * MIB


class Group(msgspec.Struct, frozen=True):
    """A block group: its length and what is used of it, in bytes, and its chunk's type."""

    length: int
    block_group: BlockGroup


def free_space(
    superblock: Superblock,
    groups: Sequence[Group],
    devices: Iterable[DeviceItem],
    trees: Mapping[int, int],
) -> Free:
    """Return the free space.

    `devices` are those that are there; `trees` is how many bytes each tree uses that metadata is reserved for.
    """
    devices = list(devices)
    data = [group for group in groups if group.block_group.type & btrfs.DATA]
    in_use = {group.block_group.type & btrfs.PROFILES for group in data}
    factor = next((btrfs.COPIES[profile] for profile in reversed(_ORDER) if profile in in_use), 1)
    profile = _next_profile(in_use, len(devices))
    closed = {0, btrfs.RAID0} if profile & _MIRRORED else set()
    free_data = sum(
        (group.length - group.block_group.used) * _copies(group)
        for group in data
        if group.block_group.type & btrfs.PROFILES not in closed
    )
    used = sum(group.block_group.used * _copies(group) for group in groups)
    sector = superblock.sector_size
    blocks = superblock.total_bytes // factor // sector
    free = max(0, blocks - used // factor // sector)
    free = max(0, free - _reserve(superblock, trees) // sector)
    available = (free_data // factor + _allocatable(devices, profile) // factor) // sector
    return Free(free * sector, max(0, available) * sector, None)


def _copies(group: Group) -> int:
    return btrfs.COPIES.get(group.block_group.type & btrfs.PROFILES, 1)


def _next_profile(in_use: set[int], device_count: int) -> int:
    """Return the profile of the next data chunk."""
    possible = {profile for profile in in_use if device_count >= _DEVICES_NEEDED.get(profile, 1)}
    return next((profile for profile in _PREFERRED if profile in possible), 0)


def _reserve(superblock: Superblock, trees: Mapping[int, int]) -> int:
    """Return the size of the kernel's global block reserve: what these trees use, or room for one deletion."""
    has_free_space_tree = superblock.compat_ro & btrfs.FREE_SPACE_TREE_COMPAT_RO
    units = 1 + _UNLINK_UNITS + _UNLINK_UNITS * (2 if has_free_space_tree else 1)
    return min(max(sum(trees.values()), superblock.node_size * _LEVELS * 2 * units), _MOST_RESERVED)


def _allocatable(devices: Iterable[DeviceItem], profile: int) -> int:
    """Return how many bytes new chunks of a profile could take, all copies counted."""
    stripe = btrfs.STRIPE_BYTES * (2 if profile == btrfs.DUP else 1)
    room: list[int] = []
    for device in devices:
        left = max(0, device.size - device.used) // btrfs.STRIPE_BYTES * btrfs.STRIPE_BYTES
        if left > _RESERVED_ON_DEVICE + stripe:
            room.append(left - _RESERVED_ON_DEVICE)
    room.sort(reverse=True)
    stripes = 1
    if profile == btrfs.RAID0:
        stripes = len(room)
    elif profile in {btrfs.RAID1, btrfs.RAID1C3, btrfs.RAID1C4}:
        stripes = btrfs.COPIES[profile]
    elif profile == btrfs.RAID10:
        stripes = 4
    total = 0
    while room and len(room) >= _DEVICES_NEEDED[profile]:
        stripes = min(stripes, len(room))
        taken = room[-1]
        if taken >= stripe:
            total += taken * stripes
            for at in range(len(room) - stripes, len(room)):
                room[at] -= taken
        room.pop()
    return total
