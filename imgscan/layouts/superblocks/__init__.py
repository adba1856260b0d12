"""Superblocks: what a volume holds, told from a few kilobytes of it.

`find_superblock` asks all probes in libblkid's order: first for what makes the volume a part of something larger or
locks it, then for filesystems.
"""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.superblocks import members, unix, windows
from imgscan.layouts.superblocks.superblock import Probe, Superblock, Window

_IN_ORDER: tuple[Probe, ...] = (
    *members.PROBES,
    *windows.FIRST,
    *unix.PROBES,
    *windows.LATER,
    *members.FAR_PROBES,
    *unix.FAR_PROBES,
    windows.ntfs_boot_sector,
)


def find_superblock(device: BlockDevice) -> Superblock | None:
    """Return what a device holds, None when it was looked for and nothing known is there.

    :raises ImageError: nothing was found, and a place where something could be cannot be read
    """
    if device.size <= 1024:
        return None
    window = Window(device)
    lost: ImageError | None = None
    for probe in _IN_ORDER:
        try:
            found = probe(window)
        except ImageError as error:
            lost = lost or error
            continue
        if found is not None:
            return found
    if lost is not None:
        raise lost
    return None
