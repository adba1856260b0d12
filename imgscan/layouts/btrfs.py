"""Btrfs on disk: the superblock, tree nodes, keys and items.

Source: the Btrfs developer documentation, "On-disk format" (btrfs.readthedocs.io), whose names are used here. All
numbers are little-endian; a position in the filesystem's own address space is a *logical* one, in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.errors import CorruptStructure

SUPERBLOCK_OFFSETS: Final = (64 << 10, 64 << 20, 256 << 30)
"""The superblock and its mirrors, in bytes from the device's start; those that lie on it."""
SUPERBLOCK_SIZE: Final = 4096
MAGIC: Final = b"_BHRfS_M"
CHECKSUM_BYTES: Final = 32
"""The checksum field of superblock and node; what follows it is covered."""

ROOT_TREE, EXTENT_TREE, CHUNK_TREE, FS_TREE = 1, 2, 3, 5
ROOT_TREE_DIRECTORY, CSUM_TREE, FREE_SPACE_TREE, BLOCK_GROUP_TREE = 6, 7, 10, 11
DEVICES_OBJECT: Final = 1
FIRST_CHUNK_TREE_OBJECT: Final = 256
FIRST_FREE_OBJECT: Final = 256
"""The first number of a subvolume or inode; every subvolume's root directory has it."""
LAST_FREE_OBJECT: Final = (1 << 64) - 256
EMPTY_SUBVOLUME_DIRECTORY: Final = 2
"""The inode that the kernel shows where a snapshot had a subvolume below it."""
CSUM_OBJECT: Final = (1 << 64) - 10

INODE_ITEM, INODE_REF, DIR_ITEM, DIR_INDEX, EXTENT_DATA, EXTENT_CSUM = 1, 12, 84, 96, 108, 128
ROOT_ITEM, ROOT_BACKREF, ROOT_REF, BLOCK_GROUP_ITEM, DEV_ITEM, CHUNK_ITEM = 132, 144, 156, 192, 216, 228

DATA, SYSTEM, METADATA = 1, 2, 4
RAID0, RAID1, DUP, RAID10, RAID5, RAID6, RAID1C3, RAID1C4 = 8, 16, 32, 64, 128, 256, 512, 1024
PROFILES: Final = RAID0 | RAID1 | DUP | RAID10 | RAID5 | RAID6 | RAID1C3 | RAID1C4
COPIES: Final = {0: 1, RAID0: 1, RAID1: 2, DUP: 2, RAID10: 2, RAID5: 1, RAID6: 1, RAID1C3: 3, RAID1C4: 4}
"""How many whole copies of its data a profile keeps (single is 0)."""
STRIPE_BYTES: Final = 64 << 10

_READ_INCOMPAT: Final = {
    0: "mixed-backref", 1: "default-subvol", 2: "mixed-groups", 3: "compress-lzo", 4: "compress-zstd",
    5: "big-metadata", 6: "extended-iref", 7: "raid56", 8: "skinny-metadata", 9: "no-holes", 10: "metadata-uuid",
    11: "raid1c34", 16: "simple-quota",
}  # fmt: skip
_OTHER_INCOMPAT: Final = {12: "zoned", 13: "extent-tree-v2", 14: "raid-stripe-tree", 17: "remap-tree"}
METADATA_UUID: Final = 1 << 10
BLOCK_GROUP_TREE_COMPAT_RO: Final = 1 << 3
FREE_SPACE_TREE_COMPAT_RO: Final = 1 << 0

READ_ONLY_SUBVOLUME: Final = 1
NO_CHECKSUMS: Final = 1
"""The inode flag NODATASUM."""
INLINE, REGULAR, PREALLOCATED = 0, 1, 2
NOT_COMPRESSED, ZLIB, LZO, ZSTD = 0, 1, 2, 3
COMPRESSED_EXTENT_BYTES: Final = 128 << 10
"""A compressed extent at most, both packed and unpacked."""
NAME_BYTES: Final = 255

Key = tuple[int, int, int]
"""objectid, type, offset: as they are sorted."""

_HEADER: Final = struct.Struct("<32s16sQQ16sQQIB")
_ITEM: Final = struct.Struct("<QBQII")
_POINTER: Final = struct.Struct("<QBQQQ")
_KEY: Final = struct.Struct("<QBQ")
HEADER_SIZE: Final = _HEADER.size
MAX_LEVEL: Final = 7


class DeviceItem(msgspec.Struct, frozen=True):
    """A device of the filesystem: sizes in bytes."""

    id: int
    size: int
    used: int
    uuid: bytes


class Superblock(msgspec.Struct, frozen=True):
    """The fields that a reader needs; `is_sound` is whether the checksum's type and the sizes can be."""

    checksum: bytes
    fsid: bytes
    position: int
    generation: int
    root: int
    chunk_root: int
    log_root: int
    total_bytes: int
    bytes_used: int
    device_count: int
    sector_size: int
    node_size: int
    chunk_root_generation: int
    compat_ro: int
    incompat: int
    checksum_type: int
    root_level: int
    chunk_root_level: int
    device: DeviceItem
    metadata_uuid: bytes
    system_chunks: bytes

    def unknown_features(self) -> list[str]:
        """Return the names of the incompatible features that imgscan does not read."""
        bits = [bit for bit in range(64) if self.incompat >> bit & 1 and bit not in _READ_INCOMPAT]
        return [_OTHER_INCOMPAT.get(bit, f"bit {bit}") for bit in bits]


def parse_superblock(raw: bytes) -> Superblock | None:
    """Parse 4096 bytes; None when the magic is not there."""
    if raw[64:72] != MAGIC:
        return None
    fsid, position, _, _, generation, root, chunk_root, log_root = struct.unpack_from("<16sQQ8sQQQQ", raw, 32)
    total, used, _, devices, sector, node, _, _, array = struct.unpack_from("<QQQQIIIII", raw, 112)
    chunk_generation, _, compat_ro, incompat, checksum_type, level, chunk_level = struct.unpack_from(
        "<QQQQHBB", raw, 164
    )
    return Superblock(
        checksum=raw[:CHECKSUM_BYTES],
        fsid=fsid,
        position=position,
        generation=generation,
        root=root,
        chunk_root=chunk_root,
        log_root=log_root,
        total_bytes=total,
        bytes_used=used,
        device_count=devices,
        sector_size=sector,
        node_size=node,
        chunk_root_generation=chunk_generation,
        compat_ro=compat_ro,
        incompat=incompat,
        checksum_type=checksum_type,
        root_level=level,
        chunk_root_level=chunk_level,
        device=parse_device(raw[201:299]),
        metadata_uuid=raw[0x23B:0x24B],
        system_chunks=raw[0x32B : 0x32B + min(array, 2048)],
    )


def parse_device(data: bytes) -> DeviceItem:
    """Parse a DEV_ITEM.

    :raises CorruptStructure: it is too short (this and the other parsers name no place: the caller knows it)
    """
    if len(data) < 98:
        raise CorruptStructure("a device item is too short")
    number, size, used = struct.unpack_from("<QQQ", data)
    return DeviceItem(number, size, used, data[66:82])


class NodeHeader(msgspec.Struct, frozen=True):
    """A node's header; `position` is logical, `items` are items of a leaf (level 0) or pointers."""

    fsid: bytes
    position: int
    generation: int
    owner: int
    items: int
    level: int


def parse_node_header(raw: bytes) -> NodeHeader:
    """Parse the header of a tree node."""
    _, fsid, position, _, _, generation, owner, items, level = _HEADER.unpack_from(raw)
    return NodeHeader(fsid, position, generation, owner, items, level)


class Node:
    """A tree node with sorted keys; a leaf's items, or pointers to the nodes below."""

    __slots__ = ("count", "header", "level", "raw")

    def __init__(self, raw: bytes) -> None:
        """Check what binary search and slices rely on.

        :raises CorruptStructure: the keys are not in order, or an item lies outside the node
        """
        self.raw = raw
        self.header = parse_node_header(raw)
        self.level = self.header.level
        self.count = self.header.items
        entry = _POINTER if self.level else _ITEM
        room = len(raw) - HEADER_SIZE
        if self.level > MAX_LEVEL or self.count > room // entry.size or (self.level and not self.count):
            raise CorruptStructure(f"a node of level {self.level} has {self.count} items")
        before: Key = (-1, 0, 0)
        for number, type_, offset, start, size in entry.iter_unpack(
            raw[HEADER_SIZE : HEADER_SIZE + self.count * entry.size]
        ):
            key = (number, type_, offset)
            if key <= before:
                raise CorruptStructure(f"the keys {before} and {key} of a node are not in order")
            before = key
            if not self.level and start + size > room:
                raise CorruptStructure(f"the item {key} lies outside its leaf")

    def key(self, slot: int) -> Key:
        """Return a slot's key."""
        found: Key = _KEY.unpack_from(self.raw, HEADER_SIZE + slot * (_POINTER.size if self.level else _ITEM.size))
        return found

    def item(self, slot: int) -> bytes:
        """Return the data of a leaf's item."""
        start, size = struct.unpack_from("<II", self.raw, HEADER_SIZE + slot * _ITEM.size + _KEY.size)
        return self.raw[HEADER_SIZE + start : HEADER_SIZE + start + size]

    def pointer(self, slot: int) -> tuple[int, int]:
        """Return where the node below begins (logical), and its generation."""
        found: tuple[int, int] = struct.unpack_from("<QQ", self.raw, HEADER_SIZE + slot * _POINTER.size + _KEY.size)
        return found

    def last_not_above(self, key: Key) -> int:
        """Return the last slot whose key is at most `key`, -1 when there is none."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= key:
                low = middle + 1
            else:
                high = middle
        return low - 1


class Stripe(msgspec.Struct, frozen=True):
    """Where a part of a chunk lies: `offset` in bytes from the device's start."""

    device: int
    offset: int
    device_uuid: bytes


class Chunk(msgspec.Struct, frozen=True):
    """A range of logical addresses, in bytes, and its stripes."""

    start: int
    length: int
    type: int
    stripes: tuple[Stripe, ...]
    sub_stripes: int

    @property
    def profile(self) -> int:
        """The bit of its RAID profile, 0 for single."""
        return self.type & PROFILES


def parse_chunk(start: int, data: bytes) -> tuple[Chunk, int]:
    """Parse a CHUNK_ITEM; return it with its size on disk.

    :raises CorruptStructure: its sizes cannot be
    """
    if len(data) < 80:
        raise CorruptStructure(f"the chunk at {start} is too short")
    length, _, stripe_length, type_, _, _, _, count, sub_stripes = struct.unpack_from("<QQQQIIIHH", data)
    size = 48 + 32 * count
    if not count or size > len(data):
        raise CorruptStructure(f"the chunk at {start} has {count} stripes")
    if stripe_length != STRIPE_BYTES or not length or start + length >= 1 << 64:
        raise CorruptStructure(f"the chunk at {start} has the length {length} in stripes of {stripe_length}")
    stripes = tuple(Stripe(*found) for found in struct.iter_unpack("<QQ16s", data[48:size]))
    chunk = Chunk(start, length, type_, stripes, sub_stripes)
    exact = {0: 1, RAID1: 2, DUP: 2, RAID1C3: 3, RAID1C4: 4}
    least = {RAID0: 1, RAID10: 2, RAID5: 2, RAID6: 3}
    profile = chunk.profile
    if exact.get(profile, count) != count or count < least.get(profile, 1) or profile not in COPIES:
        raise CorruptStructure(f"the chunk at {start} has the type {type_:#x} and {count} stripes")
    if profile == RAID10 and (sub_stripes != 2 or count % 2):
        raise CorruptStructure(f"the RAID10 chunk at {start} has {count} stripes in sets of {sub_stripes}")
    return chunk, size


def system_chunks(array: bytes) -> Iterator[Chunk]:
    """Yield the chunks of the superblock's array.

    :raises CorruptStructure: it holds something else
    """
    position = 0
    while position < len(array):
        if position + _KEY.size > len(array):
            raise CorruptStructure("the array of system chunks ends within a key")
        _, type_, start = _KEY.unpack_from(array, position)
        if type_ != CHUNK_ITEM:
            raise CorruptStructure(f"the array of system chunks has an item of type {type_}")
        chunk, size = parse_chunk(start, array[position + _KEY.size :])
        yield chunk
        position += _KEY.size + size


class Root(msgspec.Struct, frozen=True):
    """A tree's root: `position` logical, `directory` the inode of a subvolume's root; `used` in bytes."""

    position: int
    level: int
    generation: int
    directory: int
    flags: int
    references: int
    used: int
    uuid: bytes
    parent_uuid: bytes


def parse_root(data: bytes) -> Root:
    """Parse a ROOT_ITEM; those of old kernels end before the UUIDs.

    :raises CorruptStructure: it is too short
    """
    if len(data) < 239:
        raise CorruptStructure("a root item is too short")
    generation, directory, position, _, used, _, flags, references = struct.unpack_from("<QQQQQQQI", data, 160)
    is_new = len(data) >= 279 and struct.unpack_from("<Q", data, 239)[0] == generation
    uuid, parent = (data[247:263], data[263:279]) if is_new else (bytes(16), bytes(16))
    return Root(position, data[238], generation, directory, flags, references, used, uuid, parent)


class Inode(msgspec.Struct, frozen=True):
    """An INODE_ITEM: `size` in bytes, `mode` as in stat(2), `mtime` in Unix seconds."""

    size: int
    links: int
    uid: int
    gid: int
    mode: int
    flags: int
    mtime: float


def parse_inode(data: bytes) -> Inode:
    """Parse an INODE_ITEM.

    :raises CorruptStructure: it is too short
    """
    if len(data) < 160:
        raise CorruptStructure("an inode item is too short")
    size, _, _, links, uid, gid, mode, _, flags = struct.unpack_from("<QQQIIIIQQ", data, 16)
    seconds, nanoseconds = struct.unpack_from("<qI", data, 136)
    return Inode(size, links, uid, gid, mode, flags, seconds + nanoseconds / 1e9)


class DirectoryItem(msgspec.Struct, frozen=True):
    """A name: `target` is the key of an INODE_ITEM, or of the ROOT_ITEM of a subvolume."""

    target: Key
    name: bytes
    type: int


def directory_items(data: bytes) -> Iterator[DirectoryItem]:
    """Yield the names of a DIR_ITEM (several whose hash is the same) or of a DIR_INDEX (one).

    :raises CorruptStructure: a length contradicts the item's
    """
    position = 0
    while position < len(data):
        if position + 30 > len(data):
            raise CorruptStructure("a directory item ends within an entry")
        number, type_, offset, _, data_length, name_length, kind = struct.unpack_from("<QBQQHHB", data, position)
        end = position + 30 + name_length
        if end + data_length > len(data) or not 0 < name_length <= NAME_BYTES:
            raise CorruptStructure(f"a directory entry has a name of {name_length} bytes")
        yield DirectoryItem((number, type_, offset), data[position + 30 : end], kind & 0x7F)
        position = end + data_length


class SubvolumeReference(msgspec.Struct, frozen=True):
    """A ROOT_REF or ROOT_BACKREF: the directory and the name by which a subvolume is found."""

    directory: int
    name: bytes


def parse_subvolume_reference(data: bytes) -> SubvolumeReference:
    """Parse a ROOT_REF or ROOT_BACKREF.

    :raises CorruptStructure: it is too short
    """
    if len(data) < 18:
        raise CorruptStructure("a subvolume reference is too short")
    directory, _, length = struct.unpack_from("<QQH", data)
    if len(data) < 18 + length or not 0 < length <= NAME_BYTES:
        raise CorruptStructure(f"a subvolume reference has a name of {length} bytes")
    return SubvolumeReference(directory, data[18 : 18 + length])


class Extent(msgspec.Struct, frozen=True):
    """An EXTENT_DATA item. All in bytes; `start` is in the file, `position` logical, 0 for a hole.

    `size` bytes of the file are those from `offset` on of what lies (unpacked, `unpacked_size`) at `position`.
    Of an inline extent `inline` is the data, and `size` what it holds unpacked.
    """

    start: int
    size: int
    kind: int
    compression: int
    unpacked_size: int
    position: int = 0
    stored_size: int = 0
    offset: int = 0
    inline: bytes = b""

    @property
    def end(self) -> int:
        """Where it ends in the file."""
        return self.start + self.size


def parse_extent(start: int, data: bytes) -> Extent:
    """Parse an EXTENT_DATA item.

    :raises CorruptStructure: its sizes cannot be
    """
    if len(data) < 21:
        raise CorruptStructure("an extent item is too short")
    _, unpacked, compression, encryption, encoding, kind = struct.unpack_from("<QQBBHB", data)
    if encryption or encoding:
        raise CorruptStructure(f"an extent has the unknown encryption {encryption} or encoding {encoding}")
    if compression > ZSTD or kind > PREALLOCATED:
        raise CorruptStructure(f"an extent has the unknown type {kind} or compression {compression}")
    if compression and unpacked > COMPRESSED_EXTENT_BYTES:
        raise CorruptStructure(f"a compressed extent holds {unpacked} bytes")
    if kind == INLINE:
        size = unpacked if compression else len(data) - 21
        return Extent(start, size, kind, compression, unpacked, inline=data[21:])
    if len(data) < 53:
        raise CorruptStructure("an extent item is too short")
    position, stored, offset, size = struct.unpack_from("<QQQQ", data, 21)
    if not size or start + size >= 1 << 64:
        raise CorruptStructure(f"an extent has {size} bytes at {start}")
    if position and offset + size > (unpacked if compression else stored):
        raise CorruptStructure(f"an extent takes {size} bytes from {offset} of {stored}")
    if compression and stored > COMPRESSED_EXTENT_BYTES:
        raise CorruptStructure(f"a compressed extent takes {stored} bytes")
    return Extent(start, size, kind, compression, unpacked, position, stored, offset)


class BlockGroup(msgspec.Struct, frozen=True):
    """A BLOCK_GROUP_ITEM: how many bytes of a chunk are in use, and the chunk's type."""

    used: int
    type: int


def parse_block_group(data: bytes) -> BlockGroup:
    """Parse a BLOCK_GROUP_ITEM.

    :raises CorruptStructure: it is too short
    """
    if len(data) < 24:
        raise CorruptStructure("a block group item is too short")
    used, _, type_ = struct.unpack_from("<QQQ", data)
    return BlockGroup(used, type_)


def first_name(data: bytes) -> bytes:
    """Return the (first) name of an INODE_REF.

    :raises CorruptStructure: it is too short
    """
    length = struct.unpack_from("<H", data, 8)[0] if len(data) >= 10 else 0
    if not 0 < length <= NAME_BYTES or 10 + length > len(data):
        raise CorruptStructure(f"an inode reference has a name of {length} bytes")
    return data[10 : 10 + length]
