"""VMDK files built from VMware's Virtual Disk Format 1.1 with `struct` alone: nothing of imgscan is used.

COWD follows libyal's description, seSparse the fields that QEMU's driver names. Offsets and sizes are in sectors.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
AT_END = 0xFFFF_FFFF_FFFF_FFFF
NEWLINES = b"\n \r\n"
RGD, ZERO_GRAINS, COMPRESSED, MARKERS = 1 << 1, 1 << 2, 1 << 16, 1 << 17
END, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)
ZERO = b""
"""As a grain: zeros said to be so, where an absent one is the parent's."""


def descriptor(
    extents: str,
    create_type: str = "monolithicSparse",
    cid: str = "11223344",
    parent_cid: str = "ffffffff",
    more: str = "",
    hint: str | None = None,
) -> bytes:
    """Return a descriptor; `extents` are its extent lines, `more` further lines."""
    lines = ["# Disk DescriptorFile", "version=1", f"CID={cid}", f"parentCID={parent_cid}"]
    lines.append(f'createType="{create_type}"')
    if hint is not None:
        lines.append(f'parentFileNameHint="{hint}"')
    lines += ["", "# Extent description", extents, "", "# The Disk Data Base", "#DDB", ""]
    lines += ['ddb.adapterType = "lsilogic"', 'ddb.virtualHWVersion = "10"', more, ""]
    return "\n".join(lines).encode()


def _sectors(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)


def _marker(value: int, kind: int) -> bytes:
    return struct.pack("<QII", value, 0, kind).ljust(SECTOR, b"\0")


@dataclass
class Sparse:
    """A hosted sparse extent. `grains` by number; a grain `ZERO` uses the zeroed-grain entry."""

    capacity: int
    grains: Mapping[int, bytes] = field(default_factory=dict)
    grain: int = 128
    entries: int = 512
    text: bytes = b""
    version: int = 1
    flags: int = 1 | RGD
    unclean: int = 0
    newlines: bytes = NEWLINES
    compression: int = 0

    @property
    def tables(self) -> int:
        return -(-self.capacity // (self.grain * self.entries))

    def header(self, directory: int, redundant: int, overhead: int, text_sectors: int) -> bytes:
        flags = self.flags | (ZERO_GRAINS if any(data == ZERO for data in self.grains.values()) else 0)
        return struct.pack(
            "<4sIIQQQQIQQQB4sH",
            b"KDMV",
            self.version,
            flags,
            self.capacity,
            self.grain,
            1 if text_sectors else 0,
            text_sectors,
            self.entries,
            redundant,
            directory,
            overhead,
            self.unclean,
            self.newlines,
            self.compression,
        ).ljust(SECTOR, b"\0")

    def build(self) -> bytearray:
        """Return a file as hosted products write it: descriptor, redundant and primary tables, grains."""
        text = self.text.ljust(20 * SECTOR, b"\0") if self.text else b""
        table_sectors = -(-4 * self.entries // SECTOR)
        directory_sectors = -(-4 * self.tables // SECTOR)
        redundant = 1 + len(text) // SECTOR
        primary = redundant + directory_sectors + self.tables * table_sectors
        overhead = primary + directory_sectors + self.tables * table_sectors
        overhead = -(-overhead // self.grain) * self.grain
        entries, data = [0] * (self.tables * self.entries), bytearray()
        for number, grain in self.grains.items():
            entries[number] = 1 if grain == ZERO else overhead + len(data) // SECTOR
            data += grain.ljust(self.grain * SECTOR, b"\0") if grain else b""
        tables = b"".join(
            _sectors(struct.pack(f"<{self.entries}I", *entries[at : at + self.entries]))
            for at in range(0, len(entries), self.entries)
        )
        image = bytearray(self.header(primary, redundant, overhead, len(text) // SECTOR) + text)
        for start in (redundant, primary):
            first = start + directory_sectors
            places = [first + n * table_sectors for n in range(self.tables)]
            image += _sectors(struct.pack(f"<{self.tables}I", *places)) + tables
        return image + bytes(overhead * SECTOR - len(image)) + data

    def stream(self, *, footer: bool = True, packed: Mapping[int, bytes] | None = None) -> bytearray:
        """Return a stream: compressed grains behind markers, tables after their grains, a footer at the end.

        `packed` replaces what a grain is packed to.
        """
        self.flags, self.compression, self.version = 1 | COMPRESSED | MARKERS, 1, 3
        text = self.text.ljust(20 * SECTOR, b"\0")
        image = bytearray(self.header(AT_END, 0, 128, len(text) // SECTOR) + text)
        image += bytes(128 * SECTOR - len(image))
        directory = []
        for table in range(self.tables):
            entries = [0] * self.entries
            for number in range(table * self.entries, (table + 1) * self.entries):
                if number not in self.grains:
                    continue
                if self.grains[number] == ZERO:
                    entries[number % self.entries] = 1
                    continue
                entries[number % self.entries] = len(image) // SECTOR
                body = (packed or {}).get(number) or zlib.compress(self.grains[number])
                image += _sectors(struct.pack("<QI", number * self.grain, len(body)) + body)
            if any(entries):
                content = _sectors(struct.pack(f"<{self.entries}I", *entries))
                image += _marker(len(content) // SECTOR, GRAIN_TABLE)
                directory.append(len(image) // SECTOR)
                image += content
            else:
                directory.append(0)
        content = _sectors(struct.pack(f"<{self.tables}I", *directory))
        image += _marker(len(content) // SECTOR, GRAIN_DIRECTORY)
        at = len(image) // SECTOR
        image += content
        if footer:
            image += _marker(1, FOOTER) + self.header(at, 0, 128, len(text) // SECTOR) + _marker(0, END)
        return image

    def content(self, below: bytes = b"") -> bytes:
        """Return the disk's bytes."""
        size = self.capacity * SECTOR
        disk = bytearray(below[:size].ljust(size, b"\0"))
        for number, data in self.grains.items():
            at = number * self.grain * SECTOR
            disk[at : at + self.grain * SECTOR] = data.ljust(self.grain * SECTOR, b"\0")
        return bytes(disk[:size])


def cowd(capacity: int, grains: Mapping[int, bytes], grain: int = 1, unclean: int = 0) -> bytearray:
    """Return an ESX copy-on-write extent; its grain tables have 4096 entries."""
    count = -(-capacity // (grain * 4096))
    free = 4 + -(-4 * count // SECTOR)
    directory, tables, data = [0] * count, bytearray(), bytearray()
    used = sorted({number // 4096 for number in grains})
    first = free + 32 * len(used)
    for index, table in enumerate(used):
        directory[table] = free + 32 * index
        entries = [0] * 4096
        for number in sorted(n for n in grains if n // 4096 == table):
            entries[number % 4096] = first + len(data) // SECTOR
            data += grains[number].ljust(grain * SECTOR, b"\0")
        tables += struct.pack("<4096I", *entries)
    header = struct.pack("<4sIIIIIII", b"COWD", 1, 3, capacity, grain, 4, count, first + len(data) // SECTOR)
    image = bytearray(header.ljust(2048, b"\0"))
    struct.pack_into("<I", image, 1648, unclean)
    return image + _sectors(struct.pack(f"<{count}I", *directory)) + tables + data


SESPARSE_GRAIN = 8
SESPARSE_ENTRIES = 4096


def sesparse(
    capacity: int, grains: Mapping[int, bytes], *, unmapped: tuple[int, ...] = (), replay: int = 0, spread: int = 0
) -> bytearray:
    """Return a space-efficient sparse extent; grain n is put in the slot `spread` further for each grain before it."""
    count = -(-capacity // (SESPARSE_GRAIN * SESPARSE_ENTRIES))
    directory_sectors = -(-8 * count // SECTOR)
    numbers = [*grains, *unmapped]
    used = sorted({number // SESPARSE_ENTRIES for number in numbers}, reverse=True)  # tables stand in any order
    directory = [0] * count
    tables = bytearray()
    slots: dict[int, int] = {number: index * (1 + spread) for index, number in enumerate(grains)}
    for index, table in enumerate(used):
        directory[table] = 0x1000_0000_0000_0000 | index
        entries = [0] * SESPARSE_ENTRIES
        for number in numbers:
            if number // SESPARSE_ENTRIES != table:
                continue
            if number in unmapped:
                entry = 0x1000_0000_0000_0000
            elif grains[number] == ZERO:
                entry = 0x2000_0000_0000_0000
            else:
                slot = slots[number]
                entry = 0x3000_0000_0000_0000 | (slot & 0xFFF) << 48 | slot >> 12
            entries[number % SESPARSE_ENTRIES] = entry
        tables += struct.pack(f"<{SESPARSE_ENTRIES}Q", *entries)
    volatile, at_directory = 1, 2
    at_tables = at_directory + directory_sectors
    at_grains = at_tables + len(tables) // SECTOR
    header = struct.pack(
        "<26Q",
        *(0xCAFEBABE, 0x2_0000_0001, capacity, SESPARSE_GRAIN, 64, 0, 0, 0, 0, 0),
        *(volatile, 1, 0, 0, 0, 0, at_directory, directory_sectors, at_tables, len(tables) // SECTOR),
        *(0, 0, 0, 0, at_grains, 8 * (max(slots.values(), default=0) + 1)),
    )
    image = bytearray(header.ljust(SECTOR, b"\0"))
    image += struct.pack("<QQQQ", 0xCAFECAFE, len(used), 0, replay).ljust(SECTOR, b"\0")
    image += _sectors(struct.pack(f"<{count}Q", *directory)) + tables
    data = bytearray(8 * SECTOR * (max(slots.values(), default=-1) + 1))
    for number, slot in slots.items():
        data[slot * 4096 : (slot + 1) * 4096] = grains[number].ljust(4096, b"\0")
    return image + data


def overlay(size: int, grains: Mapping[int, bytes], grain_bytes: int, below: bytes = b"") -> bytes:
    """Return the bytes of a disk whose grains lie over `below`."""
    disk = bytearray(below[:size].ljust(size, b"\0"))
    for number, data in grains.items():
        disk[number * grain_bytes : (number + 1) * grain_bytes] = data.ljust(grain_bytes, b"\0")
    return bytes(disk[:size])


def write(folder: Path, files: Mapping[str, bytes | bytearray]) -> Path:
    """Write files into a folder, and return the path of the first."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))
