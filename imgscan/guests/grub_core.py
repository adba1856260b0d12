"""What GRUB's boot sector starts: the core image behind it, and where that looks for the rest of GRUB.

A core image carries a prefix, such as ``(,msdos1)/boot/grub`` (the first partition of the disk it was started from),
and may carry a configuration, such as ``search.fs_uuid ... root`` and ``set prefix=($root)/boot/grub``.

The code before the compressed part is checked only for how it begins and for sectors of zeros, and the compressed part
only for that it unpacks: other code in its place is not told from GRUB's.
"""

from __future__ import annotations

import re

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import GRUB_CORE_BYTES, GRUB_CORE_UNPACKED_BYTES
from imgscan.errors import CorruptStructure, LimitExceeded, TruncatedRead, UnsupportedFormat
from imgscan.layouts.grub import (
    OBJECT_CONFIG,
    OBJECT_PREFIX,
    CoreHeader,
    core_blocks,
    core_header,
    core_objects,
    erased_sector,
    is_diskboot,
    kernel_sector,
    legacy_next_sector,
    legacy_stage,
    starts_with_jump,
)

_SECTOR = 512  # the firmware's, whatever the disk's


class PerhapsDamaged(CorruptStructure):
    """A core image is not as GRUB writes it, and may start all the same."""


class GrubCore(msgspec.Struct, frozen=True):
    """Where a core image looks: `device` is GRUB's text between the brackets, `search` how it finds the device.

    `search` is ``(kind, what)`` with kind `fs_uuid`, `fs_label` or `file`, None without a search. `path` is the
    folder on that device. `has_normal` is whether the core image gets to its menu without a module from there.
    `needs_key` is whether it opens an encrypted volume first. `offset` is the image's first byte on the disk.
    """

    device: str
    search: tuple[str, str] | None
    path: str
    has_normal: bool
    needs_key: bool
    offset: int


def read_core(disk: BlockDevice, boot_sector: bytes) -> GrubCore:
    """Return what the core image says that a GRUB 2 boot sector loads from `disk`.

    :raises PerhapsDamaged: it is damaged where GRUB may repair it, or not as it should be
    :raises CorruptStructure: there is no core image where the boot sector says, or it is damaged
    :raises UnsupportedFormat: it is there, and of a version whose content is not understood
    :raises ImageError: it cannot be read
    """
    start = kernel_sector(boot_sector)
    offset = start * _SECTOR
    if not 0 < offset <= disk.size - _SECTOR:
        raise CorruptStructure(f"GRUB's core image should be in sector {start}, beyond the end", where=disk.name)
    first = disk.read_at(offset, _SECTOR)
    if not is_diskboot(first):
        raise CorruptStructure(f"there is no GRUB core image in sector {start}", where=disk.name, offset=offset)
    core = _load(disk, first, offset)
    header = core_header(core)
    if header is not None:
        _check_head(core, header, disk.name, offset)
    objects = core_objects(_unpack(core, header, disk.name, offset))
    if not objects:
        raise PerhapsDamaged("GRUB's core image holds no list of modules", where=disk.name, offset=offset)
    prefix = b"".join(content for kind, content in objects if kind == OBJECT_PREFIX).split(b"\0", 1)[0]
    config = b"".join(content for kind, content in objects if kind == OBJECT_CONFIG).split(b"\0", 1)[0]
    has_normal = any(b"Minimal BASH-like line editing" in content for _, content in objects)
    return _where(prefix.decode("utf-8", "replace"), config.decode("utf-8", "replace"), has_normal, offset)


def _load(disk: BlockDevice, first: bytes, offset: int) -> bytes:
    """Return the core image without its first sector."""
    blocks = core_blocks(first)
    total = sum(block.length for block in blocks) * _SECTOR
    if not blocks:
        raise CorruptStructure("GRUB's core image has an empty list of blocks", where=disk.name, offset=offset)
    if total > GRUB_CORE_BYTES:
        raise LimitExceeded(f"GRUB's core image claims {total} bytes", where=disk.name, offset=offset)
    for block in blocks:
        if (block.start + block.length) * _SECTOR > disk.size:
            raise CorruptStructure("GRUB's core image lies beyond the end", where=disk.name, offset=offset)
    return b"".join(disk.read_at(block.start * _SECTOR, block.length * _SECTOR) for block in blocks)


def _check_head(core: bytes, header: CoreHeader, where: str, offset: int) -> None:
    """Check the code that unpacks the rest."""
    at = erased_sector(core, header)
    if at is not None:
        place = offset + _SECTOR + at
        message = f"GRUB's core image is damaged: sector {place // _SECTOR} of {where} is zeros"
        raise CorruptStructure(message, where=where, offset=place)
    if header.payload is not None and not starts_with_jump(core):
        message = "GRUB's core image does not begin with the code that it should"
        raise PerhapsDamaged(message, where=where, offset=offset + _SECTOR)


def _unpack(core: bytes, header: CoreHeader | None, where: str, offset: int) -> bytes:
    if header is None or header.payload is None or not 0 < header.payload < len(core):
        raise UnsupportedFormat("GRUB's core image is of a version that is not understood", where=where, offset=offset)
    if header.uncompressed > GRUB_CORE_UNPACKED_BYTES:
        raise LimitExceeded(f"GRUB's core image claims to unpack to {header.uncompressed} bytes", where=where)
    packed = core[header.payload : header.payload + header.compressed]
    if len(packed) < header.compressed:
        raise TruncatedRead("GRUB's core image is longer than its list of blocks", where=where, offset=offset)
    import lzma  # noqa: PLC0415 - only GRUB needs it, and it costs start-up time

    options = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 24, "lc": 3, "lp": 0, "pb": 2}]
    try:
        image = lzma.LZMADecompressor(lzma.FORMAT_RAW, None, options).decompress(packed, header.uncompressed)
        problem = "" if len(image) == header.uncompressed else "it unpacks to too little"
    except (lzma.LZMAError, EOFError):
        image, problem = b"", "it does not unpack"
    if problem and header.redundancy:
        message = f"GRUB's core image is damaged: {problem}; GRUB may repair it by its Reed-Solomon code when it starts"
        raise PerhapsDamaged(message, where=where, offset=offset)
    if problem:
        raise CorruptStructure(f"GRUB's core image is damaged: {problem}", where=where, offset=offset)
    return image


_SEARCH = re.compile(
    r"^[ \t]*search(?:\.(fs_uuid|fs_label|file)|\b(?=.*--(fs-uuid|fs_uuid|u\b|label|fs-label|file)))[ \t]+(.*)$",
    re.MULTILINE,
)
_SET = re.compile(r"^[ \t]*set[ \t]+(prefix|root)=(.*)$", re.MULTILINE)


def search_in(config: str) -> tuple[str, str] | None:
    """Return the first search of a GRUB configuration as ``(kind, what)``: `fs_uuid`, `fs_label` or `file`."""
    found = _SEARCH.search(config)
    if found is None:
        return None
    kind = (found[1] or found[2]).replace("-", "_")
    kind = {"u": "fs_uuid", "label": "fs_label"}.get(kind, kind)
    words = [word.strip("'\"") for word in found[3].split() if not word.startswith("-")]
    words = [word for word in words if word != "root"] if found[2] else words
    return (kind, words[0]) if words else None


def prefix_in(config: str) -> str | None:
    """Return the folder that a GRUB configuration sets as prefix, without its device."""
    values = [re.sub(r"['\"]", "", value).strip() for name, value in _SET.findall(config) if name == "prefix"]
    return _split(values[-1])[1] if values else None


def _where(prefix: str, config: str, has_normal: bool, offset: int) -> GrubCore:
    """Join the prefix with what an embedded configuration changes of it."""
    device, path = _split(prefix)
    search = search_in(config)
    for name, value in _SET.findall(config):
        text = re.sub(r"['\"]", "", value).strip()
        if name == "prefix":
            own, path = _split(text)
            device = own if own and own != "$root" else device
        elif search is None:
            device = text.strip("()")
    return GrubCore(device, search, path, has_normal, "cryptomount" in config, offset)


def _split(prefix: str) -> tuple[str, str]:
    device = re.match(r"\(([^)]*)\)(.*)", prefix)
    return (device[1], device[2] or "/") if device else ("", prefix or "/")


class LegacyGrub(msgspec.Struct, frozen=True):
    """Where GRUB legacy looks: `partition` counts from 1, None when it was not said; `path` is a file on it."""

    version: str
    partition: int | None
    path: str
    offset: int


def read_legacy(disk: BlockDevice, boot_sector: bytes) -> LegacyGrub:
    """Return what stage 1.5 or stage 2 says that GRUB legacy's boot sector loads from `disk`.

    :raises CorruptStructure: there is none where the boot sector says
    :raises ImageError: it cannot be read
    """
    start = legacy_next_sector(boot_sector)
    offset = start * _SECTOR
    if not 0 < offset <= disk.size - 2 * _SECTOR:
        raise CorruptStructure(f"GRUB's next stage should be in sector {start}, beyond the end", where=disk.name)
    stage = legacy_stage(disk.read_at(offset + _SECTOR, _SECTOR))
    if stage is None:
        raise CorruptStructure(f"there is no stage 1.5 or 2 of GRUB in sector {start}", where=disk.name, offset=offset)
    path = re.sub(r"^\([^)]*\)", "", stage.config)
    return LegacyGrub(stage.version, None if stage.partition is None else stage.partition + 1, path, offset)
