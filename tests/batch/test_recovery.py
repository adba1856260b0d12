"""What is left of a machine of which nothing was read: no rule passes, and none fails."""

from __future__ import annotations

import pytest
from share_ledger import AWS

from imgscan.batch.conversation import Death
from imgscan.batch.ledger import FailureClass
from imgscan.batch.recovery import cut_short
from imgscan.batch.share_report import FAILURES
from imgscan.judge import judge


@pytest.mark.parametrize("why", FAILURES)
def test_a_machine_of_which_nothing_was_read_is_undecided(why: FailureClass) -> None:
    facts = cut_short(None, ["a.vmdk", "b.vmdk"], Death(why if why != "killed" else "crashed", "detail", "disk0"))
    verdict = judge(facts, AWS)
    assert verdict.readiness == "undecided"
    assert {finding.outcome for finding in verdict.findings} <= {"unknown", "manual", "not-applicable"}
