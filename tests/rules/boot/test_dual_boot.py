from __future__ import annotations

import pytest
from facts_builder import (
    a_linux_machine,
    a_linux_system,
    a_menu,
    a_windows_machine,
    a_windows_system,
    answer,
    lost,
    not_searched,
    outcome,
    with_system,
    without_systems,
)
from msgspec.structs import replace

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.model.system import MenuEntry

RULE = "dual-boot"
OTHER = ("Windows 7 (on /dev/sda1)", "other-system")


def _two() -> MachineFacts:
    return replace(a_linux_machine(), systems=(a_linux_system(), a_windows_system("disk0/p2")))


def test_one_system_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_windows_machine()) == "pass"


def test_two_systems_fail_whatever_else_is_unread() -> None:
    result = answer(RULE, _two())
    assert result.outcome == "fail"
    assert "linux on disk0/p1, windows on disk0/p2" in result.summary
    assert outcome(RULE, not_searched(with_system(_two(), menu=lost()))) == "fail"


@pytest.mark.parametrize("kind", ["own", "recovery", "tool"])
def test_entries_that_are_no_second_system_pass(kind: str) -> None:
    assert outcome(RULE, a_linux_machine(menu=a_menu(("entry", kind)))) == "pass"  # type: ignore[arg-type]


def test_an_entry_for_another_system_fails_with_its_line() -> None:
    result = answer(RULE, a_linux_machine(menu=a_menu(("Debian", "own"), OTHER)))  # type: ignore[arg-type]
    assert result.outcome == "fail"
    assert "Windows 7" in result.summary
    assert result.evidence == (AtPath("disk0/p1", "/boot/grub/grub.cfg", 101),)


@pytest.mark.parametrize(("target", "expected"), [("disk0/p2", "fail"), (r"C:\\grldr", "fail"), (None, "unknown")])
def test_handing_over_fails_when_it_goes_somewhere(target: str | None, expected: str) -> None:
    entry = MenuEntry(title="chain", kind="chainload", target=target)
    assert outcome(RULE, a_linux_machine(menu=known((entry,)))) == expected


def test_an_entry_of_unknown_purpose_is_unknown_unless_another_fails() -> None:
    unclear = ("custom", "unknown")
    assert outcome(RULE, a_linux_machine(menu=a_menu(unclear))) == "unknown"  # type: ignore[arg-type]
    assert outcome(RULE, a_linux_machine(menu=a_menu(unclear, OTHER))) == "fail"  # type: ignore[arg-type]


def test_unread_is_unknown_unless_a_second_system_is_proven() -> None:
    assert outcome(RULE, a_linux_machine(menu=lost())) == "unknown"
    assert outcome(RULE, not_searched(a_linux_machine())) == "unknown"
    assert outcome(RULE, not_searched(a_linux_machine(menu=a_menu(OTHER)))) == "fail"  # type: ignore[arg-type]


def test_no_system_is_unknown() -> None:
    assert outcome(RULE, without_systems(a_linux_machine())) == "unknown"
    assert outcome(RULE, not_searched(without_systems(a_linux_machine()))) == "unknown"
