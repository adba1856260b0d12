"""What a volume holds, by its superblock, under the type names that libblkid uses."""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import Why
from imgscan.layouts.superblocks import find_superblock
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown

ENCRYPTED = frozenset({"crypto_LUKS", "BitLocker", "cs_fvault2"})
"""Contents that need a key."""
READ = frozenset({"ext2", "ext3", "ext4", "ntfs", "vfat", "exfat", "btrfs", "xfs", "jfs"})
"""Filesystems whose files imgscan reads."""
NO_FILES = frozenset({"swap", "swsuspend", "jbd"})
"""Contents that have no files."""


class Signature(msgspec.Struct, frozen=True):
    """`content` is None when it was looked for and nothing known is there; the rest is as in `Superblock`.

    `label` and `uuid` are safe to show; `size` and `block_size` are the filesystem's, in bytes, and `on_volume` how
    much of the volume it uses.
    """

    content: str | None
    label: str | None = None
    uuid: str | None = None
    size: int | None = None
    block_size: int | None = None
    on_volume: int | None = None
    evidence: tuple[AtOffset, ...] = ()


def identify(device: BlockDevice) -> Signature:
    """Return what a volume holds.

    :raises ImageError: nothing was found, and a place where something could be cannot be read
    """
    found = find_superblock(device)
    if found is None:
        return Signature(None)
    return Signature(
        found.content,
        None if found.label is None else shown(found.label),
        None if found.uuid is None else shown(found.uuid),
        found.size,
        found.block_size,
        found.size if found.on_volume is None else found.on_volume,
        (AtOffset(device.name, found.offset, found.length, f"{found.content} magic"),),
    )


def why_unread(content: str | None) -> Why | None:
    """Return why the files of a content cannot be read, None when they can, or when it has none."""
    if content is None or content in READ or content in NO_FILES:
        return None
    return "encrypted" if content in ENCRYPTED else "unsupported"
