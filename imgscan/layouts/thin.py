"""The metadata of device-mapper's thin pools: superblock and B+tree nodes, in blocks of 4096 bytes.

Sources: Linux, drivers/md/dm-thin-metadata.c (struct thin_disk_superblock) and
drivers/md/persistent-data/dm-btree-internal.h (struct btree_node). Little-endian.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

import msgspec

from imgscan.errors import CorruptStructure, UnsupportedFormat
from imgscan.layouts.crc32c import crc32c

BLOCK: Final = 4096
_MAGIC: Final = 27022010
_SUPERBLOCK_SEED: Final = 160774
_NODE_SEED: Final = 121107
_NODE_HEADER: Final = 32
_NEEDS_CHECK: Final = 1


class ThinSuperblock(msgspec.Struct, frozen=True):
    """`mappings` is the root of the tree of trees (device, then block); `chunk` is in bytes."""

    transaction: int
    mappings: int
    chunk: int
    needs_check: bool


class ThinNode(msgspec.Struct, frozen=True):
    """A node: sorted keys, and as many values (blocks of the nodes below, or what a leaf maps to)."""

    is_leaf: bool
    keys: array[int]
    values: array[int]


def _checksum(block: bytes, seed: int) -> int:
    return crc32c(block[4:]) ^ 0xFFFF_FFFF ^ seed


def parse_superblock(block: bytes) -> ThinSuperblock:
    """Return the superblock of a pool, which is the first block of its metadata.

    :raises CorruptStructure: it is none, or does not match its checksum
    :raises UnsupportedFormat: it is of a version or has features that are not known
    """
    checksum, flags = struct.unpack_from("<II", block)
    magic, version = struct.unpack_from("<QI", block, 32)
    if magic != _MAGIC:
        raise CorruptStructure("the thin pool's metadata has no superblock", offset=0)
    if checksum != _checksum(block, _SUPERBLOCK_SEED):
        raise CorruptStructure("the thin pool's superblock does not match its checksum", offset=0)
    (transaction,) = struct.unpack_from("<Q", block, 48)
    (mappings,) = struct.unpack_from("<Q", block, 320)
    chunk, block_sectors = struct.unpack_from("<II", block, 336)
    incompatible = struct.unpack_from("<I", block, 360)[0]
    if not 1 <= version <= 2 or incompatible or block_sectors * 512 != BLOCK:
        raise UnsupportedFormat(
            f"the thin pool's metadata is of version {version} with features 0x{incompatible:x}, "
            f"in blocks of {block_sectors} sectors",
            offset=0,
        )
    if not 128 <= chunk <= 1 << 21 or chunk % 128:
        raise CorruptStructure(f"the thin pool claims chunks of {chunk} sectors", offset=336)
    return ThinSuperblock(transaction, mappings, chunk * 512, bool(flags & _NEEDS_CHECK))


def parse_node(block: bytes, number: int) -> ThinNode:
    """Return the node in block `number`, whose values have 8 bytes.

    :raises CorruptStructure: it is none, does not match its checksum, or contradicts itself
    """
    at = number * BLOCK
    checksum, flags, own, entries, most, value_size = struct.unpack_from("<IIQIII", block)
    if checksum != _checksum(block, _NODE_SEED):
        raise CorruptStructure("a node of the thin pool's tree does not match its checksum", offset=at)
    if own != number or flags not in {1, 2} or value_size != 8:
        raise CorruptStructure("a node of the thin pool's tree is not what its place asks for", offset=at)
    if entries > most or _NODE_HEADER + most * 16 > BLOCK:
        raise CorruptStructure(f"a node of the thin pool's tree claims {entries} of {most} entries", offset=at)
    values = _NODE_HEADER + most * 8
    return ThinNode(
        flags == 2,
        _numbers(block[_NODE_HEADER : _NODE_HEADER + entries * 8]),
        _numbers(block[values : values + entries * 8]),
    )


def _numbers(data: bytes) -> array[int]:
    found = array("Q")
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
