"""Filesystems of Linux and of other Unix systems, optical discs, and swap.

Offsets and checks as in libblkid (util-linux, libblkid/src/superblocks, one file for each).
"""

from __future__ import annotations

import struct

import msgspec

from imgscan.layouts.superblocks.superblock import Probe, Superblock, Window, text, utf16, uuid_text

_EXT3_RO_COMPATIBLE = 0x1 | 0x2 | 0x4  # sparse superblocks, large files, B-tree directories
_EXT2_INCOMPATIBLE = 0x2 | 0x10  # file types, meta block groups
_EXT3_INCOMPATIBLE = _EXT2_INCOMPATIBLE | 0x4  # journal to replay


def ext(window: Window) -> Superblock | None:
    """ext2, ext3, ext4 by their features (Linux Documentation/filesystems/ext4/super.rst), and an external journal."""
    raw = window.at(1024, 1024)
    if raw[56:58] != b"\x53\xef":
        return None
    inodes, blocks = struct.unpack_from("<II", raw)
    (block_shift,) = struct.unpack_from("<I", raw, 24)
    (blocks_in_group,) = struct.unpack_from("<I", raw, 32)
    compatible, incompatible, ro_compatible = struct.unpack_from("<III", raw, 92)
    journal_device = bool(incompatible & 0x8)
    if block_shift > 6 or not blocks or (not journal_device and (not inodes or not blocks_in_group)):
        return None
    if journal_device:
        content = "jbd"
    elif ro_compatible & ~_EXT3_RO_COMPATIBLE or incompatible & ~_EXT3_INCOMPATIBLE:
        (flags,) = struct.unpack_from("<I", raw, 352)
        content = "ext4dev" if flags & 0x4 else "ext4"
    else:
        content = "ext3" if compatible & 0x4 else "ext2"
    if incompatible & 0x80:  # 64-bit block numbers
        blocks |= struct.unpack_from("<I", raw, 336)[0] << 32
    size = 1024 << block_shift
    return Superblock(content, 1024 + 56, 2, text(raw[120:136]), uuid_text(raw[104:120]), blocks * size, size)


def xfs(window: Window) -> Superblock | None:
    """XFS, with the checks on sizes that tell its magic from other text."""
    raw = window.at(0, 512)
    if raw[:4] != b"XFSB":
        return None
    block_size, blocks = struct.unpack_from(">IQ", raw, 4)
    (sector_size,) = struct.unpack_from(">H", raw, 102)
    if not 512 <= block_size <= 65536 or block_size & block_size - 1 or not 512 <= sector_size <= 32768:
        return None
    return Superblock("xfs", 0, 4, text(raw[108:120]), uuid_text(raw[32:48]), blocks * block_size, block_size)


def btrfs(window: Window) -> Superblock | None:
    """Btrfs: the first copy of its superblock, at 64 KiB."""
    raw = window.at(0x10000, 4096)
    if raw[64:72] != b"_BHRfS_M":
        return None
    (size,) = struct.unpack_from("<Q", raw, 112)
    (sector_size,) = struct.unpack_from("<I", raw, 144)
    (on_volume,) = struct.unpack_from("<Q", raw, 209)  # of its dev_item
    label, uuid = text(raw[0x12B:0x22B]), uuid_text(raw[32:48])
    return Superblock("btrfs", 0x10040, 8, label, uuid, size, sector_size, on_volume)


def jfs(window: Window) -> Superblock | None:
    """JFS."""
    raw = window.at(0x8000, 184)
    if raw[:4] != b"JFS1":
        return None
    size, block_size, shift, factor, physical, physical_shift = struct.unpack_from("<QIHHIH", raw, 8)
    if shift > 16 or physical_shift > 16 or block_size != 1 << shift or physical != 1 << physical_shift:
        return None
    if shift - physical_shift != factor:
        return None
    return Superblock("jfs", 0x8000, 4, text(raw[152:168]), uuid_text(raw[136:152]), size * physical, block_size)


_PAGES = (0x1000, 0x2000, 0x4000, 0x8000, 0x10000)
SUSPENDED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
_TUX_ON_ICE = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"


def swap(window: Window) -> Superblock | None:
    """Swap space, and swap space that holds a hibernated system (`swsuspend`)."""
    if window.size < 10 * 4096:
        return None
    label, uuid, good = _swap_header(window)
    if window.at(0, 8) == _TUX_ON_ICE:
        return Superblock("swsuspend", 0, 8, label, uuid)
    for page in _PAGES:
        magic = window.at(page - 10, 10)
        if magic.startswith(SUSPENDED):
            return Superblock("swsuspend", page - 10, 9, label, uuid, None, page)
        if magic == b"SWAP-SPACE":
            return Superblock("swap", page - 10, 10, None, None, None, page)
        if magic == b"SWAPSPACE2" and good:
            return Superblock("swap", page - 10, 10, label, uuid, None, page)
    return None


def _swap_header(window: Window) -> tuple[str | None, str | None, bool]:
    raw = window.at(1024, 516)
    if not raw:
        return None, None, False
    good = raw[:4] in {b"\1\0\0\0", b"\0\0\0\1"} and any(raw[4:8])
    if any(raw[44 + 128 : 44 + 136]):  # padding that is not empty: no header of this version
        return None, None, good
    return text(raw[28:44]), uuid_text(raw[12:28]), good


def reiserfs(window: Window) -> Superblock | None:
    """ReiserFS 3.5, 3.6 and Reiser4."""
    for offset in (0x2000, 0x10000):
        raw = window.at(offset, 120)
        magic = raw[52:62]
        if magic.startswith((b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs")):
            labelled = not magic.startswith(b"ReIsErFs")
            (block_size,) = struct.unpack_from("<H", raw, 44)
            label, uuid = (text(raw[100:116]), uuid_text(raw[84:100])) if labelled else (None, None)
            return Superblock("reiserfs", offset + 52, 9 if labelled else 8, label, uuid, None, block_size)
    raw = window.at(0x10000, 64)
    if raw.startswith(b"ReIsEr4"):
        return Superblock("reiser4", 0x10000, 7, text(raw[36:52]), uuid_text(raw[20:36]))
    return None


def optical(window: Window) -> Superblock | None:
    """UDF and ISO 9660: descriptors of 2 KiB from 32 KiB on (ECMA-167 2/8, ECMA-119 8)."""
    descriptors = [window.at(0x8000 + at, 2048) for at in range(0, 0x4000, 2048)]
    names = [descriptor[1:6] for descriptor in descriptors]
    if b"BEA01" in names and {b"NSR02", b"NSR03"} & set(names):
        return Superblock("udf", 0x8000 + 2048 * names.index(b"BEA01") + 1, 5)
    if names[0] != b"CD001":
        return None
    first = descriptors[0]
    joliet = next((d for d in descriptors[1:] if d[:1] == b"\2" and d[88:91] in {b"%/@", b"%/C", b"%/E"}), None)
    label = text(first[40:72])
    if joliet is not None:
        wide = joliet[40:72].decode("utf-16-be", "surrogatepass")
        if wide.encode("latin-1", "replace") != first[40:56]:  # else it may be the same, cut to 16 characters
            label = utf16(joliet[40:72], "utf-16-be")
    dates = (first[830:847], first[813:830])
    date = next((d[:16].decode("ascii", "replace") for d in dates if d[:16] != b"0" * 16 or d[16]), None)
    uuid = "-".join((date[:4], *(date[at : at + 2] for at in range(4, 16, 2)))) if date else None
    return Superblock("iso9660", 0x8001, 5, label, uuid, None, 2048)


def minix(window: Window) -> Superblock | None:
    """Minix 1, 2 and 3: a magic of two bytes, so the sizes must fit."""
    raw = window.at(1024, 32)
    if not raw:
        return None
    for order in "<>":
        inodes, zones, inode_maps, zone_maps, first_zone = struct.unpack_from(f"{order}HHHHH", raw)
        (magic,) = struct.unpack_from(f"{order}H", raw, 16)
        if magic in {0x2468, 0x2478}:
            (zones,) = struct.unpack_from(f"{order}I", raw, 20)
        if magic in {0x137F, 0x138F, 0x2468, 0x2478}:
            fits = inode_maps * 8192 >= inodes + 1 and zone_maps * 8192 >= zones - first_zone + 1
            if inode_maps and zone_maps and fits:
                return Superblock("minix", 1024 + 16, 2)
        if struct.unpack_from(f"{order}H", raw, 24)[0] == 0x4D5A:
            inode_maps, zone_maps = struct.unpack_from(f"{order}HH", raw, 6)
            (block_size,) = struct.unpack_from(f"{order}H", raw, 28)
            if inode_maps and zone_maps and 1024 <= block_size <= 4096:
                return Superblock("minix", 1024 + 24, 2)
    return None


def ufs(window: Window) -> Superblock | None:
    """UFS 1 and 2 of the BSD systems and Solaris, in either byte order; the magic is at 1372."""
    for start in (0, 0x2000, 0x10000, 0x40000):
        raw = window.at(start, 1376)
        for order in "<>":
            magic = struct.unpack_from(f"{order}I", raw, 1372)[0] if raw else 0
            if magic not in {0x00011954, 0x19540119, 0x00195612, 0x00095014, 0x00612195, 0x05231994}:
                continue
            first, second = struct.unpack_from(f"{order}II", raw, 144)
            label = text(raw[680:712]) if magic == 0x19540119 else None
            uuid = f"{first:08x}{second:08x}" if first or second else None
            return Superblock("ufs", start + 1372, 4, label, uuid)
    return None


def gfs(window: Window) -> Superblock | None:
    """GFS and GFS2."""
    raw = window.at(0x10000, 288)
    if raw[:4] != b"\x01\x16\x19\x70":
        return None
    formats = struct.unpack_from(">II", raw, 24)
    content = "gfs" if formats == (1309, 1401) else "gfs2" if 1801 <= formats[0] < 1900 and formats[1] == 1900 else None
    return Superblock(content, 0x10000, 4, text(raw[160:224]), uuid_text(raw[256:272])) if content else None


class _Magic(msgspec.Struct, frozen=True):
    """A type that its magic tells; `label` and `uuid` are places in bytes from `base`, with the label's length."""

    content: str
    base: int
    at: int
    magic: bytes
    label: tuple[int, int] | None = None
    uuid: int | None = None


_MAGICS = (
    _Magic("f2fs", 1024, 0, b"\x10\x20\xf5\xf2", (124, 1024), 108),
    _Magic("erofs", 1024, 0, b"\xe2\xe1\xf5\xe0", (64, 16), 48),
    _Magic("nilfs2", 1024, 6, b"\x34\x34", (168, 80), 152),
    _Magic("squashfs", 0, 0, b"hsqs"),
    _Magic("squashfs3", 0, 0, b"sqsh"),
    _Magic("apfs", 0, 32, b"NXSB", None, 72),
    _Magic("exfs", 0, 0, b"EXFS"),
    _Magic("hfsplus", 1024, 0, b"H+\0\4"),
    _Magic("hfsplus", 1024, 0, b"HX\0\5"),
    _Magic("hfs", 1024, 0, b"BD"),
    _Magic("ocfs2", 1024, 0, b"OCFSV2", (272, 64), 336),
    _Magic("ocfs2", 2048, 0, b"OCFSV2", (272, 64), 336),
    _Magic("ocfs2", 4096, 0, b"OCFSV2", (272, 64), 336),
    _Magic("ocfs2", 8192, 0, b"OCFSV2", (272, 64), 336),
    _Magic("ocfs", 0, 8, b"OracleCFS"),
    _Magic("oracleasm", 0, 32, b"ORCLDISK", (40, 24)),
    _Magic("cramfs", 0, 0, b"\x45\x3d\xcd\x28", (48, 16)),
    _Magic("romfs", 0, 0, b"-rom1fs-", (16, 16)),
    _Magic("vxfs", 1024, 0, b"\xf5\xfc\x01\xa5"),
    _Magic("vxfs", 8192, 0, b"\xa5\x01\xfc\xf5"),
    _Magic("hpfs", 8192, 0, b"\x49\xe8\x95\xf9"),
    _Magic("befs", 512, 32, b"BFS1", (0, 32)),
    _Magic("befs", 0, 32, b"1SFB", (0, 32)),
    _Magic("ubifs", 0, 0, b"\x31\x18\x10\x06"),
    _Magic("zonefs", 0, 0, b"SFOZ"),
    _Magic("netware", 4096, 0, b"SPB5"),
)


def by_magic(window: Window) -> Superblock | None:
    """Types that need no further check."""
    for entry in _MAGICS:
        if window.at(entry.base + entry.at, len(entry.magic)) != entry.magic:
            continue
        if entry.content == "nilfs2" and not _nilfs2(window):
            continue
        if entry.content == "hfs" and not _hfs(window):
            continue
        label = uuid = None
        if entry.label is not None:
            raw = window.at(entry.base + entry.label[0], entry.label[1])
            label = utf16(raw) if entry.content == "f2fs" else text(raw)
        if entry.uuid is not None:
            uuid = uuid_text(window.at(entry.base + entry.uuid, 16))
        return Superblock(entry.content, entry.base + entry.at, len(entry.magic), label, uuid)
    return None


def _nilfs2(window: Window) -> bool:
    """Whether a superblock with NILFS2's magic (two bytes) has sizes that can be."""
    raw = window.at(1024, 32)
    return 256 <= int.from_bytes(raw[8:10], "little") <= 1024 and int.from_bytes(raw[20:24], "little") <= 6


def _hfs(window: Window) -> bool:
    """Whether a master directory block with HFS's magic (two bytes) has an allocation block size that can be."""
    raw = window.at(1024, 32)
    size = int.from_bytes(raw[20:24], "big")
    return size > 0 and size % 512 == 0


PROBES: tuple[Probe, ...] = (swap, xfs, ext, reiserfs, jfs, optical, by_magic, gfs, minix, btrfs)
"""In libblkid's order."""
FAR_PROBES: tuple[Probe, ...] = (ufs,)
"""These read elsewhere and are asked when nothing else was found."""
