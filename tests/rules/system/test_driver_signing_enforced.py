from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "driver-signing-enforced"
PLACE = AtPath("disk0/p2", "/WINDOWS/system32/config/software")


@pytest.mark.parametrize(
    ("setting", "expected"), [("ignore", "pass"), ("warn", "fail"), ("block", "fail"), (None, "not-applicable")]
)
def test_each_setting(setting: str | None, expected: str) -> None:
    assert outcome(RULE, a_windows_machine(driver_signing=known(setting, PLACE))) == expected


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(driver_signing=lost())) == "unknown"
