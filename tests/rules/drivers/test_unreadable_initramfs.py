from __future__ import annotations

from facts_builder import a_linux_machine, an_initramfs, answer, lost, outcome

from imgscan.model.fact import known
from imgscan.model.initramfs import InitramfsFile

RULE = "unreadable-initramfs"


def test_one_that_can_be_unpacked_passes() -> None:
    result = answer(RULE, a_linux_machine())
    assert result.outcome == "pass"
    assert "(gzip)" in result.summary


def test_a_missing_or_damaged_one_fails() -> None:
    gone = InitramfsFile(path="/initrd", volume=None, flaw="missing", detail="there is no /initrd")
    cut = InitramfsFile(path="/boot/i", volume="disk0/p1", flaw="damaged", detail="its gzip data is cut off")
    result = answer(RULE, a_linux_machine(initramfs=known(an_initramfs(files=(gone, cut)))))
    assert result.outcome == "fail"
    assert "there is no /initrd" in result.summary
    assert "cut off" in result.summary


def test_none_and_an_unread_one() -> None:
    assert outcome(RULE, a_linux_machine(initramfs=known(None))) == "not-applicable"
    assert outcome(RULE, a_linux_machine(initramfs=lost("unsupported"))) == "unknown"
