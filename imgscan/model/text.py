"""How text that comes from an image is shown.

Names on disk are bytes. imgscan holds them as `str` decoded from UTF-8 with `surrogateescape`, so that nothing is
lost; before they enter the model they are made printable here, and names that are not valid text keep their bytes.
"""

from __future__ import annotations

import unicodedata


def shown(text: str) -> str:
    r"""Return `text` with every control, bidirectional and undecodable character written as an escape.

    Newlines too: what comes back is one line. Bytes that were not UTF-8 (lone surrogates U+DC80..U+DCFF) become
    ``\\xNN``, other hidden characters ``\\uNNNN``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown_character(character) for character in text)


def raw_bytes(text: str) -> bytes | None:
    """Return the bytes behind `text` when `shown` had to change it, else None (the shown form is the name)."""
    return (
        None
        if shown(text) == text
        else text.encode("utf-8", "surrogateescape" if _escapable(text) else "surrogatepass")
    )


def _escapable(text: str) -> bool:
    return all(not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text)


def _shown_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # control, format (bidirectional, zero width), surrogate, private, unassigned, line and paragraph separators
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
