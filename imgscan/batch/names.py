"""Names of files: their natural order, and what their endings say."""

from __future__ import annotations

import re
from functools import lru_cache

IMAGE_SUFFIXES = {
    **dict.fromkeys(("vmdk",), "vmdk"),
    **dict.fromkeys(("vhd", "avhd"), "vhd"),
    **dict.fromkeys(("vhdx", "avhdx", "vhdpmem"), "vhdx"),
    **dict.fromkeys(("qcow2", "qcow"), "qcow2"),
    **dict.fromkeys(("img", "raw"), "raw"),
    **{suffix: suffix for suffix in ("vdi", "qed", "hdd", "ova", "vma", "e01", "ex01")},
}
"""Endings of names that say: this is a disk image, or holds one; and the family that formats are compared by."""
GENERAL_SUFFIXES = frozenset({"img", "raw"})
"""Endings that other things than disks have too: a file of such a name is an image unless its content is known to be
something else."""
PACKED_SUFFIXES = frozenset({"gz", "xz", "bz2", "zst", "lz4", "lzo", "zip", "7z"})
NAME_BYTES = 255
"""What file systems allow a name; natural order looks at numbers in names up to here."""
_DIGITS = re.compile(r"([0-9]+)")

NaturalKey = tuple[tuple[str | int, ...], str]


def natural_key(name: str) -> NaturalKey:
    """Return a key that sorts names as people count: `disk2` before `disk10`, capitals beside small letters.

    Two names have the same key only when they are the same.
    """
    pieces: list[str | int] = list(_DIGITS.split(name.casefold()))
    pieces[1::2] = map(int, pieces[1::2])
    return tuple(pieces), name


def natural_path_key(path: str) -> tuple[NaturalKey, ...]:
    """Return a key that sorts paths by their components, each in natural order."""
    folder, slash, name = path.rpartition("/")
    return (*_folder_key(folder), natural_key(name)) if slash else (natural_key(name),)


@lru_cache(maxsize=1024)  # the files of a folder come one after another
def _folder_key(folder: str) -> tuple[NaturalKey, ...]:
    return tuple(natural_key(name) for name in folder.split("/"))


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder; the root is `.`."""
    return name if folder == "." else f"{folder}/{name}"


def split(path: str) -> tuple[str, str]:
    """Return folder (`.` for the root) and name of a path."""
    folder, _, name = path.rpartition("/")
    return folder or ".", name


def last_component(name: str) -> str:
    r"""Return what stands after the last ``/`` or ``\\``: how the host-file policy looks up a parent."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def suffix_of(name: str) -> str:
    """Return the last ending in small letters, without its dot; empty when there is none."""
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if dot and stem else ""


def image_suffix(name: str) -> str:
    """Return the ending that names a disk image, in small letters (`vmdk`, `vmdk.gz`); empty when none does."""
    suffix = suffix_of(name)
    if suffix in IMAGE_SUFFIXES:
        return suffix
    if suffix in PACKED_SUFFIXES:
        inner = suffix_of(name[: -len(suffix) - 1])
        return f"{inner}.{suffix}" if inner in IMAGE_SUFFIXES else ""
    return ""


def stem(name: str, *, also: frozenset[str] = frozenset()) -> str:
    """Return a name without the ending that names a disk image, or one of `also`."""
    suffix = image_suffix(name)
    if not suffix and suffix_of(name) in also:
        suffix = suffix_of(name)
    return name[: -len(suffix) - 1] if suffix else name
