"""LZX compression as Windows uses it for system files and WIM images: chunks of 32 KiB that stand alone.

Source: [MS-PATCH] 2 ("LZX DELTA") for codes and blocks; Microsoft's WIM format, as wimlib's documentation describes it:
sizes of blocks, and the addresses of calls in programs, which are translated as if a file had 12,000,000 bytes.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.filesystems.xpress import code_table, copy_match

CHUNK: Final = 32768
_SLOTS: Final = 30
"""Position slots of a window of 32 KiB."""
_MAIN: Final = 256 + 8 * _SLOTS
_LENGTHS: Final = 249
_FILE_SIZE: Final = 12_000_000
_VERBATIM, _ALIGNED, _UNCOMPRESSED = 1, 2, 3
_CALL: Final = 0xE8
_BLOCKS: Final = 32
"""Blocks of one chunk, each with codes of its own to be made ready; compressors make one to five of them."""


class _Code(msgspec.Struct, frozen=True):
    """A code whose longest words have so many bits: symbol and length by the bits that come; empty without symbols."""

    table: list[tuple[int, int]]
    bits: int


class _Bits:
    """Bits from words of 16, the highest first; behind the end there are zeros, as far as a code may look ahead."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._bits = 0
        self._left = 0

    def peek(self, count: int) -> int:
        """Return the next bits, up to 16, without taking them."""
        while self._left < count:
            self._bits = (self._bits & 0xFFFF) << 16 | int.from_bytes(self._data[self._at : self._at + 2], "little")
            self._left += 16
            self._at += 2
        return self._bits >> self._left - count & (1 << count) - 1

    def take(self, count: int) -> int:
        """Return the next bits.

        :raises CorruptStructure: there are no more
        """
        found = self.peek(count)
        self._left -= count
        if self._at - self._left // 8 > len(self._data):
            raise CorruptStructure("a compressed chunk ends before its content")
        return found

    def symbol(self, code: _Code) -> int:
        """Return the next symbol of a code."""
        if not code.table:
            raise CorruptStructure("a block of a compressed chunk uses a code that it does not have")
        symbol, length = code.table[self.peek(code.bits)]
        self.take(length)
        return symbol

    def align(self) -> None:
        """Go to the end of the word; where one has just ended, to that of the next."""
        self.take(self._left % 16 or 16)
        self._at -= self._left // 8
        self._bits = self._left = 0

    def whole(self, count: int) -> bytes:
        """Return whole bytes; there is no begun word."""
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise CorruptStructure("a compressed chunk ends before its content")
        self._at += count
        return found


def decompress(data: bytes, size: int) -> bytes:
    """Return the `size` bytes, 32 KiB at most, that a chunk stands for.

    :raises CorruptStructure: it cannot be, or stands for fewer
    :raises LimitExceeded: it is of more blocks than any compressor makes
    """
    bits, out, recent = _Bits(data), bytearray(), [1, 1, 1]
    lengths = [0] * _MAIN, [0] * _LENGTHS
    for _ in range(_BLOCKS):
        if len(out) == size:
            break
        kind = bits.take(3)
        block = CHUNK if bits.take(1) else bits.take(16)
        if not 0 < block <= size - len(out):
            raise CorruptStructure("a block of a compressed chunk has a size that cannot be")
        if kind == _UNCOMPRESSED:
            bits.align()
            recent[:] = struct.unpack("<3I", bits.whole(12))
            out += bits.whole(block)
            if block % 2 and len(out) < size:
                bits.whole(1)
        elif kind in {_VERBATIM, _ALIGNED}:
            _block(bits, out, recent, _codes(bits, lengths, is_aligned=kind == _ALIGNED), len(out) + block)
        else:
            raise CorruptStructure(f"a block of a compressed chunk is of kind {kind}")
    if len(out) < size:
        raise LimitExceeded(f"a compressed chunk has more than {_BLOCKS} blocks")
    return _untranslated(out)


class _Codes(msgspec.Struct, frozen=True):
    """The codes of a block: for literals and matches, for long lengths, and for the low bits of offsets."""

    main: _Code
    lengths: _Code
    aligned: _Code


def _codes(bits: _Bits, lengths: tuple[list[int], list[int]], *, is_aligned: bool) -> _Codes:
    """Read the codes of a block; those of the main and length codes are told by how they differ from the last ones."""
    low = [bits.take(3) for _ in range(8)] if is_aligned else []
    main, more = lengths
    _read_lengths(bits, main, 0, 256)
    _read_lengths(bits, main, 256, _MAIN)
    _read_lengths(bits, more, 0, _LENGTHS)
    return _Codes(_code(main), _code(more), _code(low))


def _code(lengths: list[int]) -> _Code:
    """Return a code by the lengths of its symbols' words."""
    coded = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not coded:
        return _Code([], 0)
    longest = coded[-1][0]
    return _Code(code_table(coded, longest), longest)


def _read_lengths(bits: _Bits, lengths: list[int], at: int, end: int) -> None:
    changes = _code([bits.take(4) for _ in range(20)])
    while at < end:
        code = bits.symbol(changes)
        if code < 17:
            lengths[at] = (lengths[at] - code) % 17
            at += 1
            continue
        value = 0
        if code == 17:
            run = 4 + bits.take(4)
        elif code == 18:
            run = 20 + bits.take(5)
        else:
            run = 4 + bits.take(1)
            value = (lengths[at] - bits.symbol(changes)) % 17
        run = min(run, end - at)
        lengths[at : at + run] = [value] * run
        at += run


def _block(bits: _Bits, out: bytearray, recent: list[int], codes: _Codes, end: int) -> None:
    """Decode literals and matches up to `end` bytes."""
    while len(out) < end:
        symbol = bits.symbol(codes.main)
        if symbol < 256:
            out.append(symbol)
            continue
        slot, count = divmod(symbol - 256, 8)
        if count == 7:
            count += bits.symbol(codes.lengths)
        if slot < 3:
            recent[0], recent[slot] = recent[slot], recent[0]
        else:
            recent[:] = [_offset(bits, slot, codes.aligned), *recent[:2]]
        if count + 2 > end - len(out):
            raise CorruptStructure("a match of a compressed chunk ends behind its block")
        copy_match(out, recent[0], count + 2)


def _offset(bits: _Bits, slot: int, aligned: _Code) -> int:
    """Return the offset of a match in a position slot: two slots for each number of bits behind the highest two."""
    extra = max(0, slot // 2 - 1)
    base = slot if slot < 4 else 2 + slot % 2 << extra
    if aligned.table and extra >= 3:
        return base + (bits.take(extra - 3) << 3) + bits.symbol(aligned) - 2
    return base + bits.take(extra) - 2


def _untranslated(out: bytearray) -> bytes:
    """Return a chunk with the addresses of calls relative again."""
    at = out.find(_CALL)
    while 0 <= at < len(out) - 10:
        (address,) = struct.unpack_from("<i", out, at + 1)
        if 0 <= address < _FILE_SIZE:
            struct.pack_into("<i", out, at + 1, address - at)
        elif -at <= address < 0:
            struct.pack_into("<i", out, at + 1, address + _FILE_SIZE)
        at = out.find(_CALL, at + 5)
    return bytes(out)
