"""Compressed extents of Btrfs, unpacked: zlib, LZO, Zstandard.

Source: the Btrfs developer documentation, "On-disk format" and "Compression"; LZO's framing as in the kernel's
fs/btrfs/lzo.c: the total size, then segments of at most one sector unpacked, whose sizes do not cross a sector.
"""

from __future__ import annotations

import zlib
from typing import Final

from imgscan.errors import CorruptStructure
from imgscan.filesystems import lzo1x
from imgscan.layouts import btrfs

_ZSTD_WINDOW: Final = 1 << 17
"""What Btrfs packs with at most."""


def unpack(data: bytes, compression: int, size: int, sector_size: int) -> bytes:
    """Return the `size` bytes that a compressed extent holds; zeros at the end where it holds fewer.

    :raises CorruptStructure: it cannot be unpacked (no place is named: the caller knows it)
    """
    if compression == btrfs.ZLIB:
        out = _zlib(data, size)
    elif compression == btrfs.LZO:
        out = _lzo(data, size, sector_size)
    else:
        out = _zstd(data, size)
    return out.ljust(size, b"\0")


def _zlib(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, size)
    except zlib.error as error:
        raise CorruptStructure(f"zlib data cannot be unpacked: {error}") from error
    if len(out) < size and not stream.eof:
        raise CorruptStructure(f"zlib data ends after {len(out)} of {size} bytes")
    return out


def _lzo(data: bytes, size: int, sector_size: int) -> bytes:
    total = int.from_bytes(data[:4], "little")
    if not 4 <= total <= len(data):
        raise CorruptStructure(f"LZO data claims {total} of {len(data)} bytes")
    out = bytearray()
    at = 4
    while at < total and len(out) < size:
        left = sector_size - at % sector_size
        if left < 4:  # no size crosses a sector
            at += left
            continue
        length = int.from_bytes(data[at : at + 4], "little")
        if not 0 < length <= total - at - 4:
            raise CorruptStructure(f"an LZO segment claims {length} bytes")
        out += lzo1x.unpack(data[at + 4 : at + 4 + length], sector_size)
        at += 4 + length
    return bytes(out[:size])


def _zstd(data: bytes, size: int) -> bytes:
    from zstandard import ZstdDecompressor, ZstdError, frame_content_size  # noqa: PLC0415 - start-up time, rarely needed

    try:
        with ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(data) as stream:
            out = stream.read(size)  # up to the end of the frame: what follows it is padding
        expected = min(size, frame_content_size(data))
    except ZstdError as error:
        raise CorruptStructure(f"Zstandard data cannot be unpacked: {error}") from error
    if len(out) < expected:
        raise CorruptStructure(f"Zstandard data ends after {len(out)} of {expected} bytes")
    return out
