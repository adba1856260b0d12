"""Faults of what the volumes hold and of the system installed on them."""

from __future__ import annotations

from pathlib import Path

from rules_on_images.case import NO_DATA_VOLUME, Case, linux_outcomes, windows_outcomes
from rules_on_images.machines import Make, data_disk, image, linux, one_disk, windows_bios
from windows_builder import WINDOWS_2003, WINDOWS_2019

RHEL5 = "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"
RHEL6 = "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n"


def of_release(text: str) -> Path:
    """Return a Linux with this /etc/redhat-release, as releases before os-release have it."""
    return linux(os_release=None, files={"etc/redhat-release": text, "etc/debian_version": None})


def with_data_disk(content: str) -> Make:
    return lambda folder: [
        image(linux(), "vmdk", folder),
        image(data_disk(content), "vmdk", folder, name="data"),
    ]


CASES = (
    Case(
        "unsupported-root-filesystem/0",
        "FAT, as UMSDOS systems have it",
        one_disk(linux),
        one_disk(lambda: linux(root="vfat")),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
    ),
    Case(
        "unsupported-boot-filesystem/0",
        "Windows Server 2003 on FAT",
        one_disk(lambda: windows_bios(WINDOWS_2003), "vhd"),
        one_disk(lambda: windows_bios(WINDOWS_2003, "vfat"), "vhd"),
        windows_outcomes("vhd"),
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
        "release 5.11 on VHDX, against release 6.10",
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
