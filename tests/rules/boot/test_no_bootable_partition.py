from __future__ import annotations

import pytest
from facts_builder import (
    a_linux_machine,
    a_loader,
    an_efi_linux_machine,
    answer,
    boot_code,
    lost,
    not_searched,
    outcome,
    with_boot,
    without_systems,
)

RULE = "no-bootable-partition"


def test_a_machine_that_boots_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, an_efi_linux_machine()) == "pass"
    assert outcome(RULE, with_boot(a_linux_machine(), firmware="both", disk=("disk0", "disk1"))) == "pass"


def test_no_boot_disk_fails_and_says_what_boot_code_there_is() -> None:
    code = (
        boot_code("disk0", "grub2", detail="GRUB searches for a volume that none is"),
        boot_code("disk0/p1", "none"),
    )
    result = answer(RULE, with_boot(a_linux_machine(), disk=(), firmware="neither", code=code))
    assert result.outcome == "fail"
    assert "disk0: grub2 boot code (GRUB searches for a volume that none is); there is no EFI loader" in result.summary


def test_a_disk_without_boot_code_is_said() -> None:
    machine = with_boot(a_linux_machine(), disk=(), firmware="neither", code=(boot_code("disk0", "none"),))
    assert "disk0: no boot code" in answer(RULE, machine).summary
    machine = with_boot(a_linux_machine(), disk=(), firmware="neither", code=(), loaders=(a_loader("mok-manager"),))
    assert "disk0/p1:/EFI/debian/grubx64.efi: mok-manager starts nothing" in answer(RULE, machine).summary


def test_it_fails_even_when_the_firmware_is_unread() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=(), firmware=lost())) == "fail"


def test_a_disk_that_boots_neither_way_fails() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), firmware="neither")) == "fail"


def test_a_loader_without_any_system_fails() -> None:
    result = answer(RULE, without_systems(a_linux_machine()))
    assert result.outcome == "fail"
    assert "searched: disk0/p1" in result.summary


def test_a_system_that_may_be_hidden_is_left_to_the_rules_about_systems() -> None:
    assert outcome(RULE, not_searched(without_systems(a_linux_machine()))) == "pass"


@pytest.mark.parametrize("fact", ["disk", "firmware"])
def test_unread_is_unknown(fact: str) -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), **{fact: lost()})) == "unknown"
