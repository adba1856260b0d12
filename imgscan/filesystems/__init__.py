"""Filesystems: a block device to files.

`signatures` recognises what a volume holds, `open_filesystem` opens it: ext2/3/4 (`ext_filesystem`), NTFS
(`ntfs_filesystem`), FAT and exFAT (`fat_filesystem`), all through `tsk`; XFS (`xfs_filesystem`), Btrfs (`btrfs`), JFS
(`jfs`). Everything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.errors import EncryptedData, UnsupportedFormat

ENCRYPTED = frozenset({"crypto_LUKS", "BitLocker"})
"""Contents that need a key, by libblkid's names."""


ON_SEVERAL = frozenset({"btrfs"})
"""Filesystems that can lie on several volumes, which then have one UUID."""


def open_filesystem(device: BlockDevice, volume: str, content: str, others: Sequence[BlockDevice] = ()) -> FileSystem:
    """Open the filesystem `content` (libblkid's type name) on `device`; `volume` is its name for evidence.

    `others` are the further devices of one that lies on several.

    :raises UnsupportedFormat: it is not read by this version
    :raises EncryptedData: a key is needed
    :raises ImageError: the volume cannot be read, or what it holds is damaged
    """
    # pytsk3 costs start-up time: it is loaded when there is a filesystem to read
    if content in {"ext2", "ext3", "ext4"}:
        from imgscan.filesystems.ext_filesystem import ExtFileSystem  # noqa: PLC0415 - see above

        return ExtFileSystem(device, volume, content)
    if content == "ntfs":
        from imgscan.filesystems.ntfs_filesystem import NtfsFileSystem  # noqa: PLC0415 - see above

        return NtfsFileSystem(device, volume, content)
    if content == "vfat":
        from imgscan.filesystems.fat_filesystem import FatFileSystem  # noqa: PLC0415 - see above

        return FatFileSystem(device, volume, content)
    if content == "exfat":
        from imgscan.filesystems.fat_filesystem import ExfatFileSystem  # noqa: PLC0415 - see above

        return ExfatFileSystem(device, volume, content)
    if content == "btrfs":
        from imgscan.filesystems.btrfs import open_btrfs  # noqa: PLC0415 - start-up time

        return open_btrfs([device, *others], volume)
    if content == "xfs":
        from imgscan.filesystems.xfs_filesystem import XfsFileSystem  # noqa: PLC0415 - read only where there is one

        return XfsFileSystem(device, volume)
    if content == "jfs":
        from imgscan.filesystems.jfs import JfsFileSystem  # noqa: PLC0415 - start-up time

        return JfsFileSystem(device, volume, content)
    if content in ENCRYPTED:
        raise EncryptedData(f"{content} is encrypted, and imgscan has no key for it", where=volume)
    raise UnsupportedFormat(f"{content} is recognised, and not read by this version", where=volume)


def group_members(devices: Mapping[str, BlockDevice]) -> list[list[str]]:
    """Return which of the volumes with one UUID, given by name, belong together as one filesystem.

    A copy of a member is no member: it begins a filesystem of its own.
    """
    if len(devices) < 2:
        return [[name] for name in devices]
    from imgscan.filesystems.btrfs_superblock import group_devices  # noqa: PLC0415 - start-up time

    return group_devices(devices)
