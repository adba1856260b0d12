"""Configuration files as text: bytes that are none are damage, never a file that says nothing."""

from __future__ import annotations

import re
from typing import Final

from imgscan.devices.guest_tree import Location, decode, read_file
from imgscan.errors import CorruptStructure
from imgscan.model.text import shown

_STRANGE_PART: Final = 0.1
"""The part of a text that may be undecodable or control characters: titles in an old encoding, colours."""
_STRANGE: Final = re.compile("[\udc80-\udcff\0-\x08\x0e-\x1a\x1c-\x1f]")
"""What stands for an undecodable byte (surrogateescape), and control characters without use here."""
_STRANGE_BYTES: Final = bytes([*range(9), *range(0x0E, 0x1B), *range(0x1C, 0x20)])
"""Those that ASCII has."""


def read_text(place: Location, limit: int) -> str:
    """Return the whole content of a configuration file, decoded as `decode` does.

    :raises LimitExceeded: it is larger than `limit` bytes
    :raises CorruptStructure: it is no text: it has NUL bytes, or much of it is no character
    """
    text = decode(read_file(place, limit))
    if "\0" in text:
        raise CorruptStructure(f"{shown(place.path)} is no text: it has NUL bytes", where=place.filesystem.volume)
    strange = _count_strange(text)
    if strange > len(text) * _STRANGE_PART:
        detail = f"{strange} of its {len(text)} characters are none of a text"
        raise CorruptStructure(f"{shown(place.path)} is no text: {detail}", where=place.filesystem.volume)
    return text


def _count_strange(text: str) -> int:
    if text.isascii():  # most are, and large ones are read: a twentieth of the time
        return len(text) - len(text.encode("ascii").translate(None, _STRANGE_BYTES))
    return len(_STRANGE.findall(text))
