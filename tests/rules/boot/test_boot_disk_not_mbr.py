from __future__ import annotations

import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_windows_machine,
    an_efi_linux_machine,
    an_efi_windows_machine,
    and_disks,
    answer,
    gpt,
    lost,
    no_table,
    not_searched,
    outcome,
    unread_table,
    with_boot,
    with_disk,
)

RULE = "boot-disk-not-mbr"


def test_mbr_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_windows_machine()) == "pass"


def test_gpt_fails_for_linux_by_bios_and_by_efi() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **gpt("disk0"))) == "fail"
    assert outcome(RULE, an_efi_linux_machine("vhdx")) == "fail"


@pytest.mark.parametrize(("format", "expected"), [("vhdx", "pass"), ("vhd", "fail"), ("vmdk", "fail")])
@pytest.mark.parametrize("firmware", ["uefi", "both"])
def test_gpt_passes_for_windows_by_efi_on_vhdx(format: str, firmware: str, expected: str) -> None:
    assert outcome(RULE, an_efi_windows_machine(format, firmware=firmware)) == expected  # type: ignore[arg-type]


def test_windows_on_gpt_without_efi_fails() -> None:
    assert outcome(RULE, an_efi_windows_machine(firmware="bios")) == "fail"


def test_no_table_is_no_mbr() -> None:
    result = answer(RULE, with_disk(a_linux_machine(), **no_table()))
    assert result.outcome == "fail"
    assert "no partition table" in result.summary


def test_a_gpt_data_disk_passes() -> None:
    assert outcome(RULE, and_disks(a_linux_machine(), a_disk("disk1", **gpt("disk1")))) == "pass"


def test_what_decides_unread_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"
    assert outcome(RULE, with_boot(a_linux_machine(), disk=lost())) == "unknown"
    assert outcome(RULE, with_boot(an_efi_windows_machine(), firmware=lost())) == "unknown"
    assert outcome(RULE, an_efi_windows_machine(architecture=lost())) == "unknown"
    assert outcome(RULE, not_searched(an_efi_linux_machine("vhdx"))) == "unknown"


def test_what_does_not_decide_may_be_unread() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), firmware=lost())) == "pass"
    assert outcome(RULE, not_searched(an_efi_linux_machine("vmdk"))) == "fail"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(an_efi_linux_machine(), disk=())) == "not-applicable"


def test_candidates_that_differ_are_unknown() -> None:
    machine = and_disks(a_linux_machine(), a_disk("disk1", **gpt("disk1")))
    assert outcome(RULE, with_boot(machine, disk=("disk0", "disk1"))) == "unknown"
