"""Names of files: their natural order, and what their endings say."""

from __future__ import annotations

import re

IMAGE_SUFFIXES = frozenset(
    {
        *("vmdk", "vhd", "vhdx", "avhd", "avhdx", "vhdpmem", "vdi", "qcow2", "qcow", "qed", "hdd"),
        *("img", "raw", "ova", "e01", "ex01", "vma"),
    }
)
"""Endings of names that say: this is a disk image, or holds one. A file of such a name is always accounted for as a
machine, also when its content is none (empty, cut, zeros)."""
PACKED_SUFFIXES = frozenset({"gz", "xz", "bz2", "zst", "lz4", "lzo", "zip", "7z"})
_DIGITS = re.compile(r"([0-9]+)")

NaturalKey = tuple[tuple[str | int, ...], str]


def natural_key(name: str) -> NaturalKey:
    """Return a key that sorts names as people count: `disk2` before `disk10`, capitals beside small letters.

    Two names have the same key only when they are the same.
    """
    pieces = _DIGITS.split(name.casefold())
    return tuple(int(piece) if number & 1 else piece for number, piece in enumerate(pieces)), name


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder; the root is `.`."""
    return name if folder == "." else f"{folder}/{name}"


def split(path: str) -> tuple[str, str]:
    """Return folder (`.` for the root) and name of a path."""
    folder, _, name = path.rpartition("/")
    return folder or ".", name


def image_suffix(name: str) -> str:
    """Return the ending that names a disk image, in lower case (`vmdk`, `vmdk.gz`); empty when none does."""
    stem, dot, suffix = name.rpartition(".")
    suffix = suffix.lower()
    if not dot or not stem:
        return ""
    if suffix in IMAGE_SUFFIXES:
        return suffix
    if suffix in PACKED_SUFFIXES:
        inner = image_suffix(stem)
        return f"{inner}.{suffix}" if inner in IMAGE_SUFFIXES else ""
    return ""
