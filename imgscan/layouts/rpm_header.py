"""An RPM header as a package database keeps it: an index of tags, and a store of their values.

Source: RPM Reference Manual, "RPM V4 Package format", section Header (without the magic, as in the database), and its
list of tags; types: 4 INT32, 6 STRING, 8 STRING_ARRAY, 9 I18NSTRING. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import Final

from imgscan.errors import CorruptStructure, LimitExceeded

HEADER_BYTES: Final = 32 << 20
"""One header; a kernel's with all its modules has 2 MiB."""
TAGS: Final = 65536
FILES: Final = 1_000_000
"""Files of one package."""

NAME, VERSION, RELEASE, VENDOR, ARCH, OLDFILENAMES = 1000, 1001, 1002, 1011, 1022, 1027
DIRINDEXES, BASENAMES, DIRNAMES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS, _I18N = 4, 6, 8, 9


class RpmHeader:
    """A header's tags; of one that is cut off (`data` is its beginning) those that are whole can be read."""

    def __init__(self, data: bytes) -> None:
        """Take a header.

        :raises CorruptStructure: it is none
        """
        if len(data) < 8:
            raise CorruptStructure("a package's header is too short")
        count, size = struct.unpack_from(">II", data)
        if not 0 < count <= TAGS or 8 + 16 * count + size > HEADER_BYTES:
            raise CorruptStructure(f"a package's header claims {count} tags and {size} bytes")
        self.size = 8 + 16 * count + size
        """Bytes of the whole header."""
        index = data[8 : 8 + 16 * count]
        self._tags = {tag: rest for tag, *rest in struct.iter_unpack(">IIII", index[: len(index) // 16 * 16])}
        self._store = data[8 + 16 * count : self.size]

    def text(self, tag: int) -> str | None:
        """Return a string, the first one of several; None when the tag is not there."""
        found = self._tags.get(tag)
        if found is None or found[0] not in {_STRING, _STRINGS, _I18N}:
            return None
        end = self._store.find(b"\0", found[1])
        if end < 0:
            raise CorruptStructure(f"a string of a package's header (tag {tag}) does not end")
        return self._store[found[1] : end].decode("utf-8", "surrogateescape")

    def has_file(self, path: str) -> bool:
        """Whether the package has a file of that name.

        :raises CorruptStructure: its list of files contradicts itself
        """
        wanted = path.encode("utf-8", "surrogateescape")
        if OLDFILENAMES in self._tags and BASENAMES not in self._tags:
            return wanted in self._strings(OLDFILENAMES)
        if BASENAMES not in self._tags:
            return False
        folder, _, name = wanted.rpartition(b"/")
        names = self._strings(BASENAMES)
        if name not in names:
            return False
        folders = self._strings(DIRNAMES)
        indexes = self._numbers(DIRINDEXES)
        if len(indexes) != len(names) or any(index >= len(folders) for index in indexes):
            raise CorruptStructure("a package's list of files contradicts itself")
        return any(each == name and folders[index] == folder + b"/" for each, index in zip(names, indexes, strict=True))

    def _strings(self, tag: int) -> list[bytes]:
        type_, offset, count = self._tags.get(tag, [_STRINGS, 0, 0])
        if count > FILES:
            raise LimitExceeded(f"a package has {count} files")
        found = self._store[offset:].split(b"\0", count)[:count] if type_ == _STRINGS else []
        if len(found) != count:
            raise CorruptStructure(f"a list of strings in a package's header (tag {tag}) is cut off")
        return found

    def _numbers(self, tag: int) -> tuple[int, ...]:
        type_, offset, count = self._tags.get(tag, [_INT32, 0, 0])
        if type_ != _INT32 or count > FILES or offset + 4 * count > len(self._store):
            raise CorruptStructure(f"a list of numbers in a package's header (tag {tag}) is cut off")
        return struct.unpack_from(f">{count}I", self._store, offset)
