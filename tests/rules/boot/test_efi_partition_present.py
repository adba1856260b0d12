from __future__ import annotations

import pytest
from facts_builder import (
    ESP_GUID,
    MIB,
    a_disk,
    a_linux_machine,
    a_partition,
    an_efi_linux_machine,
    an_efi_windows_machine,
    and_disks,
    answer,
    gpt,
    lost,
    outcome,
    unread_table,
    with_boot,
    with_disk,
    with_table,
)

from imgscan.model.machine import MachineFacts

RULE = "efi-partition-present"


def _linux_with(type: str, firmware: str = "bios") -> MachineFacts:
    machine = a_linux_machine()
    table = machine.disks[0].partition_table
    assert table is not None
    esp = a_partition("disk0", 3, 19 * 1024 * MIB, 100 * MIB, type)
    return with_boot(with_table(machine, partitions=(*table.partitions, esp)), firmware=firmware)


def test_bios_without_one_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


@pytest.mark.parametrize("firmware", ["bios", "both"])
@pytest.mark.parametrize("type", ["0xef", ESP_GUID, ESP_GUID.upper()])
def test_one_beside_bios_fails(type: str, firmware: str) -> None:
    result = answer(RULE, _linux_with(type, firmware))
    assert result.outcome == "fail"
    assert "disk0/p3" in result.summary


def test_only_efi_is_another_rules_business() -> None:
    assert outcome(RULE, an_efi_linux_machine()) == "not-applicable"


def test_what_does_not_boot_at_all_is_another_rules_business() -> None:
    assert outcome(RULE, _linux_with("0xef", "neither")) == "not-applicable"


def test_the_exception_passes() -> None:
    assert outcome(RULE, an_efi_windows_machine(firmware="both")) == "pass"
    assert outcome(RULE, an_efi_windows_machine("vmdk", firmware="both")) == "fail"
    assert outcome(RULE, an_efi_windows_machine(firmware="both", architecture=lost())) == "unknown"


def test_one_on_a_data_disk_counts() -> None:
    data = a_disk("disk1", **gpt("disk1", (a_partition("disk1", 1, MIB, MIB, ESP_GUID),)))
    assert outcome(RULE, and_disks(a_linux_machine(), data)) == "fail"


def test_an_unread_table_is_unknown_unless_another_has_one() -> None:
    unread = a_disk("disk1", **unread_table())
    assert outcome(RULE, and_disks(a_linux_machine(), unread)) == "unknown"
    assert outcome(RULE, and_disks(_linux_with("0xef"), unread)) == "fail"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(_linux_with("0xef"), disk=())) == "not-applicable"


@pytest.mark.parametrize("fact", ["disk", "firmware"])
def test_unread_boot_facts_are_unknown(fact: str) -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), **{fact: lost()})) == "unknown"


def test_a_table_that_the_facts_do_not_hold_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), partition_table=None)) == "unknown"
