from __future__ import annotations

from facts_builder import a_windows_machine, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "hibernated-system"
PLACE = AtPath("disk0/p2", "/hiberfil.sys")


def test_each_answer() -> None:
    assert outcome(RULE, a_windows_machine(hibernated=known(True, PLACE))) == "fail"
    assert outcome(RULE, a_windows_machine(hibernated=known(False, PLACE))) == "pass"
    assert outcome(RULE, a_windows_machine(hibernated=lost())) == "unknown"
