"""Volumes of Windows that no tool here makes, laid out as published documentation describes them."""

from __future__ import annotations

import struct
import uuid

MIB = 1 << 20


def bitlocker(
    *protectors: int, state: int = 4, following: int = 4, method: int = 0x8004, to_go: bool = False, version: int = 2
) -> bytes:
    """Lay out a BitLocker volume as libbde's documentation describes it: boot sector and three metadata blocks."""
    sector = bytearray(512)
    sector[:11] = b"\xeb\x58\x90MSWIN4.1" if to_go else b"\xeb\x58\x90-FVE-FS-"
    struct.pack_into("<HB", sector, 11, 512, 8)
    places = (1 * MIB, 2 * MIB, 3 * MIB)
    at = 424 if to_go else 160
    sector[at : at + 16] = uuid.UUID("4967d63b-2e29-4ad8-8399-f6a339e3d001").bytes_le
    struct.pack_into("<3Q", sector, at + 16, *places)
    struct.pack_into("<Q", sector, 0x28, 8 * MIB // 512 if not to_go else 0)
    sector[510:] = b"\x55\xaa"
    entries = b""
    encrypted = struct.pack("<4H", 8 + 12 + 16 + 44, 0, 5, 1) + bytes(12 + 16 + 44)  # nonce, its tag, the key
    stretched = struct.pack("<4H", 8 + 20, 0, 3, 1) + bytes(20)
    for number in protectors:
        data = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).bytes_le + bytes(8) + struct.pack("<HH", 0, number)
        data += stretched + encrypted
        entries += struct.pack("<4H", 8 + len(data), 2, 8, 1) + data
    entries += struct.pack("<4H", 8 + 12 + 16 + 44, 3, 5, 1) + bytes(12 + 16 + 44)
    text = "HOST C: 1/2/2020\0".encode("utf-16-le")
    entries += struct.pack("<4H", 8 + len(text), 7, 2, 1) + text
    head = struct.pack(
        "<4I16sIIQ", 48 + len(entries), 1, 48, 48 + len(entries), uuid.UUID(int=9).bytes_le, 1, method, 5
    )
    block = struct.pack(
        "<8s4HQ2I3QQ",
        b"-FVE-FS-",
        (64 + 48 + len(entries)) // 16,
        version,
        state,
        following,
        8 * MIB,
        0,
        16,
        *places,
        4 * MIB,
    )
    volume = bytearray(8 * MIB)
    volume[:512] = sector
    for place in places:
        volume[place : place + len(block + head + entries)] = block + head + entries
    return bytes(volume)


def refs(size: int) -> bytes:
    """Lay out the first sector of a ReFS volume of version 3.4, and nothing behind it."""
    volume = bytearray(size)
    volume[3:11] = b"ReFS\0\0\0\0"
    struct.pack_into("<QIIBB", volume, 24, size // 512, 512, 8, 3, 4)
    return bytes(volume)


def storage_space() -> bytes:
    """Lay out the start of a partition of a Storage Spaces pool."""
    volume = bytearray(MIB)
    volume[:8] = b"SPACEDB "
    struct.pack_into(">H", volume, 8, 2)
    volume[32:48] = uuid.UUID(int=77).bytes
    return bytes(volume)
