"""What the restart pages of an NTFS $LogFile say: whether changes stand in it that are still to be written.

Source: the layout as the Linux-NTFS project documents it ($LogFile, restart page and restart area).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from imgscan.errors import CorruptStructure, UnsupportedFormat

NODE_LOGFILE: Final = 2
"""The MFT record of $LogFile."""
_SECTOR: Final = 512
_HEADER: Final = struct.Struct("<4sHHQIIHhh")
_AREA: Final = struct.Struct("<QHHHH")
_NO_CLIENT: Final = 0xFFFF
_IS_CLEAN: Final = 2
"""RESTART_VOLUME_IS_CLEAN."""


def is_to_be_replayed(read: Callable[[int, int], bytes]) -> bool:
    """Return whether the log has a client that did not close it; `read` takes offset and length in the log.

    :raises CorruptStructure: neither of the two restart pages is one
    :raises UnsupportedFormat: the log is of a later version
    """
    first = read(0, _SECTOR)
    if first == b"\xff" * _SECTOR:
        return False  # emptied, as a check of the disk and other systems leave it
    page_size = _HEADER.unpack_from(first)[4]
    pages = [first]
    if page_size in {4096, 8192, 16384, 32768, 65536}:
        pages.append(read(page_size, _SECTOR))
    found = [state for page in pages if (state := _restart(page)) is not None]
    if not found:
        raise CorruptStructure("the journal ($LogFile) has no restart page")
    return max(found)[1]


def _restart(sector: bytes) -> tuple[int, bool] | None:
    """Return the last log sequence number of a restart page and whether its log is open; None for another page."""
    magic, array, count, _, _, _, area, minor, major = _HEADER.unpack_from(sector)
    if magic not in {b"RSTR", b"CHKD"} or area % 8 or not _HEADER.size <= area <= _SECTOR - 2 - _AREA.size:
        return None
    if not count or array + 2 > _SECTOR or sector[array : array + 2] != sector[-2:]:
        return None  # written in part only
    if major not in {0, 1, 2}:
        raise UnsupportedFormat(f"the journal ($LogFile) is of version {major}.{minor}")
    number, _, _, in_use, flags = _AREA.unpack_from(sector, area)
    return number, in_use != _NO_CLIENT and not flags & _IS_CLEAN
