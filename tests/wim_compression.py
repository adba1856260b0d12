"""Compresses chunks with libwim, the foreign compressor of these tests (wimlib, which writes WIM images)."""

from __future__ import annotations

import ctypes
import struct

from tools import require_tool

XPRESS, LZX = 1, 2


def _library() -> ctypes.CDLL:
    require_tool("wimlib-imagex")
    return ctypes.CDLL("libwim.so.15")


def compressed(data: bytes, kind: int, chunk: int, level: int = 50) -> bytes | None:
    """Return a chunk compressed, None where it would not become smaller."""
    library = _library()
    library.wimlib_compress.restype = ctypes.c_size_t
    library.wimlib_compress.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    made = ctypes.c_void_p()
    status = library.wimlib_create_compressor(kind, ctypes.c_size_t(chunk), level, ctypes.byref(made))
    assert status == 0, status
    room = ctypes.create_string_buffer(len(data))
    size = library.wimlib_compress(data, len(data), room, len(data) - 1, made)
    library.wimlib_free_compressor(made)
    return room.raw[:size] if size else None


def decompressed(data: bytes, kind: int, chunk: int, size: int) -> bytes | None:
    """Return what libwim makes of a compressed chunk, None where it refuses it."""
    library = _library()
    made = ctypes.c_void_p()
    assert library.wimlib_create_decompressor(kind, ctypes.c_size_t(chunk), ctypes.byref(made)) == 0
    room = ctypes.create_string_buffer(size)
    status = library.wimlib_decompress(data, ctypes.c_size_t(len(data)), room, ctypes.c_size_t(size), made)
    library.wimlib_free_decompressor(made)
    return room.raw if status == 0 else None


CHUNKS = (4096, 32768, 8192, 16384)
"""Content of a chunk by the number of the algorithm: XPRESS4K, LZX, XPRESS8K, XPRESS16K."""


def wof_stream(content: bytes, algorithm: int) -> bytes:
    """Return content as Windows keeps it compressed by the system: a table of the chunks' places, and the chunks."""
    size, kind = CHUNKS[algorithm], LZX if algorithm == 1 else XPRESS
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    chunks = [compressed(piece, kind, size) or piece for piece in pieces]
    places = [sum(map(len, chunks[:number])) for number in range(1, len(chunks))]
    return struct.pack(f"<{len(places)}I", *places) + b"".join(chunks)
