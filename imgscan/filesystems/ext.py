"""The ext2/3/4 superblock and directory blocks. TSK gives neither as it is on disk.

Source: the Linux kernel's Documentation/filesystems/ext4 (directory.rst, super.rst, group_descr.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure
from imgscan.layouts.crc32c import crc32c
from imgscan.model.volume import Free

SUPERBLOCK_OFFSET: Final = 1024
SUPERBLOCK_SIZE: Final = 1024
DESCRIPTOR_BYTES: Final = 1 * MIB
"""Group descriptors that are summed when the superblock's counters are not up to date (a 2 TiB filesystem's)."""

_DIRENT: Final = struct.Struct("<IHBB")
_INCOMPAT_RECOVER, _INCOMPAT_META_BG, _INCOMPAT_EXTENTS, _INCOMPAT_64BIT = 0x4, 0x10, 0x40, 0x80
_RO_COMPAT_BIGALLOC, _RO_COMPAT_METADATA_CSUM = 0x200, 0x400
_CHECKSUM_AT: Final = 1020
"""Where the superblock's CRC-32C stands, over what is before it; without it the kernel does not mount."""
_STATE_VALID, _STATE_ERROR = 1, 2
_MAGIC: Final = 0xEF53


def directory_block(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield inode and name of every entry in one directory block; names are bytes as stored.

    The nodes of a hash tree and the checksum tail look like one entry without an inode.

    :raises CorruptStructure: an entry contradicts itself or the block (no place is named: the caller knows it); where
        its length is not in doubt, at the end
    """
    position = 0
    damage: CorruptStructure | None = None
    while position + _DIRENT.size <= len(block):
        inode, length, name_length, _ = _DIRENT.unpack_from(block, position)
        if len(block) >= 65536:  # a length of 65536 does not fit the field: rec_len_from_disk in the kernel
            length = len(block) if length in {0, 65535} else (length & 65532) | ((length & 3) << 16)
        if length < 8 or length % 4 or position + length > len(block):
            raise damage or CorruptStructure(
                f"the entry at byte {position} of a directory block has the length {length}"
            )
        if 8 + name_length > length:
            damage = damage or CorruptStructure(
                f"the name in the entry at byte {position} of a directory block is {name_length} bytes long"
            )
        elif inode:
            yield inode, block[position + 8 : position + 8 + name_length]
        position += length
    if damage is not None:
        raise damage


class Superblock(msgspec.Struct, frozen=True):
    """The superblock's fields that say how full the filesystem is and how it was left. Sizes in bytes."""

    block_size: int
    cluster_size: int
    blocks: int
    reserved_blocks: int
    free_clusters: int
    free_inodes: int
    groups: int
    descriptor_size: int
    first_block: int
    inodes_per_group: int
    inode_size: int
    first_scattered: int
    state: int
    has_journal_to_replay: bool
    has_extents: bool
    has_scattered_descriptors: bool
    is_checksum_good: bool = True

    @property
    def descriptor_table(self) -> int:
        """Where the group descriptors begin, in bytes."""
        return (self.first_block + 1) * self.block_size

    @property
    def are_descriptors_scattered(self) -> bool:
        """Whether some group descriptors lie elsewhere than in the table (meta_bg)."""
        in_table = self.first_scattered * self.block_size // self.descriptor_size
        return self.has_scattered_descriptors and in_table < self.groups

    @property
    def is_clean(self) -> bool:
        """Whether it was unmounted properly, so that the counters are up to date."""
        return bool(self.state & _STATE_VALID) and not self.has_journal_to_replay

    @property
    def condition(self) -> str:
        """`clean`, or what is wrong: damage, `errors`; `journal not replayed` or `not cleanly unmounted`."""
        wrong = [] if self.is_checksum_good else ["damaged superblock (its checksum does not fit)"]
        if self.state & _STATE_ERROR:
            wrong.append("errors")
        if self.has_journal_to_replay:
            wrong.append("journal not replayed")
        elif not self.state & _STATE_VALID:
            wrong.append("not cleanly unmounted")
        return "; ".join(wrong) or "clean"


def read_superblock(device: BlockDevice, volume: str) -> Superblock:
    """Read the primary superblock.

    :raises CorruptStructure: its sizes cannot be
    """
    raw = device.read_at(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
    _, blocks, reserved, free, free_inodes, first, log_block, log_cluster, per_group = struct.unpack_from("<9I", raw)
    (magic, state) = struct.unpack_from("<2H", raw, 56)
    (inodes_per_group,) = struct.unpack_from("<I", raw, 40)
    (revision, inode_size, first_scattered) = struct.unpack_from("<I8xH170xI", raw, 76)
    if magic != _MAGIC:
        raise CorruptStructure("there is no ext superblock", where=volume, offset=SUPERBLOCK_OFFSET)
    inode_size = inode_size if revision else 128
    if not 128 <= inode_size <= 65536 or inode_size % 4 or not inodes_per_group:
        raise CorruptStructure("the ext superblock's inode sizes cannot be", where=volume, offset=SUPERBLOCK_OFFSET)
    incompat, ro_compat = struct.unpack_from("<2I", raw, 96)
    if log_block > 6 or log_cluster > 20 or not per_group:
        raise CorruptStructure(
            "the ext superblock's block size or group size cannot be", where=volume, offset=SUPERBLOCK_OFFSET
        )
    descriptor_size = 32
    if incompat & _INCOMPAT_64BIT:
        (descriptor_size,) = struct.unpack_from("<H", raw, 254)
        blocks_high, reserved_high, free_high = struct.unpack_from("<3I", raw, 0x150)
        blocks, reserved, free = blocks | blocks_high << 32, reserved | reserved_high << 32, free | free_high << 32
    block_size = 1024 << log_block
    return Superblock(
        block_size=block_size,
        cluster_size=1024 << log_cluster if ro_compat & _RO_COMPAT_BIGALLOC else block_size,
        blocks=blocks,
        reserved_blocks=reserved,
        free_clusters=free,
        free_inodes=free_inodes,
        groups=max(0, -(-(blocks - first) // per_group)),
        descriptor_size=max(32, descriptor_size),
        first_block=first,
        inodes_per_group=inodes_per_group,
        inode_size=inode_size,
        first_scattered=first_scattered,
        state=state,
        has_journal_to_replay=bool(incompat & _INCOMPAT_RECOVER),
        has_extents=bool(incompat & _INCOMPAT_EXTENTS),
        has_scattered_descriptors=bool(incompat & _INCOMPAT_META_BG),
        is_checksum_good=not ro_compat & _RO_COMPAT_METADATA_CSUM or _is_checksum_good(raw),
    )


def _is_checksum_good(raw: bytes) -> bool:
    """Whether a superblock with a checksum has the right one; CRC-32C is the only kind that there is."""
    return int.from_bytes(raw[_CHECKSUM_AT:], "little") == crc32c(raw[:_CHECKSUM_AT]) ^ 0xFFFF_FFFF


def free_space(device: BlockDevice, volume: str) -> Free:
    """Return the free space as df shows it for a mounted filesystem (`ext4_statfs` in the kernel).

    The superblock's counters are exact after a clean unmount; else those of the groups are summed, as a mount does.
    """
    block = read_superblock(device, volume)
    clusters, inodes = block.free_clusters, block.free_inodes
    table = block.groups * block.descriptor_size
    if not block.is_clean and not block.has_scattered_descriptors and table <= DESCRIPTOR_BYTES:
        clusters, inodes = _sum_groups(device.read_at(block.descriptor_table, table), block.descriptor_size)
    ratio = block.cluster_size // block.block_size
    # The kernel keeps clusters back for metadata of delayed allocation (ext4_calculate_resv_clusters).
    kept = min(block.blocks // ratio // 50, 4096) * ratio if block.has_extents else 0
    free_blocks = clusters * ratio
    available = max(0, free_blocks - block.reserved_blocks - kept)
    if free_blocks > block.blocks:
        raise CorruptStructure(
            "the ext superblock counts more free blocks than there are", where=volume, offset=SUPERBLOCK_OFFSET
        )
    return Free(free_blocks * block.block_size, available * block.block_size, inodes)


def _sum_groups(table: bytes, size: int) -> tuple[int, int]:
    """Return free clusters and free inodes over all group descriptors."""
    clusters = inodes = 0
    for position in range(0, len(table), size):
        low_clusters, low_inodes = struct.unpack_from("<2H", table, position + 12)
        high_clusters = high_inodes = 0
        if size >= 64:
            high_clusters, high_inodes = struct.unpack_from("<2H", table, position + 0x2C)
        clusters += low_clusters | high_clusters << 16
        inodes += low_inodes | high_inodes << 16
    return clusters, inodes
