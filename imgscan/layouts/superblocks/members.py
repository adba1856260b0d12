"""Parts of something larger, or locked: RAID members, LVM, encryption, clustered storage.

Offsets and checks as in libblkid (util-linux, libblkid/src/superblocks): linux_raid.c, bcache.c, bluestore.c, drbd.c,
lvm.c, luks.c, stratis.c, vdo.c, vmfs.c, zfs.c, bitlocker.c.
"""

from __future__ import annotations

import struct
import zlib

from imgscan.layouts.superblocks import firmware_raid
from imgscan.layouts.superblocks.superblock import Probe, Superblock, Window, text, uuid_text
from imgscan.layouts.volume_boot_record import is_bitlocker

_MD_MAGIC = 0xA92B4EFC


def linux_raid(window: Window) -> Superblock | None:
    """MD: version 0.90 and 1.0 at the end, 1.1 at the start, 1.2 at 4 KiB."""
    if window.size <= firmware_raid.SMALLEST:
        return None
    return _md1(window, 0) or _md1(window, 0x1000) or linux_raid_at_end(window)


def linux_raid_at_end(window: Window) -> Superblock | None:
    """MD with its superblock at the end: 1.0 and 0.90."""
    if window.size <= firmware_raid.SMALLEST:
        return None
    return _md1(window, (window.size & ~0xFFF) - 0x2000) or _md0(window, (window.size & ~0xFFFF) - 0x10000)


def _md1(window: Window, offset: int) -> Superblock | None:
    raw = window.at(offset, 512)
    if not raw or struct.unpack_from("<II", raw) != (_MD_MAGIC, 1):
        return None
    if struct.unpack_from("<Q", raw, 144)[0] != offset >> 9:
        return None
    return Superblock("linux_raid_member", offset, 4, text(raw[32:64]), uuid_text(raw[16:32]))


def _md0(window: Window, offset: int) -> Superblock | None:
    raw = window.at(offset, 512)
    for order in "<>":
        if not raw or struct.unpack_from(f"{order}I", raw)[0] != _MD_MAGIC:
            continue
        minor, size = struct.unpack_from(f"{order}8xI20xI", raw)
        if size * 1024 + 0x10000 > window.size or offset < size * 1024:
            return None
        words = struct.unpack_from(f"{order}20xI28xIII", raw)
        uuid = struct.pack(">4I", *(words if minor >= 90 else (words[0], 0, 0, 0)))
        return Superblock("linux_raid_member", offset, 4, None, uuid_text(uuid))
    return None


def bcache(window: Window) -> Superblock | None:
    """Bcache, and bcachefs, which grew out of it: one place, two identifiers."""
    raw = window.at(4096, 208)
    if raw[24:40] == bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81") and raw[8:16] == b"\x08" + bytes(7):
        return Superblock("bcache", 4096 + 24, 16, None, uuid_text(raw[40:56]))
    if raw[24:40] in {
        bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"),
        bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"),
    }:
        return Superblock("bcachefs", 4096 + 24, 16, text(raw[72:104]), uuid_text(raw[56:72]))
    return None


def drbd(window: Window) -> Superblock | None:
    """DRBD with internal metadata, versions 8.4 and 9: the last 4 KiB."""
    offset = window.size - 4096
    raw = window.at(offset, 512) if window.size >= 0x10000 else b""
    if raw[60:63] != b"\x83\x74\x02" or raw[63] not in {0x6B, 0x6C, 0x6D}:
        return None
    uuid_at = 48 if raw[63] == 0x6D else 40  # version 9 has more before it
    return Superblock("drbd", offset + 60, 4, None, raw[uuid_at : uuid_at + 8].hex().lstrip("0") or "0")


def lvm(window: Window) -> Superblock | None:
    """LVM2's label in one of the first four sectors, with its checksum; LVM1 in the first."""
    for sector in range(4):
        raw = window.at(sector * 512, 512)
        if raw[:8] != b"LABELONE" or raw[24:32] != b"LVM2 001":
            continue
        number, checksum = struct.unpack_from("<QI", raw, 8)
        if number != sector or zlib.crc32(raw[20:], 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF != checksum:
            continue
        (header,) = struct.unpack_from("<I", raw, 20)
        identity = window.at(sector * 512 + header, 32) if header < 480 else b""
        name = identity.decode("ascii", "replace")
        parts = [name[a:b] for a, b in zip((0, 6, 10, 14, 18, 22, 26), (6, 10, 14, 18, 22, 26, 32), strict=True)]
        return Superblock("LVM2_member", sector * 512 + 24, 8, None, "-".join(parts) if name else None)
    raw = window.at(0, 4)
    if raw[:2] == b"HM" and raw[2:4] in {b"\x01\x00", b"\x02\x00"}:
        return Superblock("LVM1_member", 0, 2)
    return None


def luks(window: Window) -> Superblock | None:
    """LUKS1 and LUKS2; of LUKS2 the second header too, when the first is gone."""
    for offset in (0, *(0x4000 << shift for shift in range(9))):
        raw = window.at(offset, 512) if offset < 0x10000 else b""
        magic = b"LUKS\xba\xbe" if offset == 0 else b"SKUL\xba\xbe"
        if raw[:6] != magic:
            continue
        (version,) = struct.unpack_from(">H", raw, 6)
        label = text(raw[24:72]) if version == 2 else None
        return Superblock("crypto_LUKS", offset, 6, label, text(raw[168:208]))
    return None


def bitlocker(window: Window) -> Superblock | None:
    """BitLocker, by its boot sector."""
    sector = window.at(0, 512)
    return Superblock("BitLocker", 3, 8) if sector and is_bitlocker(sector) else None


def stratis(window: Window) -> Superblock | None:
    """Stratis: two copies of its header."""
    for offset in (512, 9 * 512):
        raw = window.at(offset, 512)
        if raw[4:20] == b"!Stra0tis\x86\xff\x02^\x41rh":
            digits = raw[64:96].decode("ascii", "replace")
            uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
            return Superblock("stratis", offset + 4, 16, None, uuid)
    return None


def vmfs(window: Window) -> Superblock | None:
    """VMFS: a member of a volume at 1 MiB, the filesystem at 2 MiB."""
    raw = window.at(0x100000, 1024)
    if raw[:4] == b"\x0d\xd0\x01\xc0":
        return Superblock("VMFS_volume_member", 0x100000, 4, None, text(raw[532:567]))
    raw = window.at(0x200000, 512)
    if raw[:4] == b"\x5e\xf1\xab\x2f":
        first, second, third = struct.unpack_from("<IIH", raw, 9)
        uuid = f"{first:08x}-{second:08x}-{third:04x}-{raw[19:25].hex()}"
        return Superblock("VMFS", 0x200000, 4, text(raw[29:157]), uuid)
    return None


def zfs(window: Window) -> Superblock | None:
    """ZFS: at least four uberblocks in the array at 128 KiB, name and identifier in the list at 16 KiB."""
    array = window.at(128 * 1024, 64 * 1024) if window.size >= 64 << 20 else b""
    magics = {struct.pack("<Q", 0x00BAB10C), struct.pack(">Q", 0x00BAB10C)}
    found = [at for at in range(0, len(array), 1024) if array[at : at + 8] in magics]
    if len(found) < 4:
        return None
    pairs = window.at(16 * 1024, 4096)
    label, uuid, at = None, None, 12
    while at + 12 <= len(pairs):  # XDR: size, decoded size, name, type, count, value
        size, _, length = struct.unpack_from(">III", pairs, at)
        if size < 12 or length > size:
            break
        name, value = pairs[at + 12 : at + 12 + length], at + 12 + (length + 3 & ~3)
        if name == b"name" and value + 12 <= len(pairs):
            (count,) = struct.unpack_from(">I", pairs, value + 8)
            label = text(pairs[value + 12 : value + 12 + min(count, 256)])
        elif name == b"pool_guid" and value + 16 <= len(pairs):
            uuid = str(struct.unpack_from(">Q", pairs, value + 8)[0])
        at += size
    return Superblock("zfs_member", 128 * 1024 + found[0], 8, label, uuid)


_AT_START = (
    (b"bluestore block device", "ceph_bluestore"),
    (b"SnAp", "DM_snapshot_cow"),
    (b"verity\0\0", "DM_verity_hash"),
    (b"integrit", "DM_integrity"),
    (b"dmvdo001", "vdo"),
    (b"UBI#", "ubi"),
    (b"SPACEDB ", "storage_spaces"),  # a disk of a Windows storage pool: libblkid has no name for it
)


def at_start(window: Window) -> Superblock | None:
    """Members whose magic is their first bytes."""
    front = window.at(0, min(window.size, 512))
    for magic, content in _AT_START:
        if front.startswith(magic):
            return Superblock(content, 0, len(magic))
    return None


PROBES: tuple[Probe, ...] = (linux_raid, *firmware_raid.PROBES, bcache, at_start, drbd, lvm, luks, stratis, bitlocker)
"""In libblkid's order. What one of them finds is not asked for a filesystem: a mirror's member looks like one."""
FAR_PROBES: tuple[Probe, ...] = (vmfs, zfs, *firmware_raid.FAR_PROBES)
"""These read elsewhere and are asked when nothing else was found."""
