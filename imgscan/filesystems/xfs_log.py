"""How an XFS filesystem was left, from its log: a clean unmount writes one last record that says so.

Source: XFS Algorithms & Data Structures, "Journaling Log". Every sector of the log carries the number of the pass in
which it was written (its cycle), so the end of what was written last is where that number changes. A log whose last
writes reached the disk out of order may be taken for one that ends earlier, as it is by the kernel.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.limits import KIB
from imgscan.errors import UnsupportedFormat
from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs

_WINDOW: Final = 16 * KIB


def condition(volume: XfsVolume) -> str:
    """Return `clean` or `log not replayed`.

    :raises UnsupportedFormat: the log lies on another device
    :raises CorruptStructure: the log lies where nothing can be
    """
    geometry = volume.superblock
    if not geometry.log_start:
        raise UnsupportedFormat("its log is on another device, which is not read", where=volume.name)
    start = volume.offset_of(geometry.log_start, geometry.log_blocks, "the log")
    log = _Log(volume, start, geometry.log_blocks * geometry.block_bytes // xfs.SECTOR)
    return "clean" if log.is_clean() else "log not replayed"


class _Log:
    def __init__(self, volume: XfsVolume, start: int, sectors: int) -> None:
        self._volume = volume
        self._start = start
        self._sectors = sectors

    def is_clean(self) -> bool:
        """Whether the last record is that of an unmount, or nothing was ever written."""
        head = self._head()
        if head is None:
            return True
        # The record before the head; it may have begun before the log's start, at its end.
        most = min(self._sectors, 2 * xfs.LOG_RECORD_BYTES // xfs.SECTOR)
        step = 8
        back = 0
        data = b""
        while back < most:
            take = min(step, most - back)
            data = self._around(head - back - take, take) + data
            back += take
            for at in range(take - 1, -1, -1):
                record = xfs.parse_log_record(data[at * xfs.SECTOR : (at + 1) * xfs.SECTOR])
                if record is not None:
                    return at + record.sectors == back and self._is_unmount(record, data[at * xfs.SECTOR :])
            step *= 8
        return False

    @staticmethod
    def _is_unmount(record: xfs.LogRecord, data: bytes) -> bool:
        at = record.header_sectors * xfs.SECTOR
        return record.operations == 1 and at + 12 <= len(data) and bool(data[at + 9] & xfs.LOG_UNMOUNT)

    def _head(self) -> int | None:
        """Return the sector behind the last one written, None when none ever was."""
        first = self._cycle(0)
        if not first:
            return None
        if self._cycle(self._sectors - 1) == first:
            return self._sectors
        low, high = self._guessed(first)
        while low + 1 < high:
            middle = (low + high) // 2
            if self._cycle(middle) == first:
                low = middle
            else:
                high = middle
        return high

    def _guessed(self, first: int) -> tuple[int, int]:
        """Return a sector before and one at or behind the head: near the last write that the superblock names."""
        cycle, sector = divmod(self._volume.superblock.lsn, 1 << 32)
        if not cycle:  # never mounted: mkfs wrote one record, at the start
            cycle, sector = first, 0
        count = min(_WINDOW // xfs.SECTOR, self._sectors - 1 - sector)
        if cycle == first and count > 1:
            data = self._around(sector, count)
            cycles = [xfs.log_cycle(data[at : at + 8]) for at in range(0, len(data), xfs.SECTOR)]
            if cycles[0] == first and cycles[-1] != first:
                at = next(at for at, found in enumerate(cycles) if found != first)
                return sector + at - 1, sector + at
        return 0, self._sectors - 1

    def _cycle(self, sector: int) -> int:
        return xfs.log_cycle(self._volume.below.read_at(self._start + sector * xfs.SECTOR, 8))

    def _around(self, sector: int, count: int) -> bytes:
        """Return sectors of the log; those before its start are its last ones."""
        if sector >= 0:
            return self._volume.below.read_at(self._start + sector * xfs.SECTOR, count * xfs.SECTOR)
        before = min(-sector, count)
        data = self._volume.below.read_at(self._start + (sector + self._sectors) * xfs.SECTOR, before * xfs.SECTOR)
        return data + (self._around(0, count - before) if count > before else b"")
