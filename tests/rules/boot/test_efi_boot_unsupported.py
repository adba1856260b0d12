from __future__ import annotations

import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_problem,
    a_windows_machine,
    an_efi_linux_machine,
    an_efi_windows_machine,
    and_disks,
    answer,
    lost,
    not_searched,
    outcome,
    with_boot,
    with_disk,
    with_system,
    without_systems,
)

from imgscan.model.fact import known

RULE = "efi-boot-unsupported"


def test_machines_that_boot_by_bios_pass() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_windows_machine()) == "pass"
    assert outcome(RULE, with_boot(an_efi_linux_machine(), firmware="both")) == "pass"


@pytest.mark.parametrize("format", ["vmdk", "vhd", "vhdx"])
def test_a_linux_that_boots_only_by_efi_fails_on_every_format(format: str) -> None:
    assert outcome(RULE, an_efi_linux_machine(format)) == "fail"


@pytest.mark.parametrize(("format", "expected"), [("vhdx", "pass"), ("vhd", "fail"), ("vmdk", "fail")])
def test_windows_is_the_exception_on_vhdx_only(format: str, expected: str) -> None:
    assert outcome(RULE, an_efi_windows_machine(format)) == expected


@pytest.mark.parametrize(("architecture", "expected"), [("x86", "fail"), ("aarch64", "fail"), (None, "unknown")])
def test_the_exception_is_for_64_bit(architecture: str | None, expected: str) -> None:
    assert outcome(RULE, an_efi_windows_machine(architecture=known(architecture))) == expected


def test_an_unread_architecture_decides_on_vhdx_only() -> None:
    assert outcome(RULE, an_efi_windows_machine(architecture=lost())) == "unknown"
    assert outcome(RULE, an_efi_windows_machine("vmdk", architecture=lost())) == "fail"


def test_a_system_that_may_be_windows_is_unknown_on_vhdx() -> None:
    machine = not_searched(without_systems(an_efi_windows_machine()))
    assert outcome(RULE, machine) == "unknown"
    assert outcome(RULE, not_searched(without_systems(an_efi_windows_machine("vmdk")))) == "fail"
    assert outcome(RULE, without_systems(an_efi_windows_machine())) == "unknown"
    assert outcome(RULE, not_searched(an_efi_linux_machine("vhdx"))) == "unknown"


def test_an_image_of_unknown_format_is_unknown() -> None:
    machine = with_disk(an_efi_windows_machine(), format=None, problems=(a_problem("refused"),))
    assert outcome(RULE, machine) == "unknown"


def test_the_reason_is_told() -> None:
    assert "is a vmdk image" in answer(RULE, an_efi_windows_machine("vmdk")).summary
    assert "is linux, not windows" in answer(RULE, an_efi_linux_machine("vhdx")).summary


def test_windows_on_another_disk_counts_when_the_boot_disk_holds_none() -> None:
    machine = and_disks(an_efi_windows_machine(), a_disk("disk1", "vhdx"))
    assert outcome(RULE, with_system(machine, root="disk1/p1")) == "pass"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(an_efi_linux_machine(), disk=())) == "not-applicable"


def test_candidates_that_differ_are_unknown() -> None:
    machine = and_disks(an_efi_windows_machine(), a_disk("disk1", "vmdk"))
    assert outcome(RULE, with_boot(machine, disk=("disk0", "disk1"))) == "unknown"


def test_unread_firmware_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), firmware=lost())) == "unknown"


def test_what_does_not_boot_at_all_is_another_rules_business() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), firmware="neither")) == "not-applicable"
