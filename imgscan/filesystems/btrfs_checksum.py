"""Checksums of Btrfs: CRC-32C, xxHash64, SHA-256, BLAKE2b, by the number in the superblock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.layouts.crc32c import crc32c


class Checksum(msgspec.Struct, frozen=True):
    """`size` bytes that `compute` returns, as they are on disk."""

    name: str
    size: int
    compute: Callable[[bytes], bytes]

    def is_right(self, data: bytes, wanted: bytes) -> bool:
        """Whether `data` has the checksum that `wanted` begins with."""
        return self.compute(data) == wanted[: self.size]


def _crc32c(data: bytes) -> bytes:
    return crc32c(data).to_bytes(4, "little")


def _xxhash(data: bytes) -> bytes:
    from xxhash import xxh64_intdigest  # noqa: PLC0415 - start-up time

    return xxh64_intdigest(data).to_bytes(8, "little")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _blake2(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


CHECKSUMS: Final = {
    0: Checksum("crc32c", 4, _crc32c),
    1: Checksum("xxhash64", 8, _xxhash),
    2: Checksum("sha256", 32, _sha256),
    3: Checksum("blake2b", 32, _blake2),
}


def name_hash(name: bytes) -> int:
    """Return the hash of a name by which a directory finds it: CRC-32C begun with ~1, and not inverted at its end."""
    return crc32c(name, before=1) ^ 0xFFFF_FFFF
