"""Faults of the volumes of a Windows: how NTFS was left, BitLocker, Storage Spaces."""

from __future__ import annotations

from pathlib import Path

from disk_builder import MIB, write_at
from ntfs_places import leave_journal_open, mark_for_a_check
from rules_on_images.case import Case, Moved
from rules_on_images.machines import Change, Make, changed, data_disk, image, one_disk, windows_apart, windows_bios
from rules_on_images.windows_cases import SERVER, installed
from windows_builder import WINDOWS_2019
from windows_volumes import bitlocker, storage_space

HEALTHY = one_disk(installed(WINDOWS_2019), "vhd")
UNREAD = {
    "dirty-filesystem": Moved("unknown", "how the volume was left cannot be read"),
    "damaged-filesystem": Moved("unknown", "the same"),
}


def changed_by(change: Change) -> Make:
    return lambda folder: [image(changed(windows_bios(WINDOWS_2019), folder, change), "vhd", folder)]


def with_data_disk(volume: bytes) -> Make:
    """Make a Windows with a second disk, whose partition holds an NTFS that begins with other bytes."""

    def disks(folder: Path) -> list[Path]:
        data = changed(data_disk("ntfs"), folder, lambda disk: write_at(disk, MIB, volume))
        return [image(windows_bios(WINDOWS_2019), "vhd", folder), image(data, "vhd", folder, name="data")]

    return disks


def on_second_disk(folder: Path) -> list[Path]:
    return [image(raw, "vhd", folder, name=f"disk{number}") for number, raw in enumerate(windows_apart())]


TWO_DISKS = with_data_disk(b"")
CASES = (
    Case(
        "root-not-on-boot-disk/0",
        "Windows on a second disk",
        TWO_DISKS,
        on_second_disk,
        SERVER,
        "ready-with-warnings",
    ),
    Case(
        "dirty-filesystem",
        "the volume of Windows is marked for a check",
        HEALTHY,
        changed_by(lambda disk: mark_for_a_check(disk, MIB)),
        SERVER,
        "ready-with-warnings",
    ),
    Case(
        "dirty-filesystem",
        "the journal of Windows' volume is open",
        HEALTHY,
        changed_by(lambda disk: leave_journal_open(disk, MIB)),
        SERVER,
        "ready-with-warnings",
    ),
    *(
        Case(
            "encrypted-volume",
            f"a data volume with BitLocker {how}",
            TWO_DISKS,
            with_data_disk(volume),
            SERVER,
            moves=UNREAD,
        )
        for how, volume in (
            ("on", bitlocker(0x0100, 0x0800)),
            ("suspended", bitlocker(0x0000, 0x0100)),
            ("converting", bitlocker(0x0100, state=2)),
        )
    ),
    Case(
        "unsupported-data-filesystem/0",
        "a pool of Storage Spaces beside Windows",
        TWO_DISKS,
        with_data_disk(storage_space()),
        SERVER,
        "ready-with-warnings",
        UNREAD,
    ),
)
