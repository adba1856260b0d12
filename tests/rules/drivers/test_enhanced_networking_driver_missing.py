from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome, some_drivers

from imgscan.model.fact import known

RULE = "enhanced-networking-driver-missing"


@pytest.mark.parametrize(
    ("modules", "builtin", "expected"),
    [
        (("ena", "ixgbevf"), None, "pass"),
        (("ixgbevf",), ("ena",), "pass"),
        (("ixgbevf",), (), "fail"),
        (("ixgbevf", "phoenix", "ena_com"), (), "fail"),
        (("ixgbevf",), None, "unknown"),
    ],
)
def test_modules_and_what_is_built_in(modules: tuple[str, ...], builtin: tuple[str, ...] | None, expected: str) -> None:
    drivers = known(some_drivers(modules=modules, builtin=builtin))
    result = answer(RULE, a_linux_machine(kernel_drivers=drivers))
    assert result.outcome == expected
    assert expected == "pass" or "ena" in result.summary


def test_no_modules() -> None:
    assert outcome(RULE, a_linux_machine(kernel_drivers=known(None))) == "unknown"
    assert outcome(RULE, a_linux_machine(kernel_drivers=known(None), bootloader=known(None))) == "not-applicable"
    assert outcome(RULE, a_linux_machine(kernel_drivers=lost())) == "unknown"
