"""Files that are no disk image imgscan reads, recognised by content and answered with what to do."""

from __future__ import annotations

from typing import NamedTuple

from imgscan.devices.file import FileDevice
from imgscan.errors import ImageError, TruncatedRead, UnsupportedFormat


class Refusal(NamedTuple):
    """What a file is, and what its owner can do."""

    what: str
    advice: str


_UNPACK = "unpack it first"
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"\x1f\x8b", "compressed by gzip", _UNPACK),
)


def recognise(file: FileDevice) -> Refusal | None:
    """Return what the file is when its content says that it is something imgscan does not read."""
    head = file.read_at(0, min(file.size, 4096))
    for offset, magic, what, advice in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Refusal(what, advice)
    return None


def reason(file: FileDevice) -> ImageError:
    """Return the error that says why a file is no disk image."""
    if file.size == 0:
        return TruncatedRead("the file is empty; export or copy it again", where=file.name)
    found = recognise(file)
    if found is not None:
        return UnsupportedFormat(f"this is {found.what}; {found.advice}", where=file.name)
    return UnsupportedFormat(
        "no disk image that imgscan knows, and no boot signature, partition table or filesystem at its start; "
        "if it is a raw disk, say so with --input-format raw",
        where=file.name,
    )
