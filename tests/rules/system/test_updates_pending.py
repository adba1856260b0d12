from __future__ import annotations

from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import PendingWork

RULE = "updates-pending"
PLACE = AtPath("disk0/p2", "/Windows/WinSxS/pending.xml")
UPDATES = PendingWork("updates", "a list of changes waits", PLACE)
FILES = PendingWork("files", "files are to be renamed", PLACE)


def test_updates_fail_and_files_do_not() -> None:
    assert outcome(RULE, a_windows_machine()) == "pass"
    result = answer(RULE, a_windows_machine(pending_restart=known((UPDATES, FILES))))
    assert result.outcome == "fail"
    assert result.summary.endswith("next start: a list of changes waits; files are to be renamed")
    assert result.evidence == (PLACE, PLACE)
    result = answer(RULE, a_windows_machine(pending_restart=known((FILES,))))
    assert result.outcome == "pass"
    assert "files are to be renamed" in result.summary


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(pending_restart=lost())) == "unknown"
