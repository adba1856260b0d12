from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, a_parent, a_problem, and_disks, answer, lost, outcome, with_disk

from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known

RULE = "snapshot-present"
HEADER = AtOffset("disk0", 60, 4, "disk type")
DELTA = known("a delta of another image", HEADER)


@pytest.mark.parametrize("format", ["vmdk"])
def test_a_whole_disk_passes_and_a_delta_fails(format: str) -> None:
    machine = a_linux_machine(format)
    assert outcome(RULE, machine) == "pass"
    result = answer(RULE, with_disk(machine, delta=DELTA, parents=(a_parent("base.img"),)))
    assert result.outcome == "fail"
    assert "base.img" in result.summary
    assert result.evidence == (HEADER,)


@pytest.mark.parametrize("format", ["vhd", "vhdx", "qcow2", "raw"])
def test_other_formats_are_not_meant(format: str) -> None:
    assert outcome(RULE, with_disk(a_linux_machine(format), delta=DELTA)) == "not-applicable"


def test_unread_is_unknown() -> None:
    machine = a_linux_machine("vmdk")
    assert outcome(RULE, with_disk(machine, delta=lost())) == "unknown"
    assert outcome(RULE, with_disk(machine, format=None)) == "unknown"
    assert outcome(RULE, with_disk(machine, format=None, problems=(a_problem("truncated"),))) == "unknown"


def test_a_delta_among_other_disks_fails() -> None:
    machine = with_disk(a_linux_machine("vmdk"), delta=lost())
    assert outcome(RULE, and_disks(machine, a_disk("disk1", "vmdk", delta=DELTA))) == "fail"
