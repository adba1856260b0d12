from __future__ import annotations

from facts_builder import a_linux_machine, a_menu_file, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "several-grub-configurations"
LEFT = a_menu_file(
    path="/boot/grub/menu.lst",
    loader="grub-legacy",
    digest="1" * 64,
    evidence=(AtPath("disk0/p1", "/boot/grub/menu.lst"),),
)


def test_one_menu_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


def test_two_that_differ_fail() -> None:
    result = answer(RULE, a_linux_machine(menu_files=known((a_menu_file(), LEFT))))
    assert result.outcome == "fail"
    assert "/boot/grub/menu.lst" in result.summary
    assert result.evidence[1] == LEFT.evidence[0]


def test_copies_and_a_file_that_leads_to_another_pass() -> None:
    copy = a_menu_file(path="/boot/grub2/grub.cfg")
    stub = a_menu_file(volume="disk0/p9", path="/EFI/debian/grub.cfg", digest="2" * 64, entries=0)
    assert outcome(RULE, a_linux_machine(menu_files=known((a_menu_file(), copy, stub)))) == "pass"


def test_entries_that_come_from_files_count() -> None:
    entries = a_menu_file(path="/boot/grub2/grub.cfg", digest="3" * 64, entries=0, in_loader_entries=True)
    assert outcome(RULE, a_linux_machine(menu_files=known((a_menu_file(), entries)))) == "fail"


def test_no_menu() -> None:
    assert outcome(RULE, a_linux_machine(menu_files=known((), AtPath("disk0/p1", "/boot")))) == "not-applicable"
    assert outcome(RULE, a_linux_machine(menu_files=lost())) == "unknown"
