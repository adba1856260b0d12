"""Filesystems: a block device to files.

`open_filesystem` opens what `signatures` recognised. `tsk` reads ext2/3/4, NTFS, FAT and exFAT; everything else is
refused by name.
"""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.errors import EncryptedData, UnsupportedFormat

READ_BY_TSK = frozenset({"ext2", "ext3", "ext4", "ntfs", "vfat", "exfat"})
"""Types that imgscan reads through TSK, by libblkid's names."""
ENCRYPTED = frozenset({"crypto_LUKS", "BitLocker"})
"""Contents that need a key, by libblkid's names."""


def open_filesystem(device: BlockDevice, volume: str, content: str) -> FileSystem:
    """Open the filesystem `content` (libblkid's type name) on `device`; `volume` is its name for evidence.

    :raises UnsupportedFormat: it is not read by this version
    :raises EncryptedData: a key is needed
    :raises ImageError: the volume cannot be read, or what it holds is damaged
    """
    if content in READ_BY_TSK:
        from imgscan.filesystems.tsk import open_tsk  # noqa: PLC0415 - pytsk3 costs start-up time, load it when needed

        return open_tsk(device, volume, content)
    if content in ENCRYPTED:
        raise EncryptedData(f"{content} is encrypted, and imgscan has no key for it", where=volume)
    raise UnsupportedFormat(f"{content} is recognised, and not read by this version", where=volume)
