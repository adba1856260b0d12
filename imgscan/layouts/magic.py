"""Whether bytes are a disk's at all: a partition table, or a known filesystem."""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.gpt import SIGNATURE
from imgscan.layouts.mbr import has_boot_signature
from imgscan.layouts.superblocks import find_superblock


class Hit(msgspec.Struct, frozen=True):
    """`what` is libblkid's type name or `gpt`, `boot-sector`; `offset` and `length` are the magic's, in bytes."""

    what: str
    offset: int
    length: int


def known_magic(device: BlockDevice) -> Hit | None:
    """Return the first sign that a device holds a disk: a boot signature, a GPT, a known filesystem or member.

    Unreadable places count as holding nothing.
    """
    try:
        head = device.read_at(0, min(8192, device.size))
    except ImageError:
        head = b""
    for unit in (512, 4096):
        if head[unit : unit + len(SIGNATURE)] == SIGNATURE:
            return Hit("gpt", unit, len(SIGNATURE))
    if has_boot_signature(head):
        return Hit("boot-sector", 510, 2)
    try:
        found = find_superblock(device, everywhere=False)
    except ImageError:
        return None
    return None if found is None else Hit(found.content, found.offset, found.length)
