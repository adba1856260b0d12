from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.software import HardwareTrace, TraceKind

RULE = "converted-from-physical"


def trace(kind: TraceKind) -> HardwareTrace:
    return HardwareTrace(kind, f"a {kind}", AtPath("disk0/p1", "/etc/udev/rules.d/70-persistent-net.rules", 5))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), "pass"),
        (("network-card",), "pass"),
        (("network-card", "network-card", "network-card"), "pass"),  # one server has several
        (("network-card", "driver"), "fail"),
        (("hardware-at-installation",), "fail"),
        (("network-card", "driver", "virtual-at-installation"), "pass"),
        (("management-software", "conversion-tool"), "fail"),
    ],
)
def test_scores(kinds: tuple[TraceKind, ...], expected: str) -> None:
    machine = a_linux_machine(hardware_traces=known(tuple(trace(kind) for kind in kinds)))
    assert outcome(RULE, machine) == expected


def test_it_shows_what_it_found() -> None:
    result = answer(RULE, a_linux_machine(hardware_traces=known((trace("hardware-at-installation"),))))
    assert result.summary == "a hardware-at-installation (score 3, of 3)"
    assert outcome(RULE, a_linux_machine(hardware_traces=lost())) == "unknown"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), "pass"),
        (("device",), "pass"),
        (("device", "device", "oem-licence"), "fail"),
        (("oem-licence",), "pass"),
        (("device", "oem-licence", "virtual-at-installation"), "pass"),
        (("hardware-at-installation",), "fail"),
    ],
)
def test_windows(kinds: tuple[TraceKind, ...], expected: str) -> None:
    assert outcome(RULE, a_windows_machine(hardware_traces=known(tuple(trace(kind) for kind in kinds)))) == expected
    assert outcome(RULE, a_windows_machine(hardware_traces=lost())) == "unknown"
