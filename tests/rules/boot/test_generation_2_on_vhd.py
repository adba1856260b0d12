from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, and_disks, lost, outcome, with_boot, with_disk

RULE = "generation-2-on-vhd"


@pytest.mark.parametrize(
    ("format", "firmware", "expected"),
    [
        ("vhd", "bios", "pass"),
        ("vhd", "both", "pass"),
        ("vhd", "uefi", "fail"),
        ("vhdx", "uefi", "pass"),
        ("vhdx", "bios", "pass"),
        ("vmdk", "uefi", "not-applicable"),
    ],
)
def test_each_format_and_firmware(format: str, firmware: str, expected: str) -> None:
    assert outcome(RULE, with_boot(a_linux_machine(format), firmware=firmware)) == expected


def test_firmware_matters_on_vhd_only() -> None:
    assert outcome(RULE, with_boot(a_linux_machine("vhd"), firmware=lost())) == "unknown"
    assert outcome(RULE, with_boot(a_linux_machine("vhdx"), firmware=lost())) == "pass"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_linux_machine("vhd"), disk=lost())) == "unknown"
    assert outcome(RULE, with_disk(a_linux_machine("vhd"), format=None)) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(a_linux_machine("vhd"), disk=())) == "not-applicable"


def test_candidates_that_differ_are_unknown() -> None:
    machine = and_disks(a_linux_machine("vhd"), a_disk("disk1", "vhdx"))
    assert outcome(RULE, with_boot(machine, firmware="uefi", disk=("disk0", "disk1"))) == "unknown"
    assert outcome(RULE, with_boot(machine, firmware="bios", disk=("disk0", "disk1"))) == "pass"
