from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome, with_disk

from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known

RULE = "raw-device-mapping"
LINE = AtOffset("disk0.vmdk", 80, 20, "createType")


def test_an_image_with_its_own_data_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"


@pytest.mark.parametrize("kind", ["vmfsRDM", "vmfsRDMP", "fullDevice", "partitionedDevice"])
def test_a_mapping_fails_by_name(kind: str) -> None:
    result = answer(RULE, with_disk(a_linux_machine(), device_mapping=known(kind, LINE)))
    assert result.outcome == "fail"
    assert kind in result.summary
    assert result.evidence == (LINE,)


def test_unread_is_unknown() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), device_mapping=lost())) == "unknown"
