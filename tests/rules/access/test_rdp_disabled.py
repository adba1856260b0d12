from __future__ import annotations

from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import RemoteDesktop

RULE = "rdp-disabled"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")


def test_on_and_off() -> None:
    assert outcome(RULE, a_windows_machine()) == "pass"
    off = RemoteDesktop(starts=False, port=3389, detail="a policy denies connections (fDenyTSConnections)")
    said = answer(RULE, a_windows_machine(remote_desktop=known(off, PLACE)))
    assert said.outcome == "fail"
    assert said.summary == (
        "Remote Desktop of the Windows on disk0/p2 is off: a policy denies connections (fDenyTSConnections)"
    )
    assert said.evidence == (PLACE,)


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(remote_desktop=lost())) == "unknown"
