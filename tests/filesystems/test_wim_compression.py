"""XPRESS and LZX as libwim compresses."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import pytest
from tools import requires_tool
from wim_compression import LZX, XPRESS, compressed, decompressed, wof_stream

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.filesystems import lzx, xpress
from imgscan.filesystems.wof import CompressedFile

pytestmark = requires_tool("wimlib-imagex")

KINDS = [(XPRESS, 4096), (XPRESS, 8192), (XPRESS, 16384), (LZX, 32768)]
chance = random.Random(6)
WORDS = [bytes(chance.randrange(97, 123) for _ in range(chance.randrange(2, 9))) for _ in range(300)]
CONTENTS = {
    "zeros": bytes(40000),
    "text": b" ".join(chance.choice(WORDS) for _ in range(9000)),
    "long-matches": (bytes(range(256)) * 3 + bytes(5000)) * 8,
    "few-symbols": bytes(chance.choice(b"ab") for _ in range(40000)),
    "calls": b"".join(
        b"\xe8" + (n * 977 % 60000 - 30000).to_bytes(4, "little", signed=True) + b"\x90" for n in range(7000)
    ),
    "program": Path(sys.executable).resolve().read_bytes()[:200_000],
    "noise-in-text": b"".join(chance.choice(WORDS) + chance.randbytes(3) for _ in range(6000)),
}


def unpack(kind: int, data: bytes, size: int) -> bytes:
    return lzx.decompress(data, size) if kind == LZX else xpress.decompress(data, size)


def compare(kind: int, chunk: int, content: bytes, sizes: list[int], levels: tuple[int, ...]) -> None:
    """Compress pieces of these sizes, one third into each other, and ask for them back."""
    count, at = 0, 0
    for size in sizes:
        piece = content[at : at + size]
        at += size // 3
        for level in levels:
            packed = compressed(piece, kind, chunk, level)
            if packed is not None:
                count += 1
                assert unpack(kind, packed, len(piece)) == piece
    assert count


@pytest.mark.parametrize("name", ["text", "long-matches", "calls", "program"])
@pytest.mark.parametrize(("kind", "chunk"), KINDS)
def test_what_libwim_compressed(kind: int, chunk: int, name: str) -> None:
    compare(kind, chunk, CONTENTS[name], [min(chunk, 9000), 1000, 17], (50,))


@pytest.mark.long
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize(("kind", "chunk"), KINDS)
def test_much_that_libwim_compressed(kind: int, chunk: int, name: str) -> None:
    compare(kind, chunk, CONTENTS[name], [chunk] * 6 + [chunk - 1, 4095, 1000, 17, 5], (20, 50, 100))


@pytest.mark.parametrize(("kind", "chunk"), KINDS)
def test_damage_ends_in_an_error_or_in_what_libwim_makes_of_it(kind: int, chunk: int) -> None:
    piece = CONTENTS["text"][:3000]
    packed = compressed(piece, kind, chunk)
    assert packed is not None
    for cut in (0, 1, 10, 255, 256, 259, 300, len(packed) // 2):
        with pytest.raises(CorruptStructure):
            unpack(kind, packed[:cut], len(piece))
    errors = same = 0
    for _ in range(25):
        changed = bytearray(packed)
        for _ in range(chance.choice((1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        other = decompressed(bytes(changed), kind, chunk, len(piece))
        try:
            found = unpack(kind, bytes(changed), len(piece))
        except CorruptStructure:
            errors += 1
            continue
        assert len(found) == len(piece)
        if other is not None:
            assert found == other
            same += 1
    assert errors
    assert same


def words(*fields: tuple[int, int]) -> bytes:
    """Return numbers of so many bits in words of 16, the highest first, filled up."""
    bits = "".join(f"{value:0{count}b}" for value, count in fields)
    bits += "0" * (-len(bits) % 16)
    return b"".join(int(bits[at : at + 16], 2).to_bytes(2, "little") for at in range(0, len(bits), 16))


def test_blocks_that_are_not_compressed() -> None:
    """Compressors make none of them: laid out as documented, and libwim reads them alike."""
    offsets = struct.pack("<3I", 7, 8, 9)
    first, second = b"odd", b"\xe8 and more than enough"
    chunk = words((3, 3), (0, 1), (len(first), 16)) + offsets + first + b"\0"
    chunk += words((3, 3), (0, 1), (len(second), 16)) + offsets + second
    size = len(first) + len(second)
    assert lzx.decompress(chunk, size) == decompressed(chunk, LZX, 32768, size)
    aligned = words((3, 3), (1, 1)) + offsets + bytes(range(256)) * 128
    assert lzx.decompress(aligned, 32768) == decompressed(aligned, LZX, 32768, 32768)
    for wrong in (words((3, 3), (0, 1), (0, 16)), words((7, 3), (0, 1), (9, 16)), words((3, 3), (0, 1), (99, 16))):
        with pytest.raises(CorruptStructure):
            lzx.decompress(wrong + bytes(200), size)


def test_matches() -> None:
    out = bytearray(b"abc")
    xpress.copy_match(out, 2, 5)
    assert out == b"abcbcbcb"
    for offset in (0, -1, 9):  # an offset that a block which is not compressed set may be anything
        with pytest.raises(CorruptStructure, match="outside"):
            xpress.copy_match(out, offset, 5)


@pytest.mark.parametrize("algorithm", range(4))
def test_a_file_of_several_chunks(algorithm: int) -> None:
    content = CONTENTS["text"][:36_001] + chance.randbytes(34_000) + CONTENTS["calls"][:5]
    stream = wof_stream(content, algorithm)
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return stream[offset : offset + length]

    file = CompressedFile(algorithm, len(content), len(stream), read)
    places = ((0, 100), (50, 5000), (35_000, 9000), (70_000, 99), (0, len(content) + 5), (len(content), 9))
    for offset, length in places:
        assert file.read(offset, length) == content[offset : offset + length]
    reads.clear()
    assert file.read(len(content) - 1, 1) == content[-1:]
    assert reads == []  # its chunk is kept
    for wrong in (b"", stream[:40], b"\xff" * 40 + stream[40:], stream + bytes(70_000)):
        damaged = CompressedFile(algorithm, len(content), len(wrong), MemoryDevice(wrong).read_at)
        with pytest.raises(ImageError):
            damaged.read(0, len(content))


def test_a_chunk_of_very_many_blocks_ends_in_a_limit() -> None:
    """Each could have codes of its own, which take longer to make ready than all of a usual chunk."""
    block = words((3, 3), (0, 1), (1, 16)) + struct.pack("<3I", 1, 1, 1) + b"a\0"  # uncompressed, of one byte
    assert lzx.decompress(block * 30, 30) == b"a" * 30
    with pytest.raises(LimitExceeded):
        lzx.decompress(block * 40, 40)
