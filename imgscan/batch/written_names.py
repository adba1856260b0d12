r"""Names of the share as the ledger and the reports write them: printable, and each name in one way only.

`imgscan.model.text.shown` makes text harmless, but two names may look the same afterwards. Here a backslash is escaped
too (``\x5c``), so that the written form leads back to the name.
"""

from __future__ import annotations

import re

from imgscan.model.text import shown

_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def written(name: str) -> str:
    r"""Return a name (bytes that are no UTF-8 as lone surrogates) with every hidden character and backslash escaped.

    ``\xNN`` from 80 on is a byte that is no UTF-8, below it and ``\uNNNN``, ``\UNNNNNNNN`` are characters.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    return "".join(_written_character(character) for character in name)


def restored(text: str) -> str:
    """Return the name that `written` made `text` of; text that it never makes is returned with what can be undone."""
    return text if "\\" not in text else _ESCAPE.sub(_restored_character, text)


def _written_character(character: str) -> str:
    if character == "\\":
        return "\\x5c"
    escaped = shown(character)
    if escaped.startswith("\\x") and 0x80 <= ord(character) <= 0xFF:
        return f"\\u{ord(character):04x}"  # \x85 is the byte, this the character
    return escaped


def _restored_character(match: re.Match[str]) -> str:
    code = int(next(digits for digits in match.groups() if digits), 16)
    if match[1] and code >= 0x80:
        return chr(0xDC00 + code)
    return chr(code) if code <= 0x10FFFF else match[0]
