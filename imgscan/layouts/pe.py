"""Portable executables as UEFI firmware loads them: machine, subsystem and sections.

Microsoft PE format: "MS-DOS stub", "COFF file header", "Optional header", "Section table".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

HEAD_BYTES = 4096
"""How much of a file's start holds its headers."""
MACHINES = {
    0x014C: "x86",
    0x8664: "x86_64",
    0x01C0: "arm",
    0x01C2: "arm",
    0xAA64: "aarch64",
    0x5064: "riscv64",
    0x6264: "loongarch64",
    0x0200: "ia64",
    0x0EBC: "ebc",
}
_MOST_SECTIONS = 64


class Section(msgspec.Struct, frozen=True):
    """A section of a file; `name` may be ``/N``, a place in the string table; `offset` and `size` in bytes of it."""

    name: str
    address: int
    size: int
    offset: int


class PeHeaders(msgspec.Struct, frozen=True):
    """`machine` is a name or `0x....`; `strings` is where the string table begins in the file, 0 without one.

    `resources` is the address of the resources, 0 without.
    """

    machine: str
    subsystem: int
    sections: tuple[Section, ...]
    strings: int
    resources: int


def parse_pe(head: bytes) -> PeHeaders | None:
    """Return the headers in the first `HEAD_BYTES` of a file, None when it is no portable executable."""
    if head[:2] != b"MZ" or len(head) < 0x40:
        return None
    (start,) = struct.unpack_from("<I", head, 0x3C)
    if head[start : start + 4] != b"PE\0\0" or start + 24 + 72 > len(head):
        return None
    machine, count, symbols, symbol_count, optional_size = struct.unpack_from("<HH4xIIH", head, start + 4)
    optional = start + 24
    (subsystem,) = struct.unpack_from("<H", head, optional + 68)
    directories = optional + (112 if head[optional : optional + 2] == b"\x0b\x02" else 96)
    in_file = directories + 24 <= len(head) and optional_size >= directories + 24 - optional
    resources = struct.unpack_from("<I", head, directories + 16)[0] if in_file else 0
    sections = []
    for index in range(min(count, _MOST_SECTIONS)):
        at = optional + optional_size + 40 * index
        if at + 40 > len(head):
            break
        virtual_size, address, size, offset = struct.unpack_from("<IIII", head, at + 8)
        name = head[at : at + 8].rstrip(b"\0").decode("latin-1")
        sections.append(Section(name, address, min(size, virtual_size or size), offset))
    return PeHeaders(
        MACHINES.get(machine, f"0x{machine:04x}"),
        subsystem,
        tuple(sections),
        symbols + 18 * symbol_count if symbols else 0,
        resources,
    )


_VERSION = 16
_VERSION_BYTES = 4096


def version_resource(pe: PeHeaders, read: Callable[[int, int], bytes]) -> bytes:
    """Return the first bytes of the version resource (UTF-16 names and values), none without one.

    `read` returns ``(offset, length)`` of the file, less at its end. Resources are a tree of three levels: type, name,
    language ("The .rsrc Section").
    """
    section = next((s for s in pe.sections if s.address <= pe.resources < s.address + s.size), None)
    if section is None or not pe.resources:
        return b""
    base = section.offset + pe.resources - section.address
    place = 0
    for level in range(3):
        head = read(base + place, 16)
        if len(head) < 16:
            return b""
        named, numbered = struct.unpack_from("<HH", head, 12)
        count = min(named + numbered, 256)
        table = read(base + place + 16, 8 * count)
        entries = [struct.unpack_from("<II", table, at) for at in range(0, len(table) - 7, 8)]
        below = next((where for name, where in entries if level or name == _VERSION), None)
        if below is None or (level < 2) != bool(below & 0x80000000):
            return b""
        place = below & 0x7FFFFFFF
    leaf = read(base + place, 8)
    if len(leaf) < 8:
        return b""
    address, size = struct.unpack("<II", leaf)
    if not section.address <= address < section.address + section.size:
        return b""
    return read(section.offset + address - section.address, min(size, _VERSION_BYTES))
