from __future__ import annotations

from facts_builder import (
    a_disk,
    a_linux_machine,
    a_windows_machine,
    an_efi_linux_machine,
    an_efi_windows_machine,
    and_disks,
    lost,
    no_table,
    outcome,
    unread_table,
    with_boot,
    with_disk,
)

RULE = "boot-disk-converted-to-mbr"


def test_mbr_stays() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_windows_machine()) == "pass"


def test_the_exception_is_converted() -> None:
    assert outcome(RULE, an_efi_windows_machine()) == "fail"
    assert outcome(RULE, an_efi_windows_machine(firmware="both")) == "fail"


def test_what_is_refused_is_not_converted() -> None:
    assert outcome(RULE, an_efi_linux_machine("vhdx")) == "not-applicable"
    assert outcome(RULE, an_efi_windows_machine("vmdk")) == "not-applicable"
    assert outcome(RULE, an_efi_windows_machine(firmware="bios")) == "not-applicable"
    assert outcome(RULE, with_disk(a_linux_machine(), **no_table())) == "not-applicable"


def test_what_decides_unread_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"
    assert outcome(RULE, an_efi_windows_machine(architecture=lost())) == "unknown"
    assert outcome(RULE, with_boot(an_efi_windows_machine(), firmware=lost())) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(an_efi_windows_machine(), disk=())) == "not-applicable"


def test_candidates_that_differ_are_unknown() -> None:
    machine = and_disks(an_efi_windows_machine(), a_disk("disk1", "vhdx"))
    assert outcome(RULE, with_boot(machine, disk=("disk0", "disk1"))) == "unknown"
