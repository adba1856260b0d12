"""Headers of filesystems and pools that imgscan names and does not read: what they say of themselves in plain fields.

Sources: ReFS boot sector as J. Metz documents it (libfsrefs); VMFS from vmfs-tools (libvmfs/vmfs_fs.h,
vmfs_volume.h); Apple File System Reference (nx_superblock_t); Technical Note TN1150 (HFS Plus volume header);
Storage Spaces from the partition header of a pool as the StorageSpace project documents it; LDM from the Linux-NTFS
project's documentation (PRIVHEAD) and Linux' block/partitions/ldm.c; ZFS On-Disk Specification, chapter 1 (labels).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import KIB

REFS_BYTES = VMFS_BYTES = STORAGE_SPACES_BYTES = PRIVATE_HEAD_BYTES = 512
APFS_BYTES: Final = 128
HFS_AT, HFS_BYTES = 1024, 512
VMFS_MEMBER_AT, VMFS_AT = 0x100000, 0x200000
ZFS_PAIRS_AT, ZFS_PAIRS_BYTES = 16 * KIB, 112 * KIB
_ZFS_DEPTH: Final = 8
_ZFS_PAIRS: Final = 4096
"""Pairs of one label, of nested lists too."""


class RefsHeader(msgspec.Struct, frozen=True):
    """ReFS: `version` as Windows writes it (`3.4`), sizes in bytes."""

    version: str
    size: int
    cluster_size: int
    serial: str


def parse_refs(raw: bytes) -> RefsHeader:
    """Return the boot sector of a ReFS."""
    sectors, sector, cluster, major, minor = struct.unpack_from("<QIIBB", raw, 24)
    return RefsHeader(f"{major}.{minor}", sectors * sector, sector * cluster, raw[56:64][::-1].hex().upper())


class ApfsHeader(msgspec.Struct, frozen=True):
    """An APFS container; sizes in bytes."""

    block_size: int
    size: int
    identifier: str
    version: str


def parse_apfs(raw: bytes) -> ApfsHeader:
    """Return the container's superblock."""
    block, blocks = struct.unpack_from("<IQ", raw, 36)
    (incompatible,) = struct.unpack_from("<Q", raw, 64)
    version = "2" if incompatible & 2 else "1" if incompatible & 1 else "unknown"
    return ApfsHeader(block, block * blocks, str(uuid.UUID(bytes=raw[72:88])), version)


class HfsHeader(msgspec.Struct, frozen=True):
    """HFS+ or HFSX: sizes in bytes; `is_clean` is whether it was unmounted."""

    version: int
    size: int
    free: int
    block_size: int
    is_clean: bool
    has_journal: bool


def parse_hfs(raw: bytes) -> HfsHeader:
    """Return the volume header (big-endian)."""
    version, attributes = struct.unpack_from(">HI", raw, 2)
    block, blocks, free = struct.unpack_from(">3I", raw, 40)
    return HfsHeader(
        version, block * blocks, block * free, block, bool(attributes & 1 << 8), bool(attributes & 1 << 13)
    )


class VmfsHeader(msgspec.Struct, frozen=True):
    """VMFS: `version` as the filesystem numbers itself; `block_size` in bytes."""

    volume_version: int
    version: int
    identifier: str
    label: str
    block_size: int


def parse_vmfs(raw: bytes) -> VmfsHeader | None:
    """Return the filesystem's header at 2 MiB, None when it is none."""
    if raw[:4] != b"\x5e\xf1\xab\x2f":
        return None
    volume_version, version = struct.unpack_from("<IB", raw, 4)
    first, second, third = struct.unpack_from("<IIH", raw, 9)
    label = raw[29:157].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    (block_size,) = struct.unpack_from("<Q", raw, 161)
    identifier = f"{first:08x}-{second:08x}-{third:04x}-{raw[19:25].hex()}"
    return VmfsHeader(volume_version, version, identifier, label, block_size)


def parse_storage_spaces(raw: bytes) -> str | None:
    """Return the identifier of the pool of a Storage Spaces partition, None when it is none (big-endian fields)."""
    if raw[:8] != b"SPACEDB ":
        return None
    at = 16 * struct.unpack_from(">H", raw, 8)[0]
    return str(uuid.UUID(bytes=raw[at : at + 16])) if at + 16 <= len(raw) else None


class PrivateHead(msgspec.Struct, frozen=True):
    """The private header of a dynamic disk: names and identifiers as text, sizes in bytes of the disk."""

    version: str
    disk: str
    host: str
    group: str
    group_name: str
    start: int
    size: int


def parse_private_head(raw: bytes) -> PrivateHead | None:
    """Return LDM's PRIVHEAD, None when it is none (big-endian)."""
    if raw[:8] != b"PRIVHEAD":
        return None
    major, minor = struct.unpack_from(">HH", raw, 12)
    start, size = struct.unpack_from(">QQ", raw, 283)
    fields = [
        raw[at : at + length].split(b"\0", 1)[0].decode("ascii", "replace")
        for at, length in ((48, 64), (112, 64), (176, 64), (240, 32))
    ]
    disk, host, group, name = fields
    return PrivateHead(f"{major}.{minor}", disk, host, group, name, start * 512, size * 512)


Pairs = dict[str, "int | str | Pairs"]


def parse_zfs_pairs(raw: bytes) -> Pairs:
    """Return the numbers, texts and nested lists of a label's list of pairs (XDR), as far as they can be read."""
    if raw[:2] != b"\x01\x01":  # XDR, big-endian
        return {}
    budget = [_ZFS_PAIRS]
    return dict(_pairs(raw, 4, 0, budget)[0])


def _pairs(raw: bytes, at: int, depth: int, budget: list[int]) -> tuple[list[tuple[str, int | str | Pairs]], int]:
    """Return the pairs of a list that begins at `at` with version and flags, and where it ends."""
    found: list[tuple[str, int | str | Pairs]] = []
    at += 8
    while at + 8 <= len(raw):
        size, decoded = struct.unpack_from(">II", raw, at)
        if not size and not decoded:
            return found, at + 8
        budget[0] -= 1
        if budget[0] < 0 or size < 20 or at + size > len(raw):
            break
        (length,) = struct.unpack_from(">I", raw, at + 8)
        value = at + 12 + (length + 3 & ~3)
        if length > 256 or value + 8 > at + size:
            break
        name = raw[at + 12 : at + 12 + length].decode("utf-8", "replace")
        found.extend((name, each) for each in _value(raw[: at + size], value, depth, budget))
        at += size
    return found, at


def _value(raw: bytes, at: int, depth: int, budget: list[int]) -> Iterator[int | str | Pairs]:
    kind, count = struct.unpack_from(">II", raw, at)
    at += 8
    if kind == 8 and at + 8 <= len(raw):  # a number of 64 bits
        yield struct.unpack_from(">Q", raw, at)[0]
    elif kind == 9 and at + 4 <= len(raw):  # a text
        (length,) = struct.unpack_from(">I", raw, at)
        yield raw[at + 4 : at + 4 + min(length, 1024)].decode("utf-8", "surrogateescape")
    elif kind in {19, 20} and depth < _ZFS_DEPTH:  # a list of pairs, or several: the first stands for all
        pairs, _ = _pairs(raw, at, depth + 1, budget)
        yield dict(pairs)
    elif kind == 1:  # it is there, and that is all
        yield count
