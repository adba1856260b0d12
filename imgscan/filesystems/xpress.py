"""LZ77+Huffman compression (XPRESS), one chunk at a time.

Source: [MS-XCA] 2.1 and 2.2 ("LZ77+Huffman Compression Algorithm").
"""

from __future__ import annotations

import struct
from typing import Final

from imgscan.errors import CorruptStructure

_TABLE_BYTES: Final = 256
"""The lengths of the 512 codes, four bits each."""
_LONGEST: Final = 15
"""Bits of a code."""


def decompress(data: bytes, size: int) -> bytes:
    """Return the `size` bytes that a chunk stands for.

    :raises CorruptStructure: it cannot be, or stands for fewer
    """
    if len(data) < _TABLE_BYTES + 4:
        raise CorruptStructure("a compressed chunk is cut short")
    table = _table(data[:_TABLE_BYTES])
    out = bytearray()
    # bits are read from words of 16 bits, and whole bytes stand between the words: a word is taken as soon as fewer
    # than 16 bits are left
    first, second = struct.unpack_from("<HH", data, _TABLE_BYTES)
    bits, left, at = first << 16 | second, 32, _TABLE_BYTES + 4
    try:
        while len(out) < size:
            symbol, length = table[bits >> left - _LONGEST & 0x7FFF]
            left -= length
            if left < 16:
                bits, left, at = _refilled(bits, left, data, at)
            if symbol < 256:
                out.append(symbol)
                continue
            count, offset_bits = symbol & 15, symbol - 256 >> 4
            if count == 15:
                count += data[at]
                at += 1
                if count == 15 + 255:
                    count = data[at] | data[at + 1] << 8
                    at += 2
                    if count < 15:
                        raise CorruptStructure("a match of a compressed chunk has a length that cannot be")
            count += 3
            left -= offset_bits
            offset = (1 << offset_bits) + (bits >> left & (1 << offset_bits) - 1)
            if left < 16:
                bits, left, at = _refilled(bits, left, data, at)
            copy_match(out, offset, min(count, size - len(out)))
    except IndexError:
        raise CorruptStructure("a compressed chunk ends before its content") from None
    return bytes(out)


def _refilled(bits: int, left: int, data: bytes, at: int) -> tuple[int, int, int]:
    """Return the bits with the next word behind them; behind the end there are zeros, which the last code may reach."""
    word = int.from_bytes(data[at : at + 2], "little")
    if at > len(data) + 2:
        raise IndexError
    return (bits & (1 << left) - 1) << 16 | word, left + 16, at + 2


def _table(lengths: bytes) -> list[tuple[int, int]]:
    """Return symbol and length of the code that each 15 bits begin with."""
    coded = [
        (length, 2 * at + high) for at, byte in enumerate(lengths) for high, length in enumerate((byte & 15, byte >> 4))
    ]
    return code_table(sorted(pair for pair in coded if pair[0]), _LONGEST)


def code_table(coded: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """Return symbol and length by the `longest` bits that come; `coded` are lengths and symbols in canonical order.

    :raises CorruptStructure: the codes do not fill the table, or are more than fit
    """
    table: list[tuple[int, int]] = []
    for length, symbol in coded:
        table += [(symbol, length)] * (1 << longest - length)
        if len(table) > 1 << longest:
            break
    if len(table) != 1 << longest:
        raise CorruptStructure("the codes of a compressed chunk cannot be")
    return table


def copy_match(out: bytearray, offset: int, count: int) -> None:
    """Repeat `count` bytes from `offset` before the end, which may overlap what they make."""
    start = len(out) - offset
    if not 0 <= start < len(out):
        raise CorruptStructure("a match of a compressed chunk begins outside of it")
    if offset >= count:
        out += out[start : start + count]
    else:
        piece = bytes(out[start:])
        out += (piece * (count // offset + 1))[:count]
