"""XFS on disk: superblock, allocation group headers, inodes, extents and the headers of its blocks.

Source: XFS Algorithms & Data Structures (kernel.org, xfs-documentation), chapters "Allocation Groups", "Inode Core",
"Data Extents", "Symbolic Links" and "Self-Describing Metadata"; newer fields as in the Linux kernel's xfs_format.h.
All numbers are big-endian, but checksums, which are little-endian.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from imgscan.layouts.crc32c import crc32c

SECTOR: Final = 512
"""Bytes of the unit in which a block's header gives its own place, and in which the log is written."""
SUPERBLOCK_BYTES: Final = 264
"""Fields of the superblock; its checksum covers the whole sector."""
_SUPERBLOCK_CHECKSUM: Final = 224
VERSION_DIRECTORY_2, VERSION_ASCII_CI, VERSION_MORE = 0x2000, 0x4000, 0x8000
VERSION_SHARED: Final = 0x200
FEATURE2_LAZY_COUNT, FEATURE2_FTYPE = 0x2, 0x200
FEATURES2_READ: Final = 0x2 | 0x8 | 0x80 | 0x200
"""Lazy counters, attributes 2, 32-bit project ids, file types in directories."""
RO_COMPAT_FINOBT, RO_COMPAT_RMAPBT, RO_COMPAT_REFLINK, RO_COMPAT_INOBTCOUNT = 0x1, 0x2, 0x4, 0x8
INCOMPAT: Final = {
    0x1: "ftype",
    0x2: "sparse inodes",
    0x4: "meta_uuid",
    0x8: "bigtime",
    0x10: "needsrepair",
    0x20: "nrext64",
    0x40: "exchange-range",
    0x80: "parent pointers",
    0x100: "metadata directories",
    0x200: "zoned",
    0x400: "zone gaps",
}
"""Incompatible features by bit."""
INCOMPAT_FTYPE, INCOMPAT_META_UUID, INCOMPAT_NEEDS_REPAIR = 0x1, 0x4, 0x10
INCOMPAT_READ: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80 | 0x100
"""What a reader of files copes with: exchange-range concerns the log, parent pointers are attributes."""


class Superblock(msgspec.Struct, frozen=True):
    """The superblock's fields. Sizes in bytes where the name says so, else in blocks; `_log` are powers of 2.

    `version` is `sb_versionnum` with its flags; `uuid` is the one that metadata carries.
    """

    block_bytes: int
    blocks: int
    uuid: bytes
    log_start: int
    root_inode: int
    group_blocks: int
    groups: int
    log_blocks: int
    version: int
    sector_bytes: int
    inode_bytes: int
    inodes_per_block: int
    block_log: int
    sector_log: int
    inode_log: int
    inodes_per_block_log: int
    group_blocks_log: int
    is_in_progress: bool
    inode_percent: int
    inodes: int
    free_inodes: int
    free_blocks: int
    sparse_inode_alignment: int
    directory_block_log: int
    features2: int
    ro_compat: int
    incompat: int
    lsn: int

    @property
    def has_checksums(self) -> bool:
        """Whether it is version 5."""
        return self.version & 0xF == 5

    @property
    def has_file_types(self) -> bool:
        """Whether directory entries have a byte for the file's kind."""
        if self.has_checksums:
            return bool(self.incompat & INCOMPAT_FTYPE)
        return bool(self.version & VERSION_MORE and self.features2 & FEATURE2_FTYPE)

    @property
    def has_lazy_counters(self) -> bool:
        """Whether the superblock's counters are up to date only after a clean unmount."""
        return self.has_checksums or bool(self.version & VERSION_MORE and self.features2 & FEATURE2_LAZY_COUNT)

    @property
    def directory_block_bytes(self) -> int:
        """Size of a directory block."""
        return self.block_bytes << self.directory_block_log


def parse_superblock(raw: bytes) -> Superblock:
    """Return the fields of `SUPERBLOCK_BYTES` or more."""
    block_bytes, blocks = struct.unpack_from(">IQ", raw, 4)
    log_start, root = struct.unpack_from(">2Q", raw, 48)
    group_blocks, groups, _, log_blocks = struct.unpack_from(">4I", raw, 84)
    version, sector_bytes, inode_bytes, inodes_per_block = struct.unpack_from(">4H", raw, 100)
    block_log, sector_log, inode_log, inodes_per_block_log, group_log, _, in_progress, percent = raw[120:128]
    inodes, free_inodes, free_blocks = struct.unpack_from(">3Q", raw, 128)
    features2, bad_features2, _, ro_compat, incompat = struct.unpack_from(">5I", raw, 200)
    has_checksums = version & 0xF == 5
    return Superblock(
        block_bytes=block_bytes,
        blocks=blocks,
        uuid=raw[248:264] if has_checksums and incompat & INCOMPAT_META_UUID else raw[32:48],
        log_start=log_start,
        root_inode=root,
        group_blocks=group_blocks,
        groups=groups,
        log_blocks=log_blocks,
        version=version,
        sector_bytes=sector_bytes,
        inode_bytes=inode_bytes,
        inodes_per_block=inodes_per_block,
        block_log=block_log,
        sector_log=sector_log,
        inode_log=inode_log,
        inodes_per_block_log=inodes_per_block_log,
        group_blocks_log=group_log,
        is_in_progress=bool(in_progress),
        inode_percent=percent,
        inodes=inodes,
        free_inodes=free_inodes,
        free_blocks=free_blocks,
        sparse_inode_alignment=struct.unpack_from(">I", raw, 228)[0] if has_checksums else 0,
        directory_block_log=raw[192],
        # The same features stand in a second place too: old kernels on 64-bit machines took that for the first.
        features2=features2 | bad_features2,
        ro_compat=ro_compat if has_checksums else 0,
        incompat=incompat if has_checksums else 0,
        lsn=struct.unpack_from(">Q", raw, 240)[0] if has_checksums else 0,
    )


def is_superblock_checksum_right(sector: bytes) -> bool:
    """Whether the superblock's sector has its checksum."""
    return is_checksum_right(sector, _SUPERBLOCK_CHECKSUM)


def is_checksum_right(data: bytes, offset: int) -> bool:
    """Whether `data` has, at `offset`, the checksum of itself with zeros there."""
    (stored,) = struct.unpack_from("<I", data, offset)
    return int(stored) == crc32c(b"".join((data[:offset], b"\0\0\0\0", data[offset + 4 :])))


class FreeSpaceHeader(msgspec.Struct, frozen=True):
    """AGF: the free space of one allocation group, in blocks. `tree` and the last two are blocks of B+trees."""

    length: int
    reserved: int
    free: int
    tree: int
    reverse_mapping: int
    reference_count: int


class InodeHeader(msgspec.Struct, frozen=True):
    """AGI: the inodes of one allocation group; `free_tree` is blocks of the free-inode B+tree, where it counts them."""

    inodes: int
    free: int
    free_tree: int


AGF_CHECKSUM, AGF_UUID, AGI_CHECKSUM, AGI_UUID = 216, 64, 312, 296


def parse_free_space_header(sector: bytes, group: int) -> FreeSpaceHeader | None:
    """Return the AGF of a group, None when it is none."""
    magic, version, number, length = struct.unpack_from(">4s3I", sector)
    if magic != b"XAGF" or version != 1 or number != group:
        return None
    reserved, free, _, tree = struct.unpack_from(">4I", sector, 48)
    reverse, reference = struct.unpack_from(">2I", sector, 80)
    return FreeSpaceHeader(length, reserved, free, tree, reverse, reference)


def parse_inode_header(sector: bytes, group: int) -> InodeHeader | None:
    """Return the AGI of a group, None when it is none."""
    magic, version, number, _, inodes = struct.unpack_from(">4s4I", sector)
    if magic != b"XAGI" or version != 1 or number != group:
        return None
    (free,) = struct.unpack_from(">I", sector, 28)
    (free_tree,) = struct.unpack_from(">I", sector, 340)
    return InodeHeader(inodes, free, free_tree)


FORMAT_DEVICE, FORMAT_LOCAL, FORMAT_EXTENTS, FORMAT_BTREE = 0, 1, 2, 3
INODE_CHECKSUM: Final = 100
FLAG_REALTIME: Final = 0x1
_FLAG2_BIGTIME, _FLAG2_NREXT64 = 0x8, 0x10
_EPOCH_SHIFT: Final = 1 << 31
"""Seconds from the first moment that a bigtime timestamp can hold to 1970."""


class Inode(msgspec.Struct, frozen=True):
    """An inode: `mtime` in Unix seconds, `extents` of the data fork, `fork` the data fork's bytes in the inode.

    `own_number` and `uuid` are what a version 3 inode says of itself.
    """

    magic: bytes
    version: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    links: int
    format: int
    extents: int
    flags: int
    fork: bytes
    own_number: int | None
    uuid: bytes | None


def parse_inode(raw: bytes) -> Inode:
    """Return the fields of an inode of its full size (256 bytes at least)."""
    magic, mode, version, format_, old_links, uid, gid, links = struct.unpack_from(">2sHBBHIII", raw)
    (size,) = struct.unpack_from(">Q", raw, 56)
    (extents,) = struct.unpack_from(">I", raw, 76)
    (flags,) = struct.unpack_from(">H", raw, 90)
    fork_words = raw[82]
    start, own_number, uuid, flags2 = 100, None, None, 0
    if version == 3:
        start = 176
        flags2, own_number, uuid = struct.unpack_from(">Q24xQ16s", raw, 120)
        if flags2 & _FLAG2_NREXT64:
            (extents,) = struct.unpack_from(">Q", raw, 24)
    end = start + fork_words * 8 if fork_words else len(raw)
    return Inode(
        magic,
        version,
        mode,
        uid,
        gid,
        size,
        _timestamp(raw[40:48], is_big=bool(flags2 & _FLAG2_BIGTIME)),
        old_links if version == 1 else links,
        format_,
        extents,
        flags,
        raw[start:end],
        own_number,
        uuid,
    )


def _timestamp(raw: bytes, *, is_big: bool) -> float:
    if is_big:
        seconds, nanoseconds = divmod(int.from_bytes(raw, "big"), 1_000_000_000)
        return seconds - _EPOCH_SHIFT + nanoseconds / 1e9
    seconds, nanoseconds = struct.unpack(">iI", raw)
    return float(seconds + nanoseconds / 1e9)


EXTENT_BYTES: Final = 16


class Extent(msgspec.Struct, frozen=True):
    """`blocks` blocks of a file from its block `first` on, at the filesystem's block `block`."""

    first: int
    blocks: int
    block: int
    is_unwritten: bool


def parse_extent(records: bytes, index: int) -> Extent:
    """Return one record of an extent list."""
    high, low = struct.unpack_from(">QQ", records, index * EXTENT_BYTES)
    return Extent(
        first=high >> 9 & (1 << 54) - 1,
        blocks=low & (1 << 21) - 1,
        block=(high & 0x1FF) << 43 | low >> 21,
        is_unwritten=bool(high >> 63),
    )


class BlockHeader(msgspec.Struct, frozen=True):
    """Where a kind of metadata block carries what it says of itself (version 5 only): offsets in bytes.

    `place` is a block's own address in units of `SECTOR`, `owner` the inode that it belongs to.
    """

    what: str
    checksum: int
    place: int
    uuid: int
    owner: int


DIRECTORY_DATA = BlockHeader("directory block", 4, 8, 24, 40)
DIRECTORY_INDEX = BlockHeader("directory index block", 12, 16, 32, 48)
EXTENT_TREE = BlockHeader("extent tree block", 64, 24, 40, 56)
SYMBOLIC_LINK = BlockHeader("symbolic link block", 12, 40, 16, 32)

EXTENT_TREE_MAGIC: Final = {False: b"BMAP", True: b"BMA3"}
"""By whether there are checksums; so below."""
EXTENT_TREE_HEADER: Final = {False: 24, True: 72}
EXTENT_TREE_DEPTH: Final = 9
SYMBOLIC_LINK_MAGIC: Final = b"XSLM"
SYMBOLIC_LINK_HEADER: Final = 56
SYMBOLIC_LINK_BYTES: Final = 1024
"""The longest target."""

DIRECTORY_INDEX_START: Final = 1 << 35
"""Where the hash tree begins in a directory's address space, in bytes; the names stand below."""
DIRECTORY_BLOCK_MAGIC: Final = {False: b"XD2B", True: b"XDB3"}
"""A directory of one block, with its hashes at its end."""
DIRECTORY_DATA_MAGIC: Final = {False: b"XD2D", True: b"XDD3"}
DIRECTORY_DATA_HEADER: Final = {False: 16, True: 64}
DIRECTORY_LEAF_MAGICS: Final = {False: (0xD2F1, 0xD2FF), True: (0x3DF1, 0x3DFF)}
"""A leaf that stands alone, and one below nodes."""
DIRECTORY_NODE_MAGIC: Final = {False: 0xFEBE, True: 0x3EBE}
DIRECTORY_FREE: Final = 0xFFFF
"""What stands at the start of unused room between entries."""
DIRECTORY_INDEX_HEADER: Final = {False: 16, True: 64}
DIRECTORY_INDEX_COUNT: Final = {False: 12, True: 56}
"""Where the number of entries stands; a node's level follows it."""
DIRECTORY_NODE_DEPTH: Final = 5


CASE_FOLDED: Final = bytes(
    byte + 32 if 0x41 <= byte <= 0x5A or (0xC0 <= byte <= 0xDE and byte != 0xD7) else byte for byte in range(256)
)
"""How names are compared where case is ignored: bytes of ASCII and Latin-1, whatever they mean (since Linux 6.4)."""


def name_hash(name: bytes) -> int:
    """Return the hash by which a directory's index is sorted."""
    value = 0
    for byte in name:
        value = byte ^ (value << 7 & 0xFFFF_FFFF | value >> 25)
    return value


LOG_MAGIC: Final = 0xFEEDBABE
LOG_UNMOUNT: Final = 0x20
"""Flag of the operation that a clean unmount writes."""
LOG_RECORD_BYTES: Final = 256 << 10
"""The largest record."""
_LOG_CYCLES_PER_HEADER: Final = 32 << 10


class LogRecord(msgspec.Struct, frozen=True):
    """Header of a log record; sizes in sectors."""

    operations: int
    header_sectors: int
    sectors: int


def parse_log_record(sector: bytes) -> LogRecord | None:
    """Return the header in a sector of the log, None when it is none."""
    magic, _, version, length = struct.unpack_from(">4I", sector)
    if magic != LOG_MAGIC or length > LOG_RECORD_BYTES:
        return None
    (operations,) = struct.unpack_from(">I", sector, 40)
    (size,) = struct.unpack_from(">I", sector, 320)
    headers = -(-size // _LOG_CYCLES_PER_HEADER) if version & 2 and size > _LOG_CYCLES_PER_HEADER else 1
    headers = min(headers, LOG_RECORD_BYTES // _LOG_CYCLES_PER_HEADER)
    return LogRecord(operations, headers, headers + -(-length // SECTOR))


def log_cycle(sector: bytes) -> int:
    """Return in which pass over the log a sector was written."""
    first, second = struct.unpack_from(">2I", sector)
    return int(second if first == LOG_MAGIC else first)
