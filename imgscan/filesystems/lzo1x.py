"""LZO1X, unpacked. Source: the stream format as the Linux kernel documents it (Documentation/staging/lzo.rst).

There is no package for it with ready-made wheels, and Btrfs packs at most one sector (4 to 64 KiB) at a time.
"""

from __future__ import annotations

from imgscan.errors import CorruptStructure


def unpack(data: bytes, limit: int) -> bytes:
    """Return what `data` holds, at most `limit` bytes.

    :raises CorruptStructure: it is no such stream, or holds more (no place is named: the caller knows it)
    """
    try:
        return _unpack(data, limit)
    except IndexError:
        raise CorruptStructure("LZO data ends too early") from None


def _unpack(data: bytes, limit: int) -> bytes:
    out = bytearray()
    at = 0
    state = 0  # how many literals the last instruction copied, 4 for a long run of them
    if data[0] > 17:
        count = data[0] - 17
        _literals(data, 1, count, out, limit)
        at, state = 1 + count, min(count, 4)
    while True:
        code = data[at]
        at += 1
        if code >= 64:
            length = (code >> 5) + 1
            distance = (data[at] << 3) + (code >> 2 & 7) + 1
            at += 1
            state = code & 3
        elif code >= 32:
            length, at = _length(data, at, code, 31)
            pair = data[at] | data[at + 1] << 8
            at += 2
            length, distance, state = length + 2, (pair >> 2) + 1, pair & 3
        elif code >= 16:
            length, at = _length(data, at, code, 7)
            pair = data[at] | data[at + 1] << 8
            at += 2
            length, distance, state = length + 2, 16384 + ((code & 8) << 11) + (pair >> 2), pair & 3
            if distance == 16384:
                return bytes(out)
        elif state == 0:
            count, at = _length(data, at, code, 15)
            _literals(data, at, count + 3, out, limit)
            at, state = at + count + 3, 4
            continue
        else:
            length, distance = (2, 1) if state < 4 else (3, 2049)
            distance += (data[at] << 2) + (code >> 2)
            at += 1
            state = code & 3
        _match(out, distance, length, limit)
        if state:
            _literals(data, at, state, out, limit)
            at += state


def _length(data: bytes, at: int, code: int, mask: int) -> tuple[int, int]:
    """Return a length that its bits hold, or zero bytes (255 each) and one more; and where it ends."""
    length = code & mask
    if length:
        return length, at
    length = mask
    while not data[at]:
        length += 255
        at += 1
    return length + data[at], at + 1


def _literals(data: bytes, at: int, count: int, out: bytearray, limit: int) -> None:
    if at + count > len(data):
        raise CorruptStructure("LZO data ends within literals")
    if len(out) + count > limit:
        raise CorruptStructure(f"LZO data holds more than {limit} bytes")
    out += data[at : at + count]


def _match(out: bytearray, distance: int, length: int, limit: int) -> None:
    if distance > len(out):
        raise CorruptStructure("LZO data refers to what lies before its start")
    if len(out) + length > limit:
        raise CorruptStructure(f"LZO data holds more than {limit} bytes")
    start = len(out) - distance
    if distance >= length:
        out += out[start : start + length]
    else:  # the copy repeats itself
        pattern = bytes(out[start:])
        out += (pattern * (length // distance + 1))[:length]
