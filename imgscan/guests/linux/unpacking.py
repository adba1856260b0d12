"""Compressed parts of an initramfs, unpacked as a stream: each takes bytes from an input and leaves what is behind it.

Sources: RFC 1952 (gzip), the .xz and .lzma file formats of XZ Utils, RFC 8878 (Zstandard frames and blocks), LZ4's
"Frame Format" and "Legacy frame", bzip2's manual. A piece of output is at most some MiB, whatever the input claims.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat

if TYPE_CHECKING:
    from bz2 import BZ2Decompressor
    from lzma import LZMADecompressor

_IN: Final = 256 * KIB
_OUT: Final = 1 * MIB
_DICTIONARY_BYTES: Final = 96 * MIB
"""What xz and lzma may use; xz -9 needs 65 MiB."""
_WINDOW_BYTES: Final = 64 * MIB
BLOCKS: Final = 200_000
"""Blocks of one zstd or lz4 archive."""
_LEGACY_BLOCK: Final = 8 * MIB
_LEGACY_PACKED: Final = _LEGACY_BLOCK + _LEGACY_BLOCK // 255 + 16
_LZ4_FRAME, _LZ4_LEGACY = b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"


class Input(Protocol):
    """Where packed bytes come from."""

    def read(self, size: int) -> bytes:
        """Return up to that many bytes; fewer only at the end."""
        ...

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        ...


Unpacker = Callable[[Input], Iterator[bytes]]


def unpacker_of(head: bytes) -> tuple[str, Unpacker] | None:
    """Return name and unpacker of what begins with these bytes; None for what is not compressed.

    :raises UnsupportedFormat: it is compressed in a form that is not read (LZO)
    """
    if head.startswith(b"\x89LZO\0\r\n\x1a\n"):
        raise UnsupportedFormat("it is compressed with lzop, which is not read")
    for magic, name, unpack in _FORMS:
        if head.startswith(magic):
            return name, unpack
    return None


def _exactly(packed: Input, size: int) -> bytes:
    data = packed.read(size)
    if len(data) != size:
        raise CorruptStructure("its compressed data is cut off")
    return data


def _gzip(packed: Input) -> Iterator[bytes]:
    import zlib  # noqa: PLC0415 - start-up time

    inflate = zlib.decompressobj(31)
    try:
        while not inflate.eof:
            data = inflate.unconsumed_tail or packed.read(_IN)
            piece = inflate.decompress(data, _OUT)
            if not piece and not data:
                raise CorruptStructure("its gzip data is cut off")
            yield piece
    except zlib.error as error:
        raise CorruptStructure(f"its gzip data is damaged: {error}") from error
    packed.unread(inflate.unused_data)


def _by_library(packed: Input, unpack: BZ2Decompressor | LZMADecompressor, name: str) -> Iterator[bytes]:
    import lzma  # noqa: PLC0415 - start-up time

    try:
        while not unpack.eof:
            data = packed.read(_IN) if unpack.needs_input else b""
            if unpack.needs_input and not data:
                raise CorruptStructure(f"its {name} data is cut off")
            yield unpack.decompress(data, _OUT)
    except (lzma.LZMAError, OSError, ValueError) as error:
        if "limit" in str(error):
            raise LimitExceeded(f"unpacking its {name} data needs more than {_DICTIONARY_BYTES} bytes") from error
        raise CorruptStructure(f"its {name} data is damaged: {error}") from error
    packed.unread(unpack.unused_data)


def _xz(packed: Input) -> Iterator[bytes]:
    import lzma  # noqa: PLC0415 - the same

    unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY_BYTES)
    yield from _by_library(packed, unpack, "xz")


def _lzma(packed: Input) -> Iterator[bytes]:
    import lzma  # noqa: PLC0415 - the same

    unpack = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_DICTIONARY_BYTES)
    yield from _by_library(packed, unpack, "lzma")


def _bzip2(packed: Input) -> Iterator[bytes]:
    import bz2  # noqa: PLC0415 - the same

    yield from _by_library(packed, bz2.BZ2Decompressor(), "bzip2")


def _zstd(packed: Input) -> Iterator[bytes]:
    """Unpack one frame, a block of at most 128 KiB at a time: fed more, a few bytes could become gigabytes."""
    import zstandard  # noqa: PLC0415 - the same

    unpack = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
    head = _exactly(packed, 5)
    flags = head[4]
    is_single = flags >> 5 & 1
    more = (1 - is_single) + (0, 1, 2, 4)[flags & 3] + (is_single, 2, 4, 8)[flags >> 6]
    try:
        yield unpack.decompress(head + _exactly(packed, more))
        for _ in range(BLOCKS):
            block = _exactly(packed, 3)
            number = int.from_bytes(block, "little")
            is_last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
            if kind == 3 or size > 2 * MIB:
                raise CorruptStructure("its zstd data has a block that is none")
            yield unpack.decompress(block + _exactly(packed, 1 if kind == 1 else size))
            if is_last:
                break
        else:
            raise LimitExceeded(f"its zstd data has more than {BLOCKS} blocks")
        if flags >> 2 & 1:
            yield unpack.decompress(_exactly(packed, 4))
    except zstandard.ZstdError as error:
        if "memory" in str(error).lower() or "window" in str(error).lower():
            raise LimitExceeded(f"unpacking its zstd data needs more than {_WINDOW_BYTES} bytes") from error
        raise CorruptStructure(f"its zstd data is damaged: {error}") from error


def _lz4_legacy(packed: Input) -> Iterator[bytes]:
    _exactly(packed, 4)
    for _ in range(BLOCKS):
        head = packed.read(4)
        if head == _LZ4_LEGACY:
            continue  # another stream right behind
        size = int.from_bytes(head, "little")
        if len(head) < 4 or not 0 < size <= _LEGACY_PACKED:
            packed.unread(head)
            return
        yield _lz4_block(_exactly(packed, size), _LEGACY_BLOCK)
    raise LimitExceeded(f"its lz4 data has more than {BLOCKS} blocks")


def _lz4(packed: Input) -> Iterator[bytes]:
    head = _exactly(packed, 6)
    flags, most = head[4], {4: 64 * KIB, 5: 256 * KIB, 6: 1 * MIB, 7: 4 * MIB}.get(head[5] >> 4 & 7)
    if flags >> 6 != 1 or most is None or flags & 1:
        raise UnsupportedFormat("its lz4 data is of a version, or with a dictionary, that is not read")
    _exactly(packed, (8 if flags >> 3 & 1 else 0) + 1)
    is_linked = not flags >> 5 & 1
    before = b""
    for _ in range(BLOCKS):
        (size,) = struct.unpack("<I", _exactly(packed, 4))
        if size == 0:
            break
        length = size & 0x7FFFFFFF
        if length > most:
            raise CorruptStructure("its lz4 data has a block that is none")
        data = _exactly(packed, length)
        piece = data if size >> 31 else _lz4_block(data, most, before)
        if flags >> 4 & 1:
            _exactly(packed, 4)
        if is_linked:
            before = (before + piece)[-64 * KIB :]
        yield piece
    else:
        raise LimitExceeded(f"its lz4 data has more than {BLOCKS} blocks")
    if flags >> 2 & 1:
        _exactly(packed, 4)


def _lz4_block(data: bytes, most: int, before: bytes = b"") -> bytes:
    from lz4 import block  # noqa: PLC0415 - start-up time

    try:
        found = block.decompress(data, uncompressed_size=most, dict=before or None)
    except block.LZ4BlockError as error:
        raise CorruptStructure(f"its lz4 data is damaged: {error}") from error
    return bytes(found)


_FORMS: Final[tuple[tuple[bytes, str, Unpacker], ...]] = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (_LZ4_LEGACY, "lz4-legacy", _lz4_legacy),
    (_LZ4_FRAME, "lz4", _lz4),
    (b"BZh", "bzip2", _bzip2),
    (b"\x5d\0\0", "lzma", _lzma),
)
