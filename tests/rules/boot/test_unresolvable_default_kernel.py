from __future__ import annotations

import pytest
from facts_builder import a_kernel, a_linux_machine, a_menu_file, answer, lost, outcome, with_system

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "unresolvable-default-kernel"


def test_a_kernel_that_is_there_passes() -> None:
    result = answer(RULE, a_linux_machine())
    assert result.outcome == "pass"
    assert "/boot/vmlinuz-3.16.0-4-amd64" in result.summary


def test_a_kernel_that_is_not_there_fails_with_its_line() -> None:
    line = AtPath("disk0/p1", "/boot/grub/grub.cfg", 110)
    gone = known(a_kernel(path="/vmlinuz-4.0", volume=None), line)
    result = answer(RULE, a_linux_machine(default_kernel=gone))
    assert (result.outcome, result.evidence[0]) == ("fail", line)


@pytest.mark.parametrize(
    ("is_there", "in_entries", "expected"),
    [(True, True, "pass"), (False, True, "fail"), (False, False, "pass")],  # GRUB falls back to its first entry
)
def test_a_default_that_names_no_entry(is_there: bool, in_entries: bool, expected: str) -> None:
    menu = a_menu_file(default="gone", default_is_there=is_there, in_loader_entries=in_entries)
    result = answer(RULE, a_linux_machine(menu_files=known((menu,))))
    assert result.outcome == expected
    assert expected == "pass" or result.evidence[0] == menu.evidence[0]


def test_no_kernel_at_all() -> None:
    assert outcome(RULE, a_linux_machine(default_kernel=known(None))) == "fail"
    without = a_linux_machine(default_kernel=known(None), bootloader=known(None), menu=known(()))
    assert outcome(RULE, without) == "not-applicable"


@pytest.mark.parametrize("name", ["menu_files", "default_kernel"])
def test_what_was_not_read_leaves_it_open(name: str) -> None:
    assert outcome(RULE, with_system(a_linux_machine(), 0, **{name: lost()})) == "unknown"
