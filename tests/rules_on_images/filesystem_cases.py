"""Faults of what the volumes hold and of the system installed on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from disk_builder import MIB, run
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes, windows_outcomes
from rules_on_images.identity_cases import kernel_of
from rules_on_images.machines import (
    Change,
    Make,
    changed,
    data_disk,
    flip,
    image,
    linux,
    one_disk,
    put_volume,
    windows_bios,
)
from windows_builder import WINDOWS_2003, WINDOWS_2019
from xfs_images import kept

RHEL5 = "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"
RHEL6 = "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n"


def of_release(text: str) -> Path:
    """Return a Linux with this /etc/redhat-release, as releases before os-release have it."""
    files = {"etc/redhat-release": text, "etc/debian_version": None, **kernel_of("kernel", "Red Hat, Inc.")}
    return linux(os_release=None, files=files)


def with_data_disk(content: str) -> Make:
    return lambda folder: [
        image(linux(), "vmdk", folder),
        image(data_disk(content), "vmdk", folder, name="data"),
    ]


def superblock_change(request: str, raw: Callable[[], Path] = linux) -> Make:
    """Return a machine whose root, an ext4 at 1 MiB, debugfs changed."""

    def change(copy: Path) -> None:
        run("debugfs", "-w", "-R", request, f"{copy}?offset={MIB}")

    return lambda folder: [image(changed(raw(), folder, change), "vmdk", folder)]


def with_changed_data_disk(content: str, change: Change) -> Make:
    return lambda folder: [
        image(linux(), "vmdk", folder),
        image(changed(data_disk(content), folder, change), "vmdk", folder, name="data"),
    ]


def put_dirty_xfs(disk: Path) -> None:
    """Put the XFS that was in use when the machine lost power (tests/fixtures/filesystems) in the place of another."""
    with tempfile.TemporaryDirectory(dir=disk.parent) as name:
        put_volume(disk, MIB, kept("xfs-dirty", Path(name)))


CASES = (
    Case(
        "dirty-filesystem",
        "ext4 with a journal to replay",
        one_disk(linux),
        superblock_change("feature needs_recovery"),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings",
    ),
    Case(
        "dirty-filesystem",
        "ext4 that was never unmounted",
        one_disk(linux),
        superblock_change("set_super_value state 0"),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings",
    ),
    Case(
        "dirty-filesystem",
        "XFS with a log to replay",
        with_data_disk("xfs"),
        with_changed_data_disk("xfs", put_dirty_xfs),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
    ),
    Case(
        "damaged-filesystem",
        "ext4 in which the system found errors",
        one_disk(linux),
        superblock_change("set_super_value state 3"),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings",
    ),
    Case(
        "damaged-filesystem",
        "XFS whose free space header fails its checksum",
        with_data_disk("xfs"),
        with_changed_data_disk("xfs", lambda disk: flip(disk, MIB + 512 + 55)),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
    ),
    Case(
        "unsupported-root-filesystem/0",
        "FAT, as UMSDOS systems have it",
        one_disk(linux),
        one_disk(lambda: linux(root="vfat")),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        moves={
            "ssh-disabled/0": Moved("unknown", "what starts it is told by links, which FAT has not"),
            "firewall-blocks-ssh/0": Moved("unknown", "the same"),
            "antivirus-enabled/0": Moved("unknown", "the same"),
            "intrusion-detection-enabled/0": Moved("unknown", "the same"),
            "snapshot-backup-software/0": Moved("unknown", "the same"),
        },
    ),
    Case(
        "unsupported-boot-filesystem/0",
        "Windows Server 2003 on FAT",
        one_disk(lambda: windows_bios(WINDOWS_2003), "vhd"),
        one_disk(lambda: windows_bios(WINDOWS_2003, "vfat"), "vhd"),
        windows_outcomes("vhd", non_english_language_pack="pass", driver_signing_enforced="pass"),
    ),
    Case(
        "unsupported-data-filesystem/0",
        "exFAT beside the root",
        one_disk(lambda: linux(data="ext3")),
        one_disk(lambda: linux(data="exfat")),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
    ),
    Case(
        "unsupported-data-filesystem/0",
        "F2FS on a data disk, against XFS",
        with_data_disk("xfs"),
        with_data_disk("f2fs"),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
        {
            "dirty-filesystem": Moved("unknown", "F2FS is not read"),
            "damaged-filesystem": Moved("unknown", "F2FS is not read"),
        },
    ),
    Case(
        "unsupported-data-filesystem/0",
        "FAT beside Windows",
        one_disk(lambda: windows_bios(WINDOWS_2019), "vhdx"),
        one_disk(lambda: windows_bios(WINDOWS_2019, data="vfat"), "vhdx"),
        windows_outcomes("vhdx"),
        "ready-with-warnings",
    ),
    Case(
        "rhel5-on-vhdx/0",
        "release 5.11 on VHDX, against release 6.9",
        one_disk(lambda: of_release(RHEL6), "vhdx"),
        one_disk(lambda: of_release(RHEL5), "vhdx"),
        linux_outcomes("vhdx", **NO_DATA_VOLUME),
    ),
    Case(
        "rhel5-on-vhdx/0",
        "release 5.11 on VHDX, against VHD",
        one_disk(lambda: of_release(RHEL5), "vhd"),
        one_disk(lambda: of_release(RHEL5), "vhdx"),
        linux_outcomes("vhd", **NO_DATA_VOLUME),
    ),
)
