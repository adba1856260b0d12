from __future__ import annotations

import pytest
from facts_builder import (
    a_linux_machine,
    a_loader,
    an_efi_linux_machine,
    answer,
    bios_boot,
    boot_code,
    efi_boot,
    lost,
    outcome,
    unread_table,
    with_boot,
    with_disk,
    with_system,
)
from msgspec.structs import replace

from imgscan.model.boot import BootCodeName
from imgscan.model.fact import known

RULE = "unsupported-bootloader"


@pytest.mark.parametrize(
    ("in_mbr", "in_partition", "expected"),
    [
        ("grub2", None, "pass"),
        ("grub-legacy", None, "pass"),
        ("grub2", "extlinux", "pass"),  # GRUB's own code does not hand over
        ("lilo", None, "fail"),
        ("syslinux", "grub2", "pass"),  # generic code: the active partition decides
        ("windows-nt6", "grub-legacy", "pass"),
        ("unknown", "grub2", "pass"),
        ("syslinux", "extlinux", "fail"),
        ("syslinux", None, "fail"),
        ("syslinux", "none", "fail"),
        ("syslinux", "unknown", "unknown"),  # what finally loads is not known
        ("windows-nt6", "unknown", "unknown"),
        ("unknown", "lilo", "fail"),
        ("windows-nt6", "windows-nt6", "fail"),
        ("unknown", None, "unknown"),
        ("unknown", "unknown", "unknown"),
        ("none", None, "unknown"),
        ("none", "grub2", "pass"),
    ],
)
def test_what_starts_a_bios_machine(in_mbr: BootCodeName, in_partition: BootCodeName | None, expected: str) -> None:
    code = [boot_code("disk0", in_mbr)]
    if in_partition is not None:
        code.append(boot_code("disk0/p1", in_partition))
    assert outcome(RULE, replace(a_linux_machine(), boot=bios_boot(*code))) == expected


def test_code_in_a_partition_that_is_not_active_is_not_started() -> None:
    code = (boot_code("disk0", "syslinux"), boot_code("disk0/p2", "grub2"))
    assert outcome(RULE, replace(a_linux_machine(), boot=bios_boot(*code))) == "fail"


def test_an_installed_grub_that_is_not_started_does_not_count() -> None:
    machine = replace(a_linux_machine(), boot=bios_boot(boot_code("disk0", "lilo")))
    result = answer(RULE, machine)
    assert result.outcome == "fail"
    assert "although grub2 is installed" in result.summary
    assert result.evidence == machine.boot.code[0].evidence


@pytest.mark.parametrize(
    ("loaders", "configured", "expected"),
    [
        (["grub2"], "grub2", "pass"),
        (["shim", "grub2", "mok-manager", "fallback"], "grub2", "pass"),
        (["grub2", "windows-boot-manager"], "grub2", "pass"),
        (["systemd-boot"], "systemd-boot", "fail"),
        (["unified-kernel-image"], None, "fail"),
        (["systemd-boot", "unified-kernel-image"], "systemd-boot", "fail"),
        (["systemd-boot", "unified-kernel-image"], None, "unknown"),
        (["grub2", "systemd-boot"], "grub2", "pass"),
        (["grub2", "systemd-boot"], "systemd-boot", "fail"),
        (["grub2", "systemd-boot"], None, "unknown"),
        (["shim"], "grub2", "pass"),
        (["unknown"], "grub2", "pass"),
        (["unknown"], None, "unknown"),
        (["memtest"], None, "unknown"),
    ],
)
def test_what_starts_an_efi_machine(loaders: list[str], configured: str | None, expected: str) -> None:
    boot = efi_boot(*(a_loader(what, f"/EFI/{what}.efi") for what in loaders))
    machine = with_system(replace(an_efi_linux_machine(), boot=boot), bootloader=known(configured))
    assert outcome(RULE, machine) == expected


def test_several_efi_loaders_and_an_unread_configuration_are_unknown() -> None:
    boot = efi_boot(a_loader("grub2"), a_loader("systemd-boot"))
    machine = replace(an_efi_linux_machine(), boot=boot)
    assert outcome(RULE, with_system(machine, bootloader=lost())) == "unknown"


def test_a_machine_that_boots_both_ways_goes_by_its_boot_code() -> None:
    boot = replace(efi_boot(a_loader("systemd-boot"), firmware="both"), code=(boot_code("disk0", "grub2"),))
    assert outcome(RULE, replace(an_efi_linux_machine(), boot=boot)) == "pass"


def test_unread_is_unknown() -> None:
    machine = a_linux_machine()
    assert outcome(RULE, with_boot(machine, disk=lost())) == "unknown"
    assert outcome(RULE, with_boot(machine, firmware=lost())) == "unknown"
    assert outcome(RULE, with_boot(machine, code=())) == "unknown"
    generic = with_boot(machine, code=(boot_code("disk0", "syslinux"),))
    assert outcome(RULE, with_disk(generic, **unread_table())) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=())) == "not-applicable"
