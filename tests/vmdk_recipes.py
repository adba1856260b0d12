"""VMDKs built field by field, for what qemu-img does not write. Sizes in sectors, contents by grain number."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SECTOR = 512
NEWLINES, REDUNDANT, ZERO_GRAINS, COMPRESSED, MARKERS = 1, 2, 4, 1 << 16, 1 << 17
GD_AT_END = (1 << 64) - 1
HOSTED_FIELDS = {
    "version": (4, 4),
    "flags": (8, 4),
    "capacity": (12, 8),
    "grain_size": (20, 8),
    "descriptor_offset": (28, 8),
    "descriptor_size": (36, 8),
    "grain_table_entries": (44, 4),
    "redundant_directory": (48, 8),
    "directory": (56, 8),
    "overhead": (64, 8),
    "unclean": (72, 1),
    "newlines": (73, 4),
    "compression": (77, 2),
}
"""Offset and size of every field of a hosted sparse extent's header."""
COWD_FIELDS = {
    "version": (4, 4),
    "flags": (8, 4),
    "capacity": (12, 4),
    "grain_size": (16, 4),
    "directory": (20, 4),
    "directory_entries": (24, 4),
    "free_sector": (28, 4),
    "unclean": (1648, 4),
}
SESPARSE_FIELDS = {
    name: (8 * (number + 1), 8)
    for number, name in enumerate(
        (
            *("version", "capacity", "grain_size", "grain_table_size", "flags"),
            *("reserved1", "reserved2", "reserved3", "reserved4"),
            *("volatile_header", "volatile_header_size", "journal_header", "journal_header_size"),
            *("journal", "journal_size", "directory", "directory_size", "grain_tables", "grain_tables_size"),
            *("free_bitmap", "free_bitmap_size", "backmap", "backmap_size", "grains", "grains_size"),
        )
    )
}


def descriptor(
    create_type: str = "monolithicSparse",
    extents: Sequence[str] = (),
    cid: str = "11111111",
    parent_cid: str = "ffffffff",
    hint: str = "",
    *more: str,
) -> str:
    """Return a descriptor as VMware words it; `more` are further lines."""
    lines = [
        "# Disk DescriptorFile",
        "version=1",
        f"CID={cid}",
        f"parentCID={parent_cid}",
        f'createType="{create_type}"',
        *([f'parentFileNameHint="{hint}"'] if hint else []),
        "# Extent description",
        *extents,
        "# The Disk Data Base",
        "#DDB",
        'ddb.adapterType = "lsilogic"',
        'ddb.virtualHWVersion = "4"',
        *more,
    ]
    return "\n".join(lines) + "\n"


def put(image: bytearray, fields: Mapping[str, tuple[int, int]], values: Mapping[str, int], at: int = 0) -> None:
    """Overwrite header fields by name."""
    for name, value in values.items():
        offset, size = fields[name]
        image[at + offset : at + offset + size] = value.to_bytes(size, "little")


def padded(data: bytes, sectors: int = 1) -> bytes:
    return data.ljust(-(-len(data) // (sectors * SECTOR)) * sectors * SECTOR, b"\0")


def expected(capacity: int, grain_size: int, grains: Mapping[int, bytes], below: bytes = b"") -> bytes:
    """Return the disk that grains (over `below`) make."""
    disk = bytearray(below[: capacity * SECTOR].ljust(capacity * SECTOR, b"\0"))
    for number, content in grains.items():
        at = number * grain_size * SECTOR
        whole = content.ljust(grain_size * SECTOR, b"\0")[: len(disk) - at]
        disk[at : at + len(whole)] = whole
    return bytes(disk)


@dataclass
class Hosted:
    """A hosted sparse extent: header, descriptor, redundant and primary directory, each with its tables, grains.

    `raw_entries` are grain table entries as they are; `extra` are header fields as they are. `text` None leaves the
    descriptor out, as in an extent of a split disk. `packed` grains are stored as given, with their marker.
    """

    capacity: int = 4096
    grains: Mapping[int, bytes] = field(default_factory=dict)
    grain_size: int = 16
    entries: int = 512
    text: str | bytes | None = ""
    flags: int = NEWLINES | REDUNDANT
    version: int = 1
    raw_entries: Mapping[int, int] = field(default_factory=dict)
    packed: Mapping[int, bytes] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)

    descriptor_sectors = 20

    @property
    def tables(self) -> int:
        return -(-self.capacity // (self.grain_size * self.entries))

    @property
    def directory_sectors(self) -> int:
        return -(-4 * self.tables // SECTOR)

    @property
    def table_sectors(self) -> int:
        return -(-4 * self.entries // SECTOR)

    @property
    def redundant_at(self) -> int:
        return 1 + self.descriptor_sectors

    @property
    def directory_at(self) -> int:
        return self.redundant_at + self.directory_sectors + self.tables * self.table_sectors

    @property
    def overhead(self) -> int:
        end = self.directory_at + self.directory_sectors + self.tables * self.table_sectors
        return -(-end // self.grain_size) * self.grain_size

    def table_at(self, number: int, *, redundant: bool = False) -> int:
        """Return the sector of a grain table."""
        start = self.redundant_at if redundant else self.directory_at
        return start + self.directory_sectors + number * self.table_sectors

    def build(self) -> bytes:
        places = dict(self.raw_entries)
        data = b""
        for number, content in self.grains.items():
            places[number] = self.overhead + len(data) // SECTOR
            data += padded(content, self.grain_size)
        for number, content in self.packed.items():
            places[number] = self.overhead + len(data) // SECTOR
            data += padded(grain_marker(number * self.grain_size, content))
        tables = bytearray(self.tables * self.table_sectors * SECTOR)
        for number, sector in places.items():
            at = number // self.entries * self.table_sectors * SECTOR + 4 * (number % self.entries)
            struct.pack_into("<I", tables, at, sector)
        copies = b"".join(
            padded(b"".join(struct.pack("<I", self.table_at(n, redundant=redundant)) for n in range(self.tables)))
            + tables
            for redundant in (True, False)
        )
        text = self.text
        if text == "":
            text = descriptor(extents=[f'RW {self.capacity} SPARSE "disk.vmdk"'])
        stored = text.encode() if isinstance(text, str) else (text or b"")
        image = bytearray(
            self.header() + padded(stored, self.descriptor_sectors).ljust(self.descriptor_sectors * SECTOR, b"\0")
        )
        if text is None:
            put(image, HOSTED_FIELDS, {"descriptor_offset": 0, "descriptor_size": 0})
        put(image, HOSTED_FIELDS, self.extra)
        return bytes(image + copies).ljust(self.overhead * SECTOR, b"\0") + data

    def header(self, **values: int) -> bytes:
        """Return the header's sector."""
        head = bytearray(SECTOR)
        head[:4] = b"KDMV"
        fields = {
            "version": self.version,
            "flags": self.flags,
            "capacity": self.capacity,
            "grain_size": self.grain_size,
            "descriptor_offset": 1,
            "descriptor_size": self.descriptor_sectors,
            "grain_table_entries": self.entries,
            "redundant_directory": self.redundant_at if self.flags & REDUNDANT else 0,
            "directory": self.directory_at,
            "overhead": self.overhead,
            "newlines": int.from_bytes(b"\n \r\n", "little"),
            "compression": 1 if self.flags & COMPRESSED else 0,
        }
        put(head, HOSTED_FIELDS, {**fields, **values})
        return bytes(head)


def grain_marker(sector: int, packed: bytes) -> bytes:
    return struct.pack("<QI", sector, len(packed)) + packed


def marker(sectors: int, kind: int) -> bytes:
    """Return the sector of a metadata marker."""
    return padded(struct.pack("<QII", sectors, 0, kind))


@dataclass
class Stream:
    """A stream: header without directory, descriptor, packed grains, tables behind the grains that they name,
    directory, footer, end. `text` as in `Hosted`.
    """

    capacity: int = 4096
    grains: Mapping[int, bytes] = field(default_factory=dict)
    grain_size: int = 16
    entries: int = 512
    text: str = ""
    packed: Mapping[int, bytes] = field(default_factory=dict)
    footer: Mapping[str, int] = field(default_factory=dict)
    end: bytes = bytes(SECTOR)

    def build(self) -> bytes:
        flags = NEWLINES | COMPRESSED | MARKERS
        hosted = Hosted(self.capacity, {}, self.grain_size, self.entries, flags=flags, version=3)
        text = self.text or descriptor("streamOptimized", [f'RW {self.capacity} SPARSE "call-me-stream.vmdk"'])
        overhead = -(-(1 + hosted.descriptor_sectors) // self.grain_size) * self.grain_size
        head = hosted.header(directory=GD_AT_END, overhead=overhead)
        image = (head + padded(text.encode(), hosted.descriptor_sectors)).ljust(overhead * SECTOR, b"\0")
        stored = {n: zlib.compress(c.ljust(self.grain_size * SECTOR, b"\0")) for n, c in self.grains.items()}
        stored.update(self.packed)
        directory = [0] * hosted.tables
        for table in range(hosted.tables):
            entries = [0] * self.entries
            for number in sorted(n for n in stored if n // self.entries == table):
                entries[number % self.entries] = len(image) // SECTOR
                image += padded(grain_marker(number * self.grain_size, stored[number]))
            if any(entries):
                image += marker(hosted.table_sectors, 1)
                directory[table] = len(image) // SECTOR
                image += padded(struct.pack(f"<{self.entries}I", *entries))
        image += marker(hosted.directory_sectors, 2)
        directory_at = len(image) // SECTOR
        image += padded(struct.pack(f"<{hosted.tables}I", *directory))
        footer = bytearray(hosted.header(directory=directory_at, overhead=overhead))
        put(footer, HOSTED_FIELDS, self.footer)
        return image + marker(1, 3) + bytes(footer) + self.end


@dataclass
class Cowd:
    """An ESX copy-on-write extent: 4 sectors of header, directory, tables of 4096 entries, grains."""

    capacity: int = 16384
    grains: Mapping[int, bytes] = field(default_factory=dict)
    grain_size: int = 1
    raw_entries: Mapping[int, int] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)

    def build(self) -> bytes:
        per_table = 4096
        count = -(-self.capacity // (self.grain_size * per_table))
        directory_sectors = -(-4 * count // SECTOR)
        used = sorted({number // per_table for number in (*self.grains, *self.raw_entries)})
        first = 4 + directory_sectors + 32 * len(used)
        places, data = dict(self.raw_entries), b""
        for number, content in self.grains.items():
            places[number] = first + len(data) // SECTOR
            data += padded(content, self.grain_size)
        directory, tables = bytearray(directory_sectors * SECTOR), bytearray(32 * len(used) * SECTOR)
        for slot, table in enumerate(used):
            struct.pack_into("<I", directory, 4 * table, 4 + directory_sectors + 32 * slot)
        for number, sector in places.items():
            at = used.index(number // per_table) * 32 * SECTOR + 4 * (number % per_table)
            struct.pack_into("<I", tables, at, sector)
        head = bytearray(4 * SECTOR)
        free = first + len(data) // SECTOR
        struct.pack_into("<4s7I", head, 0, b"COWD", 1, 3, self.capacity, self.grain_size, 4, count, free)
        put(head, COWD_FIELDS, self.extra)
        return bytes(head + directory + tables) + data


@dataclass
class SeSparse:
    """A space-efficient sparse extent: grains of 4 KiB, tables of 64 sectors."""

    capacity: int = 65536
    grains: Mapping[int, bytes] = field(default_factory=dict)
    raw_entries: Mapping[int, int] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)
    volatile_magic: int = 0xCAFECAFE
    replay_journal: int = 0

    volatile_at, journal_header_at, journal_at = 1, 2, 4

    def build(self) -> bytes:
        grain_size, table_sectors, per_table = 8, 64, 4096
        count = -(-self.capacity // (grain_size * per_table))
        directory_at = 16
        directory_sectors = -(-8 * count // SECTOR)
        used = sorted({number // per_table for number in (*self.grains, *self.raw_entries)})
        tables_at = directory_at + directory_sectors
        bitmap_at = tables_at + table_sectors * max(1, len(used))
        backmap_at = bitmap_at + 1
        grains_at = -(-(backmap_at + 1) // grain_size) * grain_size
        entries, data = dict(self.raw_entries), b""
        for slot, (number, content) in enumerate(self.grains.items()):
            entries[number] = 3 << 60 | (slot & 0xFFF) << 48 | slot >> 12
            data += padded(content, grain_size)
        directory = bytearray(directory_sectors * SECTOR)
        tables = bytearray(table_sectors * max(1, len(used)) * SECTOR)
        for slot, table in enumerate(used):
            struct.pack_into("<Q", directory, 8 * table, 1 << 60 | slot)
        for number, entry in entries.items():
            at = used.index(number // per_table) * table_sectors * SECTOR + 8 * (number % per_table)
            struct.pack_into("<Q", tables, at, entry)
        values = (
            *(0x2_0000_0001, self.capacity, grain_size, table_sectors, 0, 0, 0, 0, 0),
            *(self.volatile_at, 1, self.journal_header_at, 2, self.journal_at, 8),
            *(directory_at, directory_sectors, tables_at, table_sectors * max(1, len(used))),
            *(bitmap_at, 1, backmap_at, 1, grains_at, max(grain_size, len(data) // SECTOR)),
        )
        head = bytearray(padded(struct.pack("<26Q", 0xCAFEBABE, *values)))
        put(head, SESPARSE_FIELDS, self.extra)
        head += padded(struct.pack("<4Q", self.volatile_magic, 0, 0, self.replay_journal))
        image = bytes(head).ljust(directory_at * SECTOR, b"\0") + directory + tables
        return image.ljust(grains_at * SECTOR, b"\0") + data
