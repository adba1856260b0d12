from __future__ import annotations

import pytest
from facts_builder import (
    a_windows_machine,
    an_efi_windows_machine,
    answer,
    lost,
    no_table,
    outcome,
    unread_table,
    with_boot,
    with_disk,
)

from imgscan.model.evidence import AtRegistry
from imgscan.model.fact import known

RULE = "gpt-boot-on-32-bit-windows"
KEY = AtRegistry("disk0/p2", "/Windows/System32/config/SYSTEM", "Environment", "PROCESSOR_ARCHITECTURE")


@pytest.mark.parametrize(("architecture", "expected"), [("x86_64", "pass"), ("x86", "fail"), (None, "unknown")])
def test_on_gpt_the_architecture_decides(architecture: str | None, expected: str) -> None:
    result = answer(RULE, an_efi_windows_machine(architecture=known(architecture, KEY)))
    assert result.outcome == expected
    assert KEY in result.evidence


def test_on_mbr_it_does_not_matter() -> None:
    assert outcome(RULE, a_windows_machine(architecture=known("x86", KEY))) == "pass"
    assert outcome(RULE, a_windows_machine(architecture=lost())) == "pass"
    assert outcome(RULE, with_disk(a_windows_machine(architecture=lost()), **no_table())) == "pass"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, an_efi_windows_machine(architecture=lost())) == "unknown"
    assert outcome(RULE, with_disk(an_efi_windows_machine(), **unread_table())) == "unknown"
    assert outcome(RULE, with_boot(an_efi_windows_machine(), disk=lost())) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(an_efi_windows_machine(), disk=())) == "not-applicable"
