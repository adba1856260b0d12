"""Parity of RAID 5 and 6: sums are exclusive or, products those of GF(2^8) with the polynomial 0x11D, generator 2.

Source: H. P. Anvin, "The mathematics of RAID-6" (2004-2011). Blocks are `bytes` of one length.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

_POLYNOMIAL: Final = 0x11D


def add(blocks: Iterable[bytes], length: int) -> bytes:
    """Return the sum of blocks of `length` bytes, zeros when there are none."""
    total = 0
    for block in blocks:
        total ^= int.from_bytes(block, "little")
    return total.to_bytes(length, "little")


def scale(block: bytes, factor: int) -> bytes:
    """Return every byte of a block times `factor`."""
    return block if factor == 1 else block.translate(_products(factor))


def power(exponent: int) -> int:
    """Return the generator to the power of `exponent`, which may be negative."""
    return _powers()[exponent % 255]


def inverse(number: int) -> int:
    """Return what gives 1 when multiplied with `number`, which is not 0."""
    powers = _powers()
    return powers[-powers.index(number) % 255]


def multiply(one: int, other: int) -> int:
    """Return the product of two numbers below 256."""
    return _products(one)[other]


@cache
def _powers() -> tuple[int, ...]:
    powers, number = [], 1
    for _ in range(255):
        powers.append(number)
        number <<= 1
        if number & 0x100:
            number ^= _POLYNOMIAL
    return tuple(powers)


@cache
def _products(factor: int) -> bytes:
    """Return the products of `factor` with every byte, as a translation table."""
    products = bytearray(256)
    for byte in range(256):
        product, rest, doubled = 0, byte, factor
        while rest:
            if rest & 1:
                product ^= doubled
            rest >>= 1
            doubled <<= 1
            if doubled & 0x100:
                doubled ^= _POLYNOMIAL
        products[byte] = product
    return bytes(products)
