"""JFS, version 1 and 2: superblock, inodes, directory pages, extent pages, maps. All numbers are little-endian.

Source: the Linux kernel's fs/jfs (jfs_superblock.h, jfs_filsys.h, jfs_dinode.h, jfs_dtree.h, jfs_xtree.h, jfs_imap.h,
jfs_dmap.h) and "JFS Layout" (S. Best, D. Kleikamp, IBM, 2000). Addresses and lengths of extents are in blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

MAGIC: Final = b"JFS1"
SUPERBLOCK_AT, SECONDARY_AT = 0x8000, 0xF000
SUPERBLOCK_BYTES: Final = 184
AGGREGATE_INODES_AT: Final = 0xB000
"""The first extent of the aggregate inode table: inodes 0 to 31."""
INODE_BYTES, INODES_PER_EXTENT, EXTENT_BYTES = 512, 32, 16 * 1024
INODES_PER_GROUP: Final = 4096
"""Inodes of one inode allocation group (IAG)."""
PAGE_BYTES: Final = 4096
SLOT_BYTES: Final = 32
BLOCK_MAP, FILESET = 2, 16
"""Aggregate inodes: the block allocation map; the inode map of the only fileset."""
ROOT: Final = 2
INLINE_BYTES: Final = 256
"""A symbolic link that is shorter stands in the inode."""

STATE_MOUNTED, STATE_DIRTY, STATE_LOGREDO, STATE_EXTENDING = 1, 2, 4, 8
_INLINE_LOG, _DIRECTORY_INDEX, _OS2 = 0x0000_0800, 0x0020_0000, 0x4000_0000
LEAF, INTERNAL = 2, 4
_NOT_RECORDED: Final = 0x08
_SUPERBLOCK: Final = struct.Struct("<4sIQIHHIHHIIIIQQIIQ")
_INODE: Final = struct.Struct("<4I Q Q Q 4I 8I")
_BODY_AT: Final = 224
"""Where an inode's tree, or the target of a link, begins."""
_TARGET_AT: Final = 256


class Extent(msgspec.Struct, frozen=True):
    """Blocks in a row."""

    address: int
    length: int


class JfsSuperblock(msgspec.Struct, frozen=True):
    """The superblock. `size` is the aggregate's, in bytes; `secondary_inodes` the copy of the aggregate inode table."""

    version: int
    size: int
    block_size: int
    state: int
    has_inline_log: bool
    has_directory_index: bool
    is_case_insensitive: bool
    log: Extent
    secondary_inodes: Extent


class JfsInode(msgspec.Struct, frozen=True):
    """An inode; `size` in bytes, `mtime` in Unix seconds, `body` the root of its tree, `target` of a short link."""

    number: int
    fileset: int
    size: int
    links: int
    uid: int
    gid: int
    mode: int
    mtime: float
    body: bytes
    target: bytes


class DirectoryPage(msgspec.Struct, frozen=True):
    """A page of a directory's tree: `order` are the slots of its entries, sorted by name; some may not be there."""

    raw: bytes
    is_leaf: bool
    order: bytes


class ExtentEntry(msgspec.Struct, frozen=True):
    """An extent of a file, or, in a page that is no leaf, what lies below: `offset` is in blocks of the file."""

    offset: int
    length: int
    address: int
    is_recorded: bool


def parse_superblock(raw: bytes) -> JfsSuperblock | None:
    """Return a superblock, None when it is none or its sizes cannot be."""
    (
        magic,
        version,
        size,
        block_size,
        shift,
        factor,
        physical,
        physical_shift,
        _,
        _,
        flags,
        state,
        _,
        inodes,
        _,
        *rest,
    ) = _SUPERBLOCK.unpack_from(raw)
    if magic != MAGIC or version not in {1, 2} or not 9 <= shift <= 12 or not 9 <= physical_shift <= 12:
        return None
    if block_size != 1 << shift or physical != 1 << physical_shift or shift - physical_shift != factor:
        return None
    return JfsSuperblock(
        version,
        size * physical,
        block_size,
        state,
        bool(flags & _INLINE_LOG),
        bool(flags & _DIRECTORY_INDEX),
        bool(flags & _OS2),
        _extent(rest[-1]),
        _extent(inodes),
    )


def _extent(number: int) -> Extent:
    """Return what a pxd says: 24 bits of length, then the upper 8 and the lower 32 of the address."""
    return Extent((number >> 24 & 0xFF) << 32 | number >> 32, number & 0xFF_FFFF)


def parse_inode(raw: bytes) -> JfsInode:
    """Return the inode in 512 bytes."""
    fields = _INODE.unpack_from(raw)
    _, fileset, number, _, _, size, _, links, uid, gid, mode, _, _, _, _, seconds, nanoseconds, *_ = fields
    return JfsInode(
        number,
        fileset,
        size,
        links,
        uid,
        gid,
        mode & 0xFFFF,
        seconds + nanoseconds / 1e9,
        raw[_BODY_AT:INODE_BYTES],
        raw[_TARGET_AT:INODE_BYTES],
    )


def inode_extent(group: bytes, index: int) -> Extent:
    """Return where inodes of an IAG lie: it has 128 extents of 32 inodes, of length 0 where there are none."""
    return _extent(struct.unpack_from("<Q", group, 3072 + 8 * index)[0])


def directory_root(body: bytes) -> DirectoryPage | None:
    """Return the root of a directory's tree (9 slots, in the inode); None when it cannot be."""
    flag, count = body[16], body[17]
    return _checked(body, flag, body[24 : 24 + count]) if count <= 8 else None


def directory_page(raw: bytes) -> DirectoryPage | None:
    """Return another page of it; None when it cannot be."""
    flag, count = raw[16], raw[17]
    table = raw[21] * 32
    slots = len(raw) // 32
    return _checked(raw, flag, raw[table : table + count]) if 0 < raw[21] < slots and count < slots else None


def _checked(raw: bytes, flag: int, order: bytes) -> DirectoryPage | None:
    if bool(flag & LEAF) == bool(flag & INTERNAL):
        return None
    return DirectoryPage(raw, bool(flag & LEAF), order)


def leaf_entry(page: DirectoryPage, index: int, *, has_index: bool) -> tuple[int, tuple[int, ...]] | None:
    """Return the inode and the name (UTF-16 units) of an entry of a leaf; None when its slots are damaged."""
    at = page.order[index] * 32
    if not 0 < at <= len(page.raw) - 32:
        return None
    (inode,) = struct.unpack_from("<I", page.raw, at)
    name = _name(page.raw, at, 4, 11 if has_index else 13)
    return None if name is None else (inode, name)


def page_below(page: DirectoryPage, index: int) -> Extent | None:
    """Return the page below an entry, whatever the name beside it; None when its slot cannot be."""
    at = page.order[index] * 32
    return _extent(struct.unpack_from("<Q", page.raw, at)[0]) if 0 < at <= len(page.raw) - 32 else None


def internal_entry(page: DirectoryPage, index: int) -> tuple[Extent, tuple[int, ...]] | None:
    """Return the page below an entry and the least name there (only as much of it as tells); None when damaged."""
    place = page_below(page, index)
    name = None if place is None else _name(page.raw, page.order[index] * 32, 8, 11)
    return None if place is None or name is None else (place, name)


def _name(raw: bytes, at: int, head: int, first: int) -> tuple[int, ...] | None:
    """Return a name that begins in one slot and goes on in others (15 units each)."""
    following, length = raw[at + head], raw[at + head + 1]
    units = struct.unpack_from(f"<{min(length, first)}H", raw, at + head + 2)
    while len(units) < length:
        if not 0 < following < len(raw) // 32:
            return None
        at = following * 32
        following = raw[at]
        units += struct.unpack_from(f"<{min(length - len(units), 15)}H", raw, at + 2)
    return units


def extent_page(raw: bytes) -> tuple[bool, tuple[ExtentEntry, ...]] | None:
    """Return whether a page of an extent tree is a leaf, and its entries; None when it cannot be."""
    flag, entries = raw[16], struct.unpack_from("<H", raw, 18)[0]
    if bool(flag & LEAF) == bool(flag & INTERNAL) or not 2 <= entries <= len(raw) // 16:
        return None
    return bool(flag & LEAF), tuple(_extent_entries(raw, entries))


def _extent_entries(raw: bytes, entries: int) -> Iterator[ExtentEntry]:
    for flag, high, low, place, address in struct.iter_unpack("<B2xBIII", raw[32 : 16 * entries]):
        yield ExtentEntry(high << 32 | low, place & 0xFF_FFFF, (place >> 24) << 32 | address, not flag & _NOT_RECORDED)


def free_blocks(block_map: bytes) -> tuple[int, int]:
    """Return how many blocks the first page of the block map counts in all, and how many of them are free."""
    total, free = struct.unpack_from("<QQ", block_map)
    return total, free


def inode_counts(inode_map: bytes) -> tuple[int, int, int]:
    """Return from the first page of the inode map: inodes there are, those free, and the log2 of an extent's blocks."""
    inodes, free, _, shift = struct.unpack_from("<4I", inode_map, 8)
    return inodes, free, shift
