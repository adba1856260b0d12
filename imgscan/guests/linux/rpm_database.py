"""The package databases of rpm: SQLite, ndb, and the hash of Berkeley DB.

Sources: RPM's manual on databases ("rpm-database", backends) for the names of tables; rpm's description of ndb
(magic numbers RpmP, Slot, BlbS, BlbE; blocks of 16 bytes; pages of 4096); Berkeley DB's "db_page" structures (metadata
page, hash pages, overflow pages) as its documentation of the on-disk format and file(1)'s magic describe them.

Tried on databases that rpm itself wrote in all three forms: 4.16 the hash, 4.20 ndb and SQLite.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.file_pieces import FilePieces
from imgscan.guests.linux.sqlite_file import SqliteFile
from imgscan.layouts.rpm_header import HEADER_BYTES, NAME, RpmHeader

FOLDERS: Final = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
READ_BYTES: Final = 72 * MIB
"""What is read of one database at most."""
PACKAGES: Final = 100_000
_HEAD: Final = 8 * KIB
"""The beginning of a header, in which its name stands."""
_NDB_PAGE: Final = 4096
_NDB_SLOT: Final = 16

Blob = Callable[[int], bytes]
"""Returns the first so many bytes of a header, or all of it when it is shorter."""


class RpmDatabase(msgspec.Struct, frozen=True):
    """A database that was found: `place` is its file."""

    place: Location
    blobs: Callable[[], Iterator[Blob]]
    by_file: Callable[[str], list[bytes]] | None = None
    """Headers of packages that have a file of that bare name; None where there is no such index."""

    def owner(self, paths: Sequence[str]) -> RpmHeader | None:
        """Return the package that has one of these files.

        :raises ImageError: the database cannot be read, or not within its limits
        """
        if self.by_file is not None:
            names = dict.fromkeys(path.rpartition("/")[2] for path in paths)
            headers = (RpmHeader(blob) for name in names for blob in self.by_file(name))
            return next((header for header in headers if any(map(header.has_file, paths))), None)
        others: list[Blob] = []
        for blob in self._limited():
            name = RpmHeader(blob(_HEAD)).text(NAME) or ""
            if not name.startswith(("kernel", "linux")):
                others.append(blob)
                continue
            header = RpmHeader(blob(HEADER_BYTES))
            if any(map(header.has_file, paths)):
                return header
        # a package of another name: its header has the file's bare name somewhere
        marks = [b"\0" + path.rpartition("/")[2].encode("utf-8", "surrogateescape") + b"\0" for path in paths]
        for blob in others:
            data = blob(HEADER_BYTES)
            if any(mark in data for mark in marks):
                header = RpmHeader(data)
                if any(map(header.has_file, paths)):
                    return header
        return None

    def headers(self) -> Iterator[RpmHeader]:
        """Yield every package's header."""
        for blob in self._limited():
            yield RpmHeader(blob(HEADER_BYTES))

    def _limited(self) -> Iterator[Blob]:
        for number, blob in enumerate(self.blobs()):
            if number >= PACKAGES:
                raise LimitExceeded(f"the database has more than {PACKAGES} packages", where=self.place.path)
            yield blob


def find_rpm_database(tree: GuestTree) -> RpmDatabase | None:
    """Return the database that rpm uses: the newest form that is there.

    :raises ImageError: a folder cannot be read, or what is there is no database
    """
    for name, open_ in (("rpmdb.sqlite", _sqlite), ("Packages.db", _ndb), ("Packages", _berkeley)):
        for folder in FOLDERS:
            place = tree.find(f"{folder}/{name}")
            if place is not None and place.entry.kind == "file" and place.entry.size:
                return open_(tree, place)
    return None


def _sqlite(tree: GuestTree, place: Location) -> RpmDatabase:
    log = tree.find(f"{place.path}-wal")
    wal = None if log is None or log.entry.kind != "file" else FilePieces(log, READ_BYTES)
    database = SqliteFile(FilePieces(place, READ_BYTES), wal)
    roots = database.roots()
    packages, index, names = (roots.get(name) for name in ("Packages", "Basenames_key_idx", "Basenames"))
    if packages is None:
        raise UnsupportedFormat("the database has no table Packages", where=place.path)

    def blobs() -> Iterator[Blob]:
        for _, row in database.rows(packages):
            if isinstance(row[-1], bytes):
                yield lambda size, data=row[-1]: data[:size]  # type: ignore[misc] # bound now

    def by_file(name: str) -> list[bytes]:
        found: dict[int, bytes] = {}
        for rowid in database.find(index or 0, name.encode("utf-8", "surrogateescape")):
            row = database.row(names or 0, rowid)
            number = row[1] if row is not None and len(row) > 1 else None
            if not isinstance(number, int):
                raise CorruptStructure("the database's index of files leads nowhere", where=place.path)
            package = database.row(packages, number) if number not in found else None
            if package is not None and isinstance(package[-1], bytes):
                found[number] = package[-1]
        return list(found.values())

    return RpmDatabase(place, blobs, by_file if index and names else None)


def _ndb(_tree: GuestTree, place: Location) -> RpmDatabase:
    file = FilePieces(place, READ_BYTES)
    magic, version, _, pages = struct.unpack("<4sIII", file.read(0, 16))
    if magic != b"RpmP" or version:
        raise UnsupportedFormat("it is no package database of rpm", where=place.path)
    if pages * _NDB_PAGE > min(file.size, PACKAGES * _NDB_SLOT * 2):
        raise CorruptStructure(f"the database claims {pages} pages of packages", where=place.path)

    def blobs() -> Iterator[Blob]:
        for at in range(2 * _NDB_SLOT, pages * _NDB_PAGE, _NDB_SLOT):
            mark, number, block, _ = struct.unpack("<4sIII", file.read(at, _NDB_SLOT))
            if mark != b"Slot":
                raise CorruptStructure("a slot of the database is none", where=place.path, offset=at)
            if block:
                yield lambda size, block=block, number=number: blob(block * _NDB_SLOT, number, size)  # type: ignore[misc]

    def blob(start: int, number: int, size: int) -> bytes:
        mark, here, _, length = struct.unpack("<4sIII", file.read(start, _NDB_SLOT))
        if mark != b"BlbS" or here != number or length > HEADER_BYTES:
            raise CorruptStructure("a package of the database is none", where=place.path, offset=start)
        return file.read(start + _NDB_SLOT, min(length, size))

    return RpmDatabase(place, blobs)


def _berkeley(_tree: GuestTree, place: Location) -> RpmDatabase:
    file = FilePieces(place, READ_BYTES)
    head = file.read(0, 512)
    order = next((order for order in "<>" if struct.unpack_from(f"{order}I", head, 12)[0] == 0x061561), None)
    if order is None:
        raise UnsupportedFormat("it is no hash of Berkeley DB", where=place.path)
    (page_size,) = struct.unpack_from(f"{order}I", head, 20)
    if page_size not in {512 << shift for shift in range(8)} or head[24]:
        raise UnsupportedFormat("its pages are of no size that is known, or encrypted", where=place.path)
    (last,) = struct.unpack_from(f"{order}I", head, 72)
    spares = struct.unpack_from(f"{order}32I", head, 96)
    if last * page_size > file.size:
        raise CorruptStructure(f"the database claims {last} buckets", where=place.path)
    most_pages = file.size // page_size + 1

    def page(number: int) -> bytes:
        return file.read(number * page_size, page_size)

    def blobs() -> Iterator[Blob]:
        left = most_pages
        for bucket in range(last + 1):
            number = bucket + spares[bucket.bit_length()]
            while number:
                left -= 1
                if left < 0:
                    raise CorruptStructure("pages of the database lead in a circle", where=place.path)
                data = page(number)
                (number,) = struct.unpack_from(f"{order}I", data, 16)
                yield from _items(data, order, overflow, place)

    def overflow(number: int, length: int, size: int) -> bytes:
        parts: list[bytes] = []
        wanted = min(length, size)
        while wanted > 0:
            data = page(number)
            (number,) = struct.unpack_from(f"{order}I", data, 16)
            (used,) = struct.unpack_from(f"{order}H", data, 22)
            if data[25] != 7 or not 0 < used <= page_size - 26:
                raise CorruptStructure("a package of the database goes on on no page of it", where=place.path)
            parts.append(data[26 : 26 + min(used, wanted)])
            wanted -= len(parts[-1])
        return b"".join(parts)

    return RpmDatabase(place, blobs)


def _items(data: bytes, order: str, overflow: Callable[[int, int, int], bytes], place: Location) -> Iterator[Blob]:
    """Yield the headers of a hash page: keys and values in turn; the value of a package is rarely on the page."""
    (count,) = struct.unpack_from(f"{order}H", data, 20)
    if data[25] not in {2, 13}:
        if count == 0:
            return  # never used
        raise CorruptStructure("a page of the database is none of its hash", where=place.path)
    if 26 + 2 * count > len(data):
        raise CorruptStructure(f"a page of the database claims {count} items", where=place.path)
    offsets = struct.unpack_from(f"{order}{count}H", data, 26)
    ends = (len(data), *offsets)
    for index in range(1, count, 2):
        start, end = offsets[index], ends[index]
        if not 26 <= start < end <= len(data):
            raise CorruptStructure("an item of the database is outside of its page", where=place.path)
        if data[start] == 3 and end - start >= 12:
            number, length = struct.unpack_from(f"{order}II", data, start + 4)
            if length > HEADER_BYTES:
                raise LimitExceeded(f"a package's header has {length} bytes", where=place.path)
            yield lambda size, number=number, length=length: overflow(number, length, size)  # type: ignore[misc]
        elif data[start] == 1 and end - start > 9:  # else the number of the last package, under the key 0
            yield lambda size, start=start, end=end: data[start + 1 : end][:size]  # type: ignore[misc]
