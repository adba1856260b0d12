from __future__ import annotations

from facts_builder import (
    GIB,
    MIB,
    a_disk,
    a_partition,
    a_volume,
    a_windows_machine,
    an_efi_windows_machine,
    and_disks,
    and_volumes,
    answer,
    gpt,
    lost,
    outcome,
    unread_table,
    with_boot,
    with_disk,
    with_system,
    with_table,
    with_volume,
)

RULE = "dynamic-boot-disk"
METADATA, DATA = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "AF9B60A0-1431-4F62-BC68-3311714A69AD"
MBR = (a_partition("disk0", 1, MIB, 20 * GIB, "0x42", active=True),)


def test_boot_disks() -> None:
    assert outcome(RULE, a_windows_machine()) == "pass"
    assert outcome(RULE, an_efi_windows_machine()) == "pass"
    machine = with_volume(
        with_table(a_windows_machine(), partitions=MBR), "disk0/p1", metadata={"disk_group": "WIN-Dg0"}
    )
    result = answer(RULE, machine)
    assert (result.outcome, result.summary) == ("fail", "disk0 is a dynamic disk, of the disk group WIN-Dg0")
    for kind in (METADATA, DATA):
        found = with_disk(an_efi_windows_machine(), **gpt("disk0", (a_partition("disk0", 3, GIB, GIB, kind),)))
        assert outcome(RULE, found) == "fail"


def test_data_disks_pass_and_those_of_windows_do_not() -> None:
    data = gpt("disk1", (a_partition("disk1", 1, MIB, GIB, DATA),))
    machine = and_volumes(and_disks(a_windows_machine(), a_disk("disk1", **data)), a_volume("disk1/p1", "ntfs"))
    assert outcome(RULE, machine) == "pass"
    machine = with_system(machine, root="disk1/p1")
    assert outcome(RULE, machine) == "fail"
    assert outcome(RULE, with_boot(machine, disk=())) == "fail"


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_windows_machine(), disk=())) == "not-applicable"
    assert outcome(RULE, with_boot(a_windows_machine(), disk=lost())) == "unknown"
    assert outcome(RULE, with_disk(a_windows_machine(), **unread_table())) == "unknown"
