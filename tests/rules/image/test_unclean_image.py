from __future__ import annotations

from facts_builder import a_disk, a_linux_machine, a_problem, and_disks, answer, lost, outcome, with_disk

from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known

RULE = "unclean-image"
LOG = AtOffset("disk0.vhdx", 0x10000 + 48, 16, "VHDX header LogGuid")


def test_a_closed_image_passes() -> None:
    assert outcome(RULE, a_linux_machine("vhdx")) == "pass"


def test_an_image_with_a_log_fails_with_the_place() -> None:
    problem = a_problem("unclean", "the log holds 3 entries; they were replayed in memory")
    result = answer(RULE, with_disk(a_linux_machine("vhdx"), unclean=known(True, LOG), problems=(problem,)))
    assert result.outcome == "fail"
    assert "3 entries" in result.summary
    assert LOG in result.evidence


def test_without_an_explanation_it_still_fails() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), unclean=known(True, LOG))) == "fail"


def test_it_is_unknown_when_it_could_not_be_read() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), unclean=lost())) == "unknown"


def test_one_unclean_disk_of_several_fails() -> None:
    assert outcome(RULE, and_disks(a_linux_machine(), a_disk("disk1", unclean=known(True, LOG)))) == "fail"
