"""Disks that look partitioned and are members of a RAID as a whole: what lies on them belongs to the RAID.

Metadata at the end leaves a partition table of the RAID where a disk has its own (MD 0.90 and 1.0, RAID by firmware).
"""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.superblocks.firmware_raid import at_the_end
from imgscan.layouts.superblocks.members import linux_raid_at_end
from imgscan.layouts.superblocks.superblock import Superblock, Window
from imgscan.model.disk import PartitionTable


class RaidDisk(msgspec.Struct, frozen=True):
    """What is at the end of a disk that has a partition table.

    `is_array_member`: the disk as a whole is a member of an MD array, so that the partitions are the array's.
    `firmware` is the metadata of a controller's RAID, by libblkid's name and its place, None where there is none.
    """

    is_array_member: bool
    firmware: Superblock | None


def look_at_end(device: BlockDevice, table: PartitionTable) -> RaidDisk:
    """Look for RAID metadata at the end of a partitioned disk; what cannot be read there is taken for none.

    The MD superblock of a last partition that reaches to the disk's end may stand where the disk's own would: it counts
    for the partition. Places where only Promise's metadata could be are left out: they are many.
    """
    window = Window(device)
    try:
        array = linux_raid_at_end(window)
        return RaidDisk(array is not None and not _is_of_partition(array.offset, table), at_the_end(window))
    except ImageError:
        return RaidDisk(False, None)


def _is_of_partition(offset: int, table: PartitionTable) -> bool:
    return any(
        part.start <= offset < part.start + part.size and part.start + (part.size & ~0xFFFF) - 0x10000 == offset
        for part in table.partitions
    )
