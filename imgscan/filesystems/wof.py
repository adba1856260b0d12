"""Files that Windows keeps compressed by the system (WOF, CompactOS), read chunk by chunk.

Their content is an alternate stream, `WofCompressedData`: a table of where each chunk but the first begins, counted
from the table's end, then the chunks. One that would not become smaller is kept as it is.

Source: FILE_PROVIDER_EXTERNAL_INFO_V1 (ntifs.h) for the kinds; the stream as wimlib and ntfs-3g's plugin document it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from imgscan.errors import CorruptStructure

STREAM: Final = b"WofCompressedData"
_CHUNKS: Final = (4096, 32768, 8192, 16384)
"""Content of a chunk in bytes, by the number of the algorithm: XPRESS4K, LZX, XPRESS8K, XPRESS16K."""
_LZX: Final = 1
_WIDE: Final = 1 << 32
"""The table of a file as large has entries of 8 bytes, not of 4."""
_KEPT_BYTES: Final = 8 << 20
"""Of one file's content that stay in memory: a hive is read here and there, and a chunk takes a tenth of a second."""


class CompressedFile:
    """The content of such a file of `size` bytes; `read` takes offset and length in its stream of `stored` bytes."""

    def __init__(self, algorithm: int, size: int, stored: int, read: Callable[[int, int], bytes]) -> None:
        self._algorithm = algorithm
        self._size = size
        self._stored = stored
        self._read = read
        self._chunk = _CHUNKS[algorithm]
        self._count = -(-size // self._chunk)
        self._entry = 8 if size >= _WIDE else 4
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer only at the end.

        :raises CorruptStructure: the table or a chunk cannot be
        """
        end = min(offset + length, self._size)
        if not 0 <= offset < end:
            return b""
        first = offset // self._chunk
        data = b"".join(self._content(number) for number in range(first, -(-end // self._chunk)))
        return data[offset - first * self._chunk : end - first * self._chunk]

    def _content(self, number: int) -> bytes:
        found = self._kept.get(number)
        if found is None:
            found = self._kept[number] = self._unpacked(number)
            if len(self._kept) * self._chunk > _KEPT_BYTES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return found

    def _unpacked(self, number: int) -> bytes:
        table = (self._count - 1) * self._entry
        begin = self._begin(number) if number else 0
        end = self._begin(number + 1) if number + 1 < self._count else self._stored - table
        size = min(self._chunk, self._size - number * self._chunk)
        if not 0 <= begin < end <= self._stored - table or end - begin > size:
            raise CorruptStructure(f"chunk {number} of its compressed content has a place that cannot be")
        data = self._read(table + begin, end - begin)
        if len(data) == size:
            return data
        if self._algorithm == _LZX:
            from imgscan.filesystems.lzx import decompress  # noqa: PLC0415 - only such a file needs it
        else:
            from imgscan.filesystems.xpress import decompress  # noqa: PLC0415 - the same
        return decompress(data, size)

    def _begin(self, number: int) -> int:
        return int.from_bytes(self._read((number - 1) * self._entry, self._entry), "little")
