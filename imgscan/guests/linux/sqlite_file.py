"""Rows of an SQLite database inside the guest: B-trees by position, without a library that wants a host's file.

Source: "Database File Format" of sqlite.org, sections 1.3 (header), 1.6 (B-tree pages), 2.1 (record format), 2.6
(schema table) and 4 (write-ahead log). Only what a reader of one table needs: text is UTF-8, keys compare as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.file_pieces import FilePieces

_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGIC: Final = frozenset({0x377F0682, 0x377F0683})
_DEPTH: Final = 32
_PAGES: Final = 200_000
"""Pages looked at for one question."""
_VALUE_BYTES: Final = 32 * MIB
_WAL_FRAMES: Final = 65536

Value = int | float | bytes | str | None


class _Page(msgspec.Struct, frozen=True):
    """A B-tree page: `kind` 2 and 5 are interior (index, table), 10 and 13 leaves; `cells` are offsets in `data`."""

    kind: int
    data: bytes
    cells: tuple[int, ...]
    right: int


class SqliteFile:
    """A database; `wal` is the write-ahead log beside it, if one is there."""

    def __init__(self, file: FilePieces, wal: FilePieces | None = None) -> None:
        """Read the header.

        :raises UnsupportedFormat: it is no SQLite database, or its text is UTF-16
        """
        self._file = file
        if file.size < 512 or file.read(0, 16) != _MAGIC:
            raise UnsupportedFormat("it is no SQLite database")
        head = file.read(0, 100)
        size = struct.unpack_from(">H", head, 16)[0]
        self._page_size = 65536 if size == 1 else size
        if self._page_size < 512 or self._page_size & (self._page_size - 1):
            raise CorruptStructure(f"the database's pages have {self._page_size} bytes")
        if struct.unpack_from(">I", head, 56)[0] not in {0, 1}:
            raise UnsupportedFormat("the database's text is UTF-16")
        self._usable = self._page_size - head[20]
        if self._usable < 480:
            raise CorruptStructure("the database's pages have no room")
        self._newer: dict[int, int] = {}
        self._wal = wal
        self._left = _PAGES
        if wal is not None and wal.size > 32:
            self._read_log(wal)

    def roots(self) -> dict[str, int]:
        """Return the root pages of tables and indexes by name."""
        found: dict[str, int] = {}
        for _, row in self.rows(1):
            if len(row) > 3 and isinstance(row[1], str) and isinstance(row[3], int):
                found[row[1]] = row[3]
        return found

    def rows(self, root: int) -> Iterator[tuple[int, list[Value]]]:
        """Yield rowid and columns of a table."""
        todo = [root]
        while todo:
            page = self._page(todo.pop())
            if page.kind == 5:
                todo.append(page.right)
                todo.extend(struct.unpack_from(">I", page.data, cell)[0] for cell in reversed(page.cells))
            elif page.kind == 13:
                for cell in page.cells:
                    size, at = _varint(page.data, cell)
                    rowid, at = _varint(page.data, at)
                    yield rowid, _record(self._payload(page.data, at, size, is_index=False))
            else:
                raise CorruptStructure("a page of a table is none")

    def row(self, root: int, wanted: int) -> list[Value] | None:
        """Return a table's row by its rowid, None when there is none."""
        number = root
        for _ in range(_DEPTH):
            page = self._page(number)
            if page.kind == 13:
                for cell in page.cells:
                    size, at = _varint(page.data, cell)
                    rowid, at = _varint(page.data, at)
                    if rowid == wanted:
                        return _record(self._payload(page.data, at, size, is_index=False))
                return None
            if page.kind != 5:
                raise CorruptStructure("a page of a table is none")
            number = page.right
            for cell in page.cells:
                if wanted <= _varint(page.data, cell + 4)[0]:
                    number = struct.unpack_from(">I", page.data, cell)[0]
                    break
        raise CorruptStructure("a table of the database is too deep")

    def find(self, root: int, key: bytes) -> list[int]:
        """Return the rowids of an index with one column whose key is that text (or these bytes)."""
        found: list[int] = []
        todo = [root]
        while todo:
            page = self._page(todo.pop())
            if page.kind not in {2, 10}:
                raise CorruptStructure("a page of an index is none")
            below: list[int] = []
            is_past = False
            for cell in page.cells:
                at = cell + 4 if page.kind == 2 else cell
                size, start = _varint(page.data, at)
                record = _record(self._payload(page.data, start, size, is_index=True))
                value = record[0] if record else None
                text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
                this = text if isinstance(text, bytes) else b""
                if page.kind == 2 and this >= key:
                    below.append(struct.unpack_from(">I", page.data, cell)[0])
                if this == key and isinstance(record[-1], int):
                    found.append(record[-1])
                if this > key:
                    is_past = True
                    break
            if page.kind == 2 and not is_past:
                below.append(page.right)
            todo.extend(below)
        return found

    def _page(self, number: int) -> _Page:
        self._left -= 1
        if self._left < 0:
            raise LimitExceeded(f"more than {_PAGES} pages of the database would have to be read")
        data = self._page_bytes(number)
        start = 100 if number == 1 else 0
        kind, _, count = struct.unpack_from(">BHH", data, start)
        is_interior = kind in {2, 5}
        head = start + (12 if is_interior else 8)
        self._left -= count // 64
        if head + 2 * count > self._page_size:
            raise CorruptStructure(f"page {number} of the database claims {count} cells")
        cells = struct.unpack_from(f">{count}H", data, head)
        if any(not head <= cell < self._usable - 3 for cell in cells):
            raise CorruptStructure(f"a cell of page {number} of the database is outside of it")
        right = struct.unpack_from(">I", data, start + 8)[0] if is_interior else 0
        return _Page(kind, data, cells, right)

    def _page_bytes(self, number: int) -> bytes:
        if number < 1:
            raise CorruptStructure("the database names a page 0")
        newer = self._newer.get(number)
        if newer is not None and self._wal is not None:
            return self._wal.read(newer, self._page_size)
        return self._file.read((number - 1) * self._page_size, self._page_size)

    def _payload(self, data: bytes, at: int, size: int, *, is_index: bool) -> bytes:
        """Return a cell's payload, from overflow pages too (section 1.6, "Cell Payload Overflow Pages")."""
        if size > _VALUE_BYTES:
            raise LimitExceeded(f"a row of the database has {size} bytes")
        most = (self._usable - 12) * 64 // 255 - 23 if is_index else self._usable - 35
        if size <= most:
            return self._part(data, at, size)
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (self._usable - 4)
        local = local if local <= most else least
        parts = [self._part(data, at, local)]
        (number,) = struct.unpack(">I", self._part(data, at + local, 4))
        left = size - local
        while left > 0:
            self._left -= 1
            if self._left < 0:
                raise LimitExceeded(f"more than {_PAGES} pages of the database would have to be read")
            page = self._page_bytes(number)
            (number,) = struct.unpack_from(">I", page)
            parts.append(page[4 : 4 + min(left, self._usable - 4)])
            left -= len(parts[-1])
        return b"".join(parts)

    @staticmethod
    def _part(data: bytes, at: int, size: int) -> bytes:
        found = data[at : at + size]
        if len(found) != size:
            raise CorruptStructure("a row of the database reaches beyond its page")
        return found

    def _read_log(self, wal: FilePieces) -> None:
        """Learn which pages are newer in the log: its frames up to the last one that ends a transaction."""
        magic, _, page_size, _, salt_1, salt_2 = struct.unpack(">6I", wal.read(0, 24))
        if magic not in _WAL_MAGIC or page_size != self._page_size:
            return
        pending: dict[int, int] = {}
        for at in range(32, min(wal.size, 32 + _WAL_FRAMES * (24 + page_size)) - 24 - page_size + 1, 24 + page_size):
            number, committed, one, two = struct.unpack(">4I", wal.read(at, 16))
            if (one, two) != (salt_1, salt_2):
                break  # left from an earlier round of the log
            pending[number] = at + 24
            if committed:
                self._newer.update(pending)
                pending = {}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes and where it ends."""
    value = 0
    for index in range(9):
        if at + index >= len(data):
            raise CorruptStructure("a number of the database reaches beyond its page")
        byte = data[at + index]
        if index == 8:
            return _signed(value << 8 | byte, 64), at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise CorruptStructure("a number of the database does not end")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _record(payload: bytes) -> list[Value]:
    """Return a row's columns (section 2.1)."""
    size, at = _varint(payload, 0)
    if size > len(payload):
        raise CorruptStructure("a row of the database has no columns")
    kinds: list[int] = []
    while at < size:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    at = size
    for kind in kinds:
        length = {5: 6, 6: 8, 7: 8, 8: 0, 9: 0}.get(kind, kind if kind < 5 else (kind - 12) // 2)
        data = payload[at : at + length]
        if length < 0 or len(data) != length:
            raise CorruptStructure("a row of the database is cut off")
        at += length
        if kind >= 12:
            values.append(data if kind % 2 == 0 else data.decode("utf-8", "surrogateescape"))
        elif kind in {8, 9}:
            values.append(kind - 8)
        elif kind == 7:
            values.append(struct.unpack(">d", data)[0])
        else:
            values.append(None if kind == 0 else int.from_bytes(data, "big", signed=True))
    return values
