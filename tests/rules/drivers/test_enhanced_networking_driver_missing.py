from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome, some_drivers

from imgscan.model.fact import known
from imgscan.model.windows import DeviceDriver

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


@pytest.mark.parametrize(
    ("ena", "ixgbevf", "expected"),
    [
        ("installed", "staged", "pass"),
        ("installed", "absent", "fail"),
        ("broken", "installed", "fail"),
        ("unread", "installed", "unknown"),
        ("unread", "absent", "fail"),
        ("installed", None, "unknown"),
    ],
)
def test_windows(ena: str, ixgbevf: str | None, expected: str) -> None:
    states = {"ena": ena, "ixgbevf": ixgbevf}
    drivers = known(tuple(DeviceDriver(name=name, state=state) for name, state in states.items() if state))  # type: ignore[arg-type]
    assert outcome(RULE, a_windows_machine(network_drivers=drivers)) == expected


def test_windows_server_2012_r2_gets_them_from_the_importer() -> None:
    assert outcome(RULE, a_windows_machine(version=known("6.3.9600"), network_drivers=lost())) == "not-applicable"
    client = a_windows_machine(version=known("6.3.9600"), product_type=known("workstation"), network_drivers=lost())
    assert outcome(RULE, client) == "unknown"
