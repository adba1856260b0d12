from __future__ import annotations

from facts_builder import a_linux_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.system import Mount

RULE = "fstab-invalid-entry"
FLAWED = Mount(
    source="UUID=1",
    point="/srv",
    type="",
    flaw="it names no type of filesystem",
    evidence=(AtPath("disk0/p1", "/etc/fstab", 7),),
)


def test_a_flaw_is_said_with_its_line() -> None:
    result = answer(RULE, a_linux_machine(mounts=known((FLAWED,))))
    assert (result.outcome, result.evidence) == ("fail", FLAWED.evidence)
    assert result.summary == "fstab line 7 (UUID=1 on /srv): it names no type of filesystem"


def test_without_flaws_and_without_the_file() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_linux_machine(mounts=lost())) == "unknown"
