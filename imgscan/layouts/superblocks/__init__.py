"""Superblocks: what a volume holds, told from a few kilobytes of it.

`find_superblock` asks all probes in libblkid's order: first for what makes the volume a part of something larger or
locks it, then for filesystems.
"""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.superblocks import firmware_raid, members, unix, windows
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


def find_superblock(device: BlockDevice, *, everywhere: bool = True) -> Superblock | None:
    """Return what a device holds, None when it was looked for and nothing known is there.

    Not `everywhere`, members of a RAID by firmware that are told in many places are not looked for: what a file is, an
    image or something else, does not hang on them.

    :raises ImageError: nothing was found, and a place where something could be cannot be read
    """
    if device.size <= 1024:
        return None
    window = Window(device)
    lost: ImageError | None = None
    for probe in _IN_ORDER:
        if probe in firmware_raid.FAR_PROBES and not everywhere:
            continue
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
