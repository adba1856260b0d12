from __future__ import annotations

import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_volume,
    a_windows_machine,
    a_windows_system,
    an_efi_linux_machine,
    an_efi_windows_machine,
    and_disks,
    and_volumes,
    answer,
    lost,
    outcome,
)
from msgspec.structs import replace

from imgscan.model.fact import known, unread
from imgscan.model.machine import MachineFacts

RULE = "unsupported-data-filesystem"


def _with_data(machine: MachineFacts, content: str | None) -> MachineFacts:
    return and_volumes(and_disks(machine, a_disk("disk1")), a_volume("disk1/p1", content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(name, "pass") for name in ("ext2", "ext3", "ext4", "btrfs", "jfs", "xfs")]
    + [(name, "fail") for name in ("ntfs", "vfat", "ReFS", "reiserfs", "zfs_member", "VMFS")]
    + [(name, "not-applicable") for name in ("swap", "LVM2_member", "linux_raid_member", "crypto_LUKS", None)],
)
def test_each_type_beside_linux(content: str | None, expected: str) -> None:
    assert outcome(RULE, _with_data(a_linux_machine(), content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ntfs", "pass"),
        ("ReFS", "pass"),
        ("vfat", "fail"),
        ("exfat", "fail"),
        ("ext4", "fail"),
        ("BitLocker", "pass"),  # the system partition remains, and it is NTFS
        (None, "pass"),
    ],
)
def test_each_type_beside_windows(content: str | None, expected: str) -> None:
    assert outcome(RULE, _with_data(a_windows_machine(), content)) == expected


def test_without_data_volumes_it_does_not_apply() -> None:
    assert outcome(RULE, a_linux_machine()) == "not-applicable"


def test_an_efi_system_partition_holds_no_data() -> None:
    assert outcome(RULE, an_efi_linux_machine()) == "not-applicable"
    assert outcome(RULE, an_efi_windows_machine()) == "not-applicable"


def test_the_root_of_a_second_system_is_not_data() -> None:
    machine = _with_data(a_linux_machine(), "ntfs")
    assert outcome(RULE, replace(machine, systems=(*machine.systems, a_windows_system("disk1/p1")))) == "not-applicable"


def test_unread_is_unknown_unless_another_fails() -> None:
    machine = _with_data(a_linux_machine(), "ext4")
    machine = and_volumes(machine, a_volume("disk1/p2", None, signature=lost()))
    assert outcome(RULE, machine) == "unknown"
    assert answer(RULE, and_volumes(machine, a_volume("disk1/p3", "ntfs"))).summary.startswith("disk1/p3 is ntfs")


def test_what_is_encrypted_is_another_rules_business() -> None:
    sealed = a_volume("disk1/p1/luks", None, kind="encrypted", signature=unread("encrypted", "no key"))
    assert outcome(RULE, and_volumes(_with_data(a_linux_machine(), "ext4"), sealed)) == "pass"
    assert outcome(RULE, and_volumes(a_linux_machine(), replace(sealed, signature=known(None)))) == "not-applicable"


def test_a_disk_that_could_not_be_read_may_hold_any_filesystem() -> None:
    unread_disk = a_disk("disk1", partitioning=lost(), partition_table=None)
    assert outcome(RULE, and_disks(a_linux_machine(), unread_disk)) == "unknown"
    sealed = a_disk("disk1", partitioning=unread("encrypted", "no key"), partition_table=None)
    assert outcome(RULE, and_disks(a_linux_machine(), sealed)) == "not-applicable"
