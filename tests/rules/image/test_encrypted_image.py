from __future__ import annotations

from facts_builder import a_disk, a_linux_machine, and_disks, answer, lost, outcome, with_disk

from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known

RULE = "encrypted-image"
LINE = AtOffset("disk0.vmdk", 512, 20, "VMDK descriptor")


def test_a_plain_image_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


def test_an_encrypted_one_fails_by_name() -> None:
    machine = with_disk(a_linux_machine(), encryption=known("VMware encryption.keySafe", LINE))
    result = answer(RULE, machine)
    assert result.outcome == "fail"
    assert "keySafe" in result.summary
    assert result.evidence == (LINE,)


def test_unread_is_unknown_unless_another_disk_is_encrypted() -> None:
    machine = with_disk(a_linux_machine(), encryption=lost())
    assert outcome(RULE, machine) == "unknown"
    assert outcome(RULE, and_disks(machine, a_disk("disk1", encryption=known("qcow2 LUKS", LINE)))) == "fail"
