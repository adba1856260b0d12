"""Content types, labels and UUIDs are those of blkid, on volumes that foreign tools make."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from tools import require_tool

from imgscan.devices.limits import KIB, MIB
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import ImageError
from imgscan.filesystems.signatures import Signature, identify, why_unread
from imgscan.layouts.magic import known_magic

MADE = {
    "ext2": (8, "mkfs.ext2 -q -L two"),
    "ext2 without label": (8, "mkfs.ext2 -q"),
    "ext3": (8, "mkfs.ext3 -q -L three"),
    "ext4": (16, "mkfs.ext4 -q -L four"),
    "ext4 without journal": (16, "mkfs.ext4 -q -O ^has_journal"),
    "ext4, 1 KiB blocks, no 64bit": (16, "mkfs.ext4 -q -b 1024 -O ^64bit,^metadata_csum"),
    "journal device": (16, "mke2fs -q -O journal_dev -b 4096"),
    "fat12": (1, "mkfs.fat -F 12 -n TWELVE"),
    "fat16": (16, "mkfs.fat -F 16 -n SIXTEEN -i 00c0ffee"),
    "fat32": (40, "mkfs.fat -F 32 -n THIRTYTWO"),
    "fat32 without label": (40, "mkfs.fat -F 32"),
    "fat32, 4 KiB sectors": (300, "mkfs.fat -F 32 -S 4096 -n BIG"),
    "exfat": (16, "mkfs.exfat -L Größe"),
    "exfat without label": (16, "mkfs.exfat"),
    "ntfs": (16, "mkntfs -qQF -L Größe"),
    "ntfs without label": (16, "mkntfs -qQF -c 512"),
    "ntfs, 64 KiB clusters": (32, "mkntfs -qQF -c 65536 -L wide"),
    "xfs": (310, "mkfs.xfs -q -L exeffess"),
    "btrfs": (120, "mkfs.btrfs -q -L better"),
    "jfs": (24, "mkfs.jfs -q -L journal"),
    "f2fs": (64, "mkfs.f2fs -q -l flash"),
    "reiserfs": (40, "mkfs.reiserfs -qff -l rei"),
    "minix": (4, "mkfs.minix"),
    "minix 3": (4, "mkfs.minix -3"),
    "cramfs": (0, "mkfs.cramfs -n small /etc/apt"),
    "swap": (4, "mkswap -q -L swapspace"),
    "swap, 8 KiB pages": (4, "mkswap -q -f -p 8192"),
    "luks1": (8, "cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000"),
    "luks2": (32, "cryptsetup luksFormat -q --type luks2 --label lucky --pbkdf pbkdf2 --pbkdf-force-iterations 1000"),
    "nothing": (4, "true"),
}


def _blkid(path: Path) -> tuple[str | None, str | None, str | None]:
    def value(tag: str) -> str | None:
        order = [require_tool("blkid"), "-p", "-o", "value", "-s", tag, str(path)]
        said = subprocess.run(order, capture_output=True, text=True, check=False).stdout
        return said.rstrip("\n") or None

    return value("TYPE"), value("LABEL"), value("UUID")


def _identify(data: bytes) -> Signature:
    return identify(MemoryDevice(data, "disk0/p1"))


@pytest.mark.parametrize("name", MADE)
def test_made_volumes_are_what_blkid_says(tmp_path: Path, name: str) -> None:
    size, command = MADE[name]
    program, *arguments = command.split()
    path = tmp_path / "volume"
    if size:
        with path.open("wb") as file:
            file.truncate(size * MIB)
    tool = [require_tool(program), *arguments]
    order = [*tool[:1], *arguments, str(path)]
    secret = b"secret\n" if program == "cryptsetup" else b""
    if program == "cryptsetup":
        order = [*order[:2], *order[2:], "-"]
    if program == "mkfs.reiserfs":
        secret = b"y\n"
    made = subprocess.run(order, input=secret, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    data = path.read_bytes()
    found = _identify(data)
    assert (found.content, found.label, found.uuid) == _blkid(path)
    assert (known_magic(MemoryDevice(data)) is None) == (name == "nothing")
    if found.size is not None:
        assert size * MIB * 0.9 <= found.size <= size * MIB


@pytest.mark.parametrize("metadata", ["0.90", "1.0", "1.1", "1.2"])
def test_raid_members_are_what_blkid_says(tmp_path: Path, metadata: str) -> None:
    # mdadm writes only to block devices: the superblocks are put together here as Linux' md_p.h lays them out
    path = tmp_path / "volume"
    volume = bytearray(4 * MIB)
    identity = bytes(range(1, 17))
    if metadata == "0.90":
        at = len(volume) - 64 * KIB
        words = struct.unpack("<4I", identity)
        struct.pack_into("<8I", volume, at, 0xA92B4EFC, 0, 90, 0, 0, words[0], 0, 1)
        struct.pack_into("<8I", volume, at + 32, 1024, 2, 2, 0, 0, *words[1:])
    else:
        at = {"1.0": len(volume) - 8 * KIB, "1.1": 0, "1.2": 4 * KIB}[metadata]
        struct.pack_into("<4I16s32s", volume, at, 0xA92B4EFC, 1, 0, 0, identity, b"host:0")
        struct.pack_into("<Q", volume, at + 144, at // 512)
    volume[0x438:0x43A] = b"\x53\xef"  # a mirror's member looks like a filesystem too
    path.write_bytes(volume)
    found = _identify(bytes(volume))
    assert found.content == "linux_raid_member"
    assert (found.content, found.label, found.uuid) == _blkid(path)


def _put(size: int, *pieces: tuple[int, bytes]) -> bytes:
    volume = bytearray(size)
    for at, piece in pieces:
        volume[at : at + len(piece)] = piece
    return bytes(volume)


_LVM = _put(492, (4, b"LVM2 001" + b"abcdefghijklmnopqrstuvwxyz012345"), (0, struct.pack("<I", 32)))
_LVM_LABEL = struct.pack("<8sQI", b"LABELONE", 1, zlib.crc32(_LVM, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF) + _LVM
_VMFS = struct.pack("<IIB16sI", 0x2FABF15E, 5, 5, bytes(range(16)), 0) + b"datastore1"
_ISO = _put(
    4096, (0, b"\1CD001\1\0"), (40, b"MY DISC".ljust(32)), (813, b"2024010203040506\0" * 2), (2048, b"\xffCD001\1")
)
_PAIRS = b"".join(
    struct.pack(">III", 12 + len(name) + len(value), 0, len(name.rstrip(b"\0"))) + name + value
    for name, value in (
        (b"name", struct.pack(">III", 9, 1, 4) + b"tank"),
        (b"pool_guid\0\0\0", struct.pack(">IIQ", 8, 1, 1234567890123)),
    )
)
_ZFS = tuple((128 * KIB + n * KIB, struct.pack("<QQ", 0x00BAB10C, 5000)) for n in range(8))
PUT_TOGETHER = {
    "lvm": _put(2 * MIB, (512, _LVM_LABEL)),
    "BitLocker": _put(
        2 * MIB,
        (0, b"\xeb\x58\x90-FVE-FS-"),
        (160, bytes.fromhex("3bd66749292ed84a8399f6a339e3d001") + struct.pack("<Q", 1 * MIB)),
        (510, b"\x55\xaa"),
        (1 * MIB, b"-FVE-FS-" + struct.pack("<HH", 64, 2)),
    ),
    "ReFS": _put(2 * MIB, (0, b"\0\0\0ReFS\0\0\0\0")),
    "VMFS": _put(4 * MIB, (0x200000, _VMFS)),
    "VMFS_volume_member": _put(
        4 * MIB, (0x100000, b"\x0d\xd0\x01\xc0\5"), (0x100000 + 532, b"4fd8a5d2-1a2b3c4d-5e6f-001122334455")
    ),
    "zfs_member": _put(64 * MIB, (16 * KIB + 12, _PAIRS), *_ZFS),
    "iso9660": _put(2 * MIB, (0x8000, _ISO)),
    "hibernated": _put(2 * MIB, (0xFF6, b"S1SUSPEND"), (1024, struct.pack("<III16s", 1, 9, 0, bytes(range(1, 17))))),
    "DM_snapshot_cow": _put(2 * MIB, (0, b"SnAp\1\0\0\0\1\0\0\0\x20\0\0\0")),
    "ceph_bluestore": _put(2 * MIB, (0, b"bluestore block device\n")),
    "squashfs": _put(2 * MIB, (0, b"hsqs"), (28, b"\4\0")),
    "squashfs3": _put(2 * MIB, (0, b"sqsh"), (28, b"\0\3")),
    "apfs": _put(2 * MIB, (24, b"\1\0\0\x80"), (32, b"NXSB\0\x10\0\0"), (72, bytes(range(1, 17)))),
    "ufs": _put(2 * MIB, (0x10000 + 1372, struct.pack("<I", 0x19540119)), (0x10000 + 144, b"\1\2\3\4\5\6\7\x08")),
    "gfs2": _put(
        40 * MIB,
        (0x10000, b"\x01\x16\x19\x70"),
        (0x10018, struct.pack(">II", 1801, 1900)),
        (0x100A0, b"cluster:fs"),
        (0x10100, bytes(range(1, 17))),
    ),
    "ocfs2": _put(16 * MIB, (4096, b"OCFSV2"), (4096 + 272, b"oracle"), (4096 + 336, bytes(range(1, 17)))),
    "reiser4": _put(2 * MIB, (0x10000, b"ReIsEr4"), (0x10014, bytes(range(1, 17)) + b"four")),
    "drbd": _put(2 * MIB, (2 * MIB - 4096 + 40, b"\0\1\2\3\4\5\6\7"), (2 * MIB - 4096 + 60, b"\x83\x74\x02\x6b")),
    "isw_raid_member": _put(2 * MIB, (2 * MIB - 1024, b"Intel Raid ISM Cfg Sig. 1.3.00")),
}


@pytest.mark.parametrize("name", PUT_TOGETHER)
def test_volumes_put_together_are_what_blkid_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / "volume"
    path.write_bytes(PUT_TOGETHER[name])
    found = _identify(PUT_TOGETHER[name])
    assert found.content is not None
    assert (found.content, found.label, found.uuid) == _blkid(path)


def test_evidence_is_where_the_magic_stands() -> None:
    found = _identify(PUT_TOGETHER["ReFS"])
    (evidence,) = found.evidence
    assert (evidence.where, evidence.offset, evidence.length) == ("disk0/p1", 3, 8)


def test_nothing_is_a_known_answer() -> None:
    assert _identify(bytes(4 * MIB)) == Signature(None)
    assert _identify(b"") == Signature(None)
    assert _identify(bytes(1536)) == Signature(None)
    assert _identify(b"\xff" * MIB).content is None


class _Unreadable(MemoryDevice):
    """Fails from `limit` bytes on, and counts the reads."""

    limit = 1 << 62
    reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if offset + length > self.limit:
            raise ImageError("gone", where=self.name)
        return super().read_at(offset, length)


def test_what_is_unreadable_is_an_error_unless_something_was_found() -> None:
    device = _Unreadable(bytes(4 * MIB))
    device.limit = 1 * MIB
    with pytest.raises(ImageError):
        identify(device)
    device = _Unreadable(_put(4 * MIB, (0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\4\0"), (102, b"\2\0")))
    device.limit = 8 * KIB
    assert identify(device).content == "xfs"


def test_few_reads() -> None:
    device = _Unreadable(_put(64 * MIB, (0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\4\0"), (102, b"\2\0")))
    identify(device)
    assert device.reads <= 3
    device = _Unreadable(bytes(64 * MIB))
    identify(device)
    assert device.reads <= 14  # an empty volume: RAID by firmware has its metadata in six more places


def test_labels_are_shown_safely() -> None:
    raw = _put(2 * MIB, (0x10000, b"ReIsEr4"), (0x10024, b"a\x1b[2J\xff"))
    assert _identify(raw).label == r"a\x1b[2J\xff"


def test_why_contents_are_not_read() -> None:
    assert why_unread("crypto_LUKS") == why_unread("BitLocker") == "encrypted"
    assert why_unread("zfs_member") == why_unread("reiserfs") == "unsupported"
    assert [why_unread(content) for content in ("ext4", "swap", None)] == [None, None, None]
