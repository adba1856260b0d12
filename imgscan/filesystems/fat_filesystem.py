"""FAT12, FAT16, FAT32 and exFAT: files through TSK, free space by `fat`."""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure
from imgscan.filesystems import fat
from imgscan.filesystems.tsk import TskFileSystem
from imgscan.model.volume import Free


class FatFileSystem(TskFileSystem):
    """FAT12, FAT16, FAT32."""

    def __init__(self, device: BlockDevice, volume: str, content: str) -> None:
        """Open it; TSK lists a root directory without its clusters as empty, so these are looked at here."""
        super().__init__(device, volume, content)
        fat.check_root(device, volume)

    def free(self) -> Free:
        """Return the free space."""
        return fat.free_fat(self._device, self.volume)

    def condition(self) -> str | None:
        """Return how it was left, by the bits of its table and the state in its boot sector."""
        return fat.fat_condition(self._device, self.volume)

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return fat.fat_cost(self._device, self.volume)


class ExfatFileSystem(TskFileSystem):
    """ExFAT."""

    def condition(self) -> str | None:
        """Return how it was left, by the flags and the checksum of its boot region."""
        return fat.exfat_condition(self._device)

    def free(self) -> Free:
        """Return the free space."""
        bitmap = next((node for node, name in self._listed(self.root) if name == "$ALLOC_BITMAP"), None)
        if bitmap is None:
            raise CorruptStructure("the exFAT root directory has no allocation bitmap", where=self.volume)
        return fat.free_exfat(self._device, self.volume, lambda offset, length: self._content(bitmap, offset, length))

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return fat.read_exfat_geometry(self._device, self.volume).clusters // 8
