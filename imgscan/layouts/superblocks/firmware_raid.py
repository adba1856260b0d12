"""RAID by the firmware of disk controllers ("BIOS RAID", "fake RAID"): recognised by metadata near a disk's end.

Places, magics and checksums as in libblkid (util-linux, libblkid/src/superblocks): ddf_raid.c, isw_raid.c, lsi_raid.c,
via_raid.c, silicon_raid.c, nvidia_raid.c, promise_raid.c, highpoint_raid.c, adaptec_raid.c, jmicron_raid.c.
"""

from __future__ import annotations

import struct
from typing import Final

from imgscan.layouts.superblocks.superblock import Probe, Superblock, Window

SMALLEST: Final = 1440 * 1024
"""libblkid looks for no RAID on anything as small as a floppy disk."""
VENDORS: Final = {
    "ddf_raid_member": "SNIA DDF",
    "isw_raid_member": "Intel Rapid Storage",
    "lsi_mega_raid_member": "LSI MegaRAID",
    "via_raid_member": "VIA",
    "silicon_medley_raid_member": "Silicon Image Medley",
    "nvidia_raid_member": "NVIDIA",
    "promise_fasttrack_raid_member": "Promise FastTrak",
    "hpt45x_raid_member": "HighPoint HPT45x",
    "hpt37x_raid_member": "HighPoint HPT37x",
    "adaptec_raid_member": "Adaptec HostRAID",
    "jmicron_raid_member": "JMicron",
}
"""Whose RAID it is, by libblkid's name."""

_BY_MAGIC: Final = (
    (1, 0, b"\xde\x11\xde\x11", "ddf_raid_member"),
    (1, 0, b"\x11\xde\x11\xde", "ddf_raid_member"),
    (2, 0, b"Intel Raid ISM Cfg Sig. ", "isw_raid_member"),
    (1, 0, b"$XIDE$", "lsi_mega_raid_member"),
    (1, 0, b"\x55\xaa", "via_raid_member"),
    (1, 0x60, b"\0\0\0\x2f", "silicon_medley_raid_member"),
    (2, 0, b"NVIDIA", "nvidia_raid_member"),
    (11, 0, b"\xf3\x16\x78\x5a", "hpt45x_raid_member"),
    (11, 0, b"\xfd\x16\x78\x5a", "hpt45x_raid_member"),
    (1, 256, b"DPTM", "adaptec_raid_member"),
)
"""Sectors from the end, place in the sector, magic."""
_PROMISE_SECTORS: Final = (63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087)
_PROMISE_READ_TOGETHER: Final = ((255, 256), (591, 735), (911, 991))
"""Sectors from the end, from the last to the first of a piece."""
_PROMISE: Final = b"Promise Technology, Inc."
_HIGHPOINT_37X_AT: Final = 4608 + 32


def at_the_end(window: Window) -> Superblock | None:
    """Members whose metadata is sure to be some: a long magic, or a checksum."""
    if window.size <= SMALLEST:
        return None
    sectors = window.size // 512
    for back, at, magic, content in _BY_MAGIC:
        offset = (sectors - back) * 512
        raw = window.at(offset, 512)
        if raw[at : at + len(magic)] == magic and _is_sure(content, raw):
            return Superblock(content, offset + at, len(magic))
    return None


def _is_sure(content: str, raw: bytes) -> bool:
    if content == "via_raid_member":
        return raw[2] <= 2 and sum(raw[:50]) & 0xFF == raw[50]
    if content == "silicon_medley_raid_member":
        (checksum,) = struct.unpack_from("<H", raw, 0x13E)
        return raw[0x116] < 8 and -sum(struct.unpack_from("<159H", raw)) & 0xFFFF == checksum
    if content == "adaptec_raid_member":
        return raw[:4] == b"\x37\xfc\x4d\x1e"
    return True


def elsewhere(window: Window) -> Superblock | None:
    """Members that are told by few bytes, or in many places."""
    if window.size <= SMALLEST:
        return None
    magic = window.at(_HIGHPOINT_37X_AT, 4)
    if magic in {b"\xf0\x16\x78\x5a", b"\xfd\x16\x78\x5a"}:
        return Superblock("hpt37x_raid_member", _HIGHPOINT_37X_AT, 4)
    sectors = window.size // 512
    for last, first in _PROMISE_READ_TOGETHER:
        window.at((sectors - first) * 512, (first - last + 1) * 512)  # one read; the places below are then in memory
    for back in _PROMISE_SECTORS:
        offset = (sectors - back) * 512
        if window.at(offset, len(_PROMISE)) == _PROMISE:
            return Superblock("promise_fasttrack_raid_member", offset, len(_PROMISE))
    offset = (sectors - 1) * 512
    if window.at(offset, 2) == b"JM":
        return Superblock("jmicron_raid_member", offset, 2)
    return None


PROBES: tuple[Probe, ...] = (at_the_end,)
FAR_PROBES: tuple[Probe, ...] = (elsewhere,)
"""These read elsewhere, or are easily mistaken: they are asked when nothing else was found."""
