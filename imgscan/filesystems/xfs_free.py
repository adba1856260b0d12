"""Free space of XFS as df counts it on a machine that has it mounted for writing (`xfs_fs_statfs`, Linux 5.13 to 6.18).

The kernel keeps blocks back that are free on disk: for the growth of the B+trees of every allocation group, and a pool
from which it writes when nothing else is left.
"""

from __future__ import annotations

import msgspec

from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs
from imgscan.model.volume import Free

_SET_ASIDE_PER_GROUP = 8
"""Blocks for the list of free blocks and for splits of the free space trees."""
_POOL = 8192
_TREE_HEADER = {False: 16, True: 56}
"""Of a B+tree block within an allocation group, by whether there are checksums."""


class _Group(msgspec.Struct, frozen=True):
    free: xfs.FreeSpaceHeader
    inodes: xfs.InodeHeader


def cost(volume: XfsVolume) -> int:
    """Return how many bytes `free_space` reads."""
    return volume.superblock.groups * 4 * volume.superblock.sector_bytes


def free_space(volume: XfsVolume, *, is_clean: bool) -> Free:
    """Return the free space; when not cleanly unmounted, the groups' counters are summed, as a mount does.

    :raises CorruptStructure: the header of an allocation group is damaged
    """
    geometry = volume.superblock
    groups = [_group(volume, group) for group in range(geometry.groups)]
    blocks, inodes, free_inodes = geometry.free_blocks, geometry.inodes, geometry.free_inodes
    if geometry.has_lazy_counters and not is_clean:
        blocks = sum(group.free.free + group.free.reserved + group.free.tree for group in groups)
        inodes = sum(group.inodes.inodes for group in groups)
        free_inodes = sum(group.inodes.free for group in groups)
    if blocks > geometry.blocks or free_inodes > inodes:
        raise volume.corrupt("the XFS superblock counts more free than there is", 0)
    hidden = [_reserved(volume, number, group) for number, group in enumerate(groups)]
    unavailable = geometry.groups * _SET_ASIDE_PER_GROUP
    if geometry.ro_compat & (xfs.RO_COMPAT_FINOBT | xfs.RO_COMPAT_RMAPBT | xfs.RO_COMPAT_REFLINK):
        unavailable += sum(_free_tree_blocks(volume, group) for group in groups)
    pool = min(geometry.blocks // 20, _POOL)
    left = blocks - min(pool, max(0, blocks - unavailable)) - sum(hidden)
    available = max(0, left - unavailable)
    per_block = geometry.inodes_per_block
    most = inodes + available * per_block
    if geometry.inode_percent:
        chunk = max(64, per_block) >> geometry.inodes_per_block_log
        limit = geometry.blocks * geometry.inode_percent // 100 // chunk * chunk * per_block
        most = max(min(most, limit), inodes)
    size = available * geometry.block_bytes
    return Free(size, size, max(0, most - (inodes - free_inodes)))


def _group(volume: XfsVolume, group: int) -> _Group:
    geometry = volume.superblock
    sector = geometry.sector_bytes
    offset = group * geometry.group_blocks * geometry.block_bytes
    raw = volume.below.read_at(offset + sector, 2 * sector)
    free = xfs.parse_free_space_header(raw[:sector], group)
    inodes = xfs.parse_inode_header(raw[sector:], group)
    if free is None or inodes is None:
        which = "free space" if free is None else "inodes"
        raise volume.corrupt(f"the header of the {which} of allocation group {group} is damaged", offset + sector)
    if geometry.has_checksums:
        for name, data, checksum, uuid in (
            ("free space", raw[:sector], xfs.AGF_CHECKSUM, xfs.AGF_UUID),
            ("inodes", raw[sector:], xfs.AGI_CHECKSUM, xfs.AGI_UUID),
        ):
            what = f"the header of the {name} of allocation group {group}"
            if not xfs.is_checksum_right(data, checksum):
                raise volume.corrupt(f"{what} has a wrong checksum", offset + sector)
            if data[uuid : uuid + 16] != geometry.uuid:
                raise volume.corrupt(f"{what} belongs to another filesystem", offset + sector)
    return _Group(free, inodes)


def _free_tree_blocks(volume: XfsVolume, group: _Group) -> int:
    """Return the blocks of a group's free space trees: they count as free on disk, and can never be used."""
    blocks = group.free.tree
    if volume.superblock.ro_compat & xfs.RO_COMPAT_RMAPBT:
        blocks -= group.free.reverse_mapping - 1
    return max(0, blocks)


def _reserved(volume: XfsVolume, number: int, group: _Group) -> int:
    """Return the blocks that a mount keeps back for the growth of a group's other trees."""
    geometry = volume.superblock
    blocks = group.free.length
    if geometry.log_start and geometry.log_start >> geometry.group_blocks_log == number:
        blocks -= min(blocks, geometry.log_blocks)
    asked = used = 0
    if geometry.ro_compat & xfs.RO_COMPAT_REFLINK:
        asked += _tree_size(volume, blocks, 12, 8)
        used += group.free.reference_count
    if geometry.ro_compat & xfs.RO_COMPAT_FINOBT:
        asked += _tree_size(volume, blocks * geometry.inodes_per_block // 64, 16, 8)
        used += group.inodes.free_tree if geometry.ro_compat & xfs.RO_COMPAT_INOBTCOUNT else 1
    hidden = asked - min(asked, used)
    if geometry.ro_compat & xfs.RO_COMPAT_RMAPBT:
        hidden += max(blocks // 100, _tree_size(volume, blocks, 24, 44))
    return hidden


def _tree_size(volume: XfsVolume, records: int, record_bytes: int, node_bytes: int) -> int:
    """Return the blocks of a B+tree whose blocks are all half full."""
    room = volume.superblock.block_bytes - _TREE_HEADER[volume.superblock.has_checksums]
    per_leaf, per_node = room // record_bytes // 2, room // node_bytes // 2
    level = -(-records // per_leaf)
    blocks = level
    while level > 1:
        level = -(-level // per_node)
        blocks += level
    return blocks
