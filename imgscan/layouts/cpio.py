"""Names in a cpio archive of the form that the kernel takes for an initramfs, fed piece by piece.

Source: Documentation/driver-api/early-userspace/buffer-format.rst (newc 070701, crc 070702; headers of 110 bytes of
hexadecimal text; names and contents padded to 4 bytes; the entry TRAILER!!! ends an archive).
"""

from __future__ import annotations

from typing import Final

from imgscan.errors import CorruptStructure, LimitExceeded

MAGICS: Final = (b"070701", b"070702")
_HEADER: Final = 110
_NAME_BYTES: Final = 4097
"""A path and its NUL."""
ENTRIES: Final = 200_000
_TRAILER: Final = b"TRAILER!!!"


class CpioNames:
    """The names of the entries of archives one after the other; `found` collects those that end as asked."""

    def __init__(self, endings: tuple[bytes, ...]) -> None:
        self.found: list[bytes] = []
        self.entries = 0
        self.is_done = False
        """Whether an archive's trailer was the last thing read."""
        self._endings = endings
        self._rest = b""
        self._skip = 0

    @property
    def is_between(self) -> bool:
        """Whether no entry is half read."""
        return not self._rest and not self._skip

    @property
    def skip(self) -> int:
        """How many bytes of content come next: a reader by position need not read them."""
        return self._skip if not self._rest else 0

    def skipped(self) -> None:
        """Take note that the caller went over those bytes."""
        self._skip = 0

    def restart(self) -> None:
        """Begin with another archive."""
        self.is_done = False

    def feed(self, data: bytes) -> bytes:
        """Read on; return what is behind the archive's trailer.

        :raises CorruptStructure: it is no such archive
        :raises LimitExceeded: it has more than `ENTRIES` entries
        """
        if self._skip >= len(data):
            self._skip -= len(data)
            return b""
        data = self._rest + data[self._skip :]
        self._rest, self._skip = b"", 0
        at, end = 0, len(data)
        while end - at >= _HEADER:
            head = data[at : at + _HEADER]
            if not head.startswith(MAGICS):
                raise CorruptStructure(f"entry {self.entries + 1} of the cpio archive has no header")
            try:
                size, name_size = int(head[54:62], 16), int(head[94:102], 16)
            except ValueError as error:
                raise CorruptStructure(f"entry {self.entries + 1} of the cpio archive has no size") from error
            if not 0 < name_size <= _NAME_BYTES:
                raise CorruptStructure(f"entry {self.entries + 1} of the cpio archive has a name of {name_size} bytes")
            content = at + (_HEADER + name_size + 3 & ~3)
            if content > end:
                break
            name = data[at + _HEADER : at + _HEADER + name_size - 1]
            self.entries += 1
            if self.entries > ENTRIES:
                raise LimitExceeded(f"the initramfs has more than {ENTRIES} entries")
            at = content
            if name == _TRAILER:
                self.is_done = True
                return data[at:]
            if name.endswith(self._endings):
                self.found.append(name)
            size = size + 3 & ~3
            if size > end - at:
                self._skip = size - (end - at)
                return b""
            at += size
        self._rest = data[at:]
        if self._rest and not any(magic.startswith(self._rest[:6]) or self._rest.startswith(magic) for magic in MAGICS):
            raise CorruptStructure(f"entry {self.entries + 1} of the cpio archive has no header")
        return b""
