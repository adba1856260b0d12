"""Where things lie in an NTFS that mkntfs made, and a journal as Windows leaves it; tests change bytes there."""

from __future__ import annotations

import struct
from pathlib import Path

LOOKED_AT = 24 << 20
"""Bytes from the start of a volume in which mkntfs puts what is looked for."""


def mft_offset(data: bytes | bytearray) -> int:
    """Return where the MFT of a volume begins."""
    cluster = struct.unpack_from("<Q", data, 48)[0]
    return int(cluster * struct.unpack_from("<H", data, 11)[0] * data[13])


def attribute_offset(data: bytes | bytearray, node: int, attribute: int) -> int:
    """Return where an attribute of a record begins; for records of 1024 bytes in the first run of the MFT."""
    record = mft_offset(data) + node * 1024
    position = record + int(struct.unpack_from("<H", data, record + 20)[0])
    while struct.unpack_from("<I", data, position)[0] != attribute:
        position += struct.unpack_from("<I", data, position + 4)[0]
    return position


def volume_flags_offset(data: bytes | bytearray) -> int:
    """Return where the flags of $Volume stand."""
    position = attribute_offset(data, 3, 0x70)
    return position + int(struct.unpack_from("<H", data, position + 20)[0]) + 10


def log_offset(data: bytes | bytearray) -> int:
    """Return where $LogFile begins, which mkntfs and ntfs-3g fill with 0xFF."""
    return data.index(b"\xff" * 65536) & ~4095


def log_size(data: bytes | bytearray) -> int:
    """Return the size of $LogFile."""
    position = attribute_offset(data, 2, 0x80)
    return int(struct.unpack_from("<Q", data, position + 48)[0])


def restart_page(
    size: int, number: int, *, in_use: bool, clean: bool = False, version: tuple[int, int] = (1, 1)
) -> bytes:
    """Lay out a restart page of a log of `size` bytes as the Linux-NTFS project documents it, with its fixups."""
    page = bytearray(4096)
    struct.pack_into("<4sHHQIIHhh", page, 0, b"RSTR", 0x1E, 9, 0, 4096, 4096, 0x30, version[1], version[0])
    area = struct.pack("<QHHHH", number, 1, 0xFFFF if in_use else 0, 0 if in_use else 0xFFFF, 2 if clean else 0)
    area += struct.pack("<IHHqIHHII", 67 - size.bit_length(), 0x30 + 160, 0x30, size, 0, 0x30, 0x40, 1, 0)
    client = struct.pack("<QQHHH6xI", number, number, 0xFFFF, 0xFFFF, 0, 8) + "NTFS".encode("utf-16-le")
    page[0x30 : 0x30 + 0x30 + 160] = area + client.ljust(160, b"\0")
    for sector in range(8):
        end = 512 * (sector + 1)
        page[0x20 + 2 * sector : 0x22 + 2 * sector] = page[end - 2 : end]
        page[end - 2 : end] = b"\7\0"
    page[0x1E:0x20] = b"\7\0"
    return bytes(page)


def mark_for_a_check(disk: Path, start: int = 0) -> None:
    """Set the flag of a volume that asks for a check at the next start."""
    with disk.open("r+b") as file:
        file.seek(start)
        at = volume_flags_offset(file.read(LOOKED_AT))
        file.seek(start + at)
        file.write(b"\1\0")


def leave_journal_open(disk: Path, start: int = 0) -> None:
    """Put a journal into a volume whose client did not close it."""
    with disk.open("r+b") as file:
        file.seek(start)
        data = file.read(LOOKED_AT)
        size = log_size(data)
        file.seek(start + log_offset(data))
        file.write(restart_page(size, 100, in_use=False) + restart_page(size, 200, in_use=True))
