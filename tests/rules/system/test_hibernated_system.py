from __future__ import annotations

from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome, with_volume

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "hibernated-system"
PLACE = AtPath("disk0/p2", "/hiberfil.sys")


def test_windows() -> None:
    assert outcome(RULE, a_windows_machine(hibernated=known(True, PLACE))) == "fail"
    assert outcome(RULE, a_windows_machine(hibernated=known(False, PLACE))) == "pass"
    assert outcome(RULE, a_windows_machine(hibernated=lost())) == "unknown"


def test_swap_volumes_and_files() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p2", content="swsuspend")) == "fail"
    file = AtPath("disk0/p1", "/swapfile")
    result = answer(RULE, a_linux_machine(hibernated_files=known(("/swapfile",), file)))
    assert (result.outcome, result.evidence) == ("fail", (file,))


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, with_volume(a_linux_machine(), "disk0/p2", signature=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(hibernated_files=lost())) == "unknown"
    machine = with_volume(a_linux_machine(hibernated_files=lost()), "disk0/p2", content="swsuspend")
    assert outcome(RULE, machine) == "fail"
