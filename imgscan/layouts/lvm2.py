"""LVM2 on disk: the label, the physical volume header, metadata areas and their text.

Sources: lvm2, libdm and lib/label/label.h (label_header), lib/format_text/layout.h (pv_header, disk_locn,
pv_header_extension, raw_locn, mda_header), and the text itself as lib/config/config.c and libdm/libdm-config.c read
it. All numbers are little-endian; offsets and sizes are in bytes unless called sectors, which have 512 bytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from imgscan.devices.limits import LVM_TEXT_DEPTH
from imgscan.errors import CorruptStructure, LimitExceeded

SECTOR: Final = 512
LABEL_SECTORS: Final = 4
"""The label stands in one of the first four sectors."""
AREA_HEADER_BYTES: Final = 512
"""A metadata area begins with its header; the circular buffer of the text follows."""
AREAS: Final = 16
"""Data areas, metadata areas or boot loader areas that one header may list: LVM writes at most two."""
_CRC_START: Final = 0xF597A6CF
_AREA_MAGIC: Final = b" LVM2 x[5A%r0N*>"
AREA_IGNORED: Final = 1
"""Flag of a text's location: the area is not used (`pvchange --metadataignore y`)."""
PV_USED: Final = 1
"""Flag of the header's extension: the volume is in a group."""


class Area(msgspec.Struct, frozen=True):
    """A part of a physical volume, from its first byte; `size` 0 means up to its end."""

    offset: int
    size: int


class PhysicalVolumeHeader(msgspec.Struct, frozen=True):
    """Label and header. `uuid` has 32 characters, without dashes; `offset` is where the label stands.

    `flags` are those of the extension, None when there is none (written before LVM 2.02.99).
    """

    uuid: str
    offset: int
    device_size: int
    data_areas: tuple[Area, ...]
    metadata_areas: tuple[Area, ...]
    bootloader_areas: tuple[Area, ...] = ()
    flags: int | None = None


class TextLocation(msgspec.Struct, frozen=True):
    """Where a copy of the text lies, in bytes from the start of its metadata area."""

    offset: int
    size: int
    checksum: int
    flags: int


class AreaHeader(msgspec.Struct, frozen=True):
    """A metadata area's header: its own place on the volume, and where the committed text is (None: nowhere)."""

    start: int
    size: int
    text: TextLocation | None


def checksum(data: bytes) -> int:
    """Return LVM's checksum of `data`: CRC-32, begun with a number of its own and not inverted at the end."""
    return zlib.crc32(data, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def parse_label(front: bytes) -> PhysicalVolumeHeader | None:
    """Return what the first good label in the volume's first four sectors says, None when there is none.

    :raises CorruptStructure: the label is good, and the header that it leads to contradicts itself
    """
    for number in range(LABEL_SECTORS):
        sector = front[number * SECTOR : (number + 1) * SECTOR]
        if len(sector) < SECTOR or not sector.startswith(b"LABELONE"):
            continue
        label = _label().parse(sector)
        if label.sector == number and label.type == b"LVM2 001" and label.checksum == checksum(sector[20:]):
            return _physical_volume(sector, label.offset, number * SECTOR)
    return None


def _physical_volume(sector: bytes, at: int, where: int) -> PhysicalVolumeHeader:
    if not 32 <= at <= SECTOR - 72:
        raise CorruptStructure(f"the label puts the physical volume header at byte {at} of its sector", offset=where)
    raw = sector[at : at + 32]
    if not raw.isalnum() or not raw.isascii():
        raise CorruptStructure("the physical volume's UUID is no text", offset=where + at)
    (size,) = struct.unpack_from("<Q", sector, at + 32)
    data, at = _areas(sector, at + 40, where)
    metadata, at = _areas(sector, at, where)
    loader: tuple[Area, ...] = ()
    flags: int | None = None
    if at + 8 <= SECTOR:
        version, extension_flags = struct.unpack_from("<II", sector, at)
        if version:
            flags = extension_flags
            loader, _ = _areas(sector, at + 8, where)
    return PhysicalVolumeHeader(raw.decode(), where, size, data, metadata, loader, flags)


def _areas(sector: bytes, at: int, where: int) -> tuple[tuple[Area, ...], int]:
    """Return a list of areas that ends in an empty one, and the byte behind it."""
    found: list[Area] = []
    while at + 16 <= SECTOR:
        area = Area(*struct.unpack_from("<QQ", sector, at))
        at += 16
        if not area.offset:
            return tuple(found), at
        found.append(area)
        if len(found) > AREAS:
            break
    raise CorruptStructure("the physical volume header's list of areas does not end", offset=where + at)


def parse_area_header(data: bytes) -> AreaHeader:
    """Return the header of a metadata area.

    :raises CorruptStructure: its magic, version or checksum is wrong
    """
    if len(data) < AREA_HEADER_BYTES:
        raise CorruptStructure("the metadata area's header is cut short")
    raw = _area_header().parse(data)
    if raw.magic != _AREA_MAGIC:
        raise CorruptStructure("there is no metadata area where the physical volume header says")
    if raw.checksum != checksum(data[4:AREA_HEADER_BYTES]):
        raise CorruptStructure("the metadata area's header does not match its checksum")
    if raw.version != 1:
        raise CorruptStructure(f"the metadata area is of version {raw.version}, not 1")
    text = TextLocation(raw.offset, raw.text_size, raw.text_checksum, raw.flags) if raw.offset else None
    return AreaHeader(raw.start, raw.size, text)


@cache
def _label() -> Any:
    from construct import Bytes, Int32ul, Int64ul, Struct  # noqa: PLC0415 - start-up time

    return Struct(
        "id" / Bytes(8), "sector" / Int64ul, "checksum" / Int32ul, "offset" / Int32ul, "type" / Bytes(8)
    )  # label_header


@cache
def _area_header() -> Any:
    from construct import Bytes, Int32ul, Int64ul, Struct  # noqa: PLC0415 - start-up time

    return Struct(  # mda_header, with the first raw_locn: the committed text
        "checksum" / Int32ul,
        "magic" / Bytes(16),
        "version" / Int32ul,
        "start" / Int64ul,
        "size" / Int64ul,
        "offset" / Int64ul,
        "text_size" / Int64ul,
        "text_checksum" / Int32ul,
        "flags" / Int32ul,
    )


Value = int | float | str | list[Any] | dict[str, Any]
"""A value of the text: a section is a dict, an array a list of numbers and strings."""

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:\#[^\n]*+[ \t\r\n]*+)*+  # white space and comments; possessive: no backtracking
    (?:(?P<word>[A-Za-z0-9_.+/-]++)            # a key, or a number
     |"(?P<string>[^"\\]*+(?:\\.[^"\\]*+)*+)"
     |(?P<mark>[{}=\[\],])
     |(?P<end>\0|\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?\d{1,20}")


def parse_text(text: str) -> dict[str, Value]:
    """Return the sections and values of LVM's configuration text, the first of equal names.

    :raises CorruptStructure: it is not of that form; `offset` counts characters
    :raises LimitExceeded: sections are nested deeper than `LVM_TEXT_DEPTH`
    """
    top: dict[str, Value] = {}
    stack: list[dict[str, Value]] = [top]
    key: str | None = None
    array: list[Value] | None = None
    after_equals = False
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            raise CorruptStructure("the metadata text cannot be understood", offset=position)
        position = match.end()
        kind, found = match.lastgroup, match[match.lastgroup or 0]
        if kind == "end":
            break
        if array is not None:
            if found == "]" and kind == "mark":
                array = None
            elif kind != "mark":
                array.append(_scalar(kind, found, position))
            elif found != ",":
                raise CorruptStructure(f"a {found} stands in an array of the metadata text", offset=position)
        elif after_equals:
            value: Value
            if kind == "mark" and found == "[":
                value = array = []
            elif kind == "mark":
                raise CorruptStructure(f"a {found} stands for a value in the metadata text", offset=position)
            else:
                value = _scalar(kind, found, position)
            stack[-1].setdefault(str(key), value)
            key, after_equals = None, False
        elif kind != "mark":
            if key is not None:
                raise CorruptStructure("a name without a value stands in the metadata text", offset=position)
            key = _unescaped(found)
        elif found == "=" and key is not None:
            after_equals = True
        elif found == "{" and key is not None:
            if len(stack) > LVM_TEXT_DEPTH:
                raise LimitExceeded(f"the metadata text is nested deeper than {LVM_TEXT_DEPTH}", offset=position)
            section: dict[str, Value] = {}
            stack[-1].setdefault(key, section)
            stack.append(section)
            key = None
        elif found == "}" and key is None and len(stack) > 1:
            stack.pop()
        else:
            raise CorruptStructure(f"a {found} stands alone in the metadata text", offset=position)
    if len(stack) > 1 or key is not None or array is not None:
        raise CorruptStructure("the metadata text ends inside a section", offset=position)
    return top


def _scalar(kind: str | None, token: str, position: int) -> Value:
    if kind == "string":
        return _unescaped(token)
    if _NUMBER.fullmatch(token):
        return int(token)
    try:
        return float(token) if len(token) < 64 else token
    except ValueError:
        raise CorruptStructure("a value of the metadata text is neither number nor string", offset=position) from None


def _unescaped(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token, flags=re.DOTALL) if "\\" in token else token


def section(node: Mapping[str, Value], name: str) -> dict[str, Value]:
    """Return the section of that name, an empty one when there is none."""
    found = node.get(name)
    return found if isinstance(found, dict) else {}


def number(node: Mapping[str, Value], name: str, default: int | None = None, most: int = 1 << 62) -> int:
    """Return a number that is neither negative nor above `most`; `default` stands for a missing one.

    :raises CorruptStructure: it is not there and has no default, or is no such number
    """
    found = node.get(name, default)
    if not isinstance(found, int) or not 0 <= found <= most:
        raise CorruptStructure(f"{name} is {'missing' if found is None else 'no number that it can be'}")
    return found


def string(node: Mapping[str, Value], name: str, default: str | None = None) -> str:
    """Return a string; `default` stands for a missing one.

    :raises CorruptStructure: it is not there and has no default, or is no string
    """
    found = node.get(name, default)
    if not isinstance(found, str):
        raise CorruptStructure(f"{name} is {'missing' if found is None else 'no string'}")
    return found


def strings(node: Mapping[str, Value], name: str) -> tuple[str, ...]:
    """Return an array's strings (one string is an array of one); none when it is not there."""
    found = node.get(name, [])
    items = found if isinstance(found, list) else [found]
    return tuple(item for item in items if isinstance(item, str))
