from __future__ import annotations

import pytest
from facts_builder import a_kernel, a_linux_machine, answer, lost, outcome

from imgscan.model.fact import known
from imgscan.model.linux_boot import NamedVolume

RULE = "unresolvable-root-device"


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (NamedVolume(source="UUID=1", volume="disk0/p1"), "pass"),
        (NamedVolume(source="UUID=1", volume=None), "fail"),
        (NamedVolume(source="UUID=1", volume=None, candidates=("disk0/p1", "disk1/p1")), "unknown"),
        (NamedVolume(source="/dev/disk/by-id/scsi-1", volume=None, is_understood=False), "unknown"),
        (None, "unknown"),
    ],
)
def test_what_the_root_means(root: NamedVolume | None, expected: str) -> None:
    result = answer(RULE, a_linux_machine(default_kernel=known(a_kernel(root=root))))
    assert result.outcome == expected
    assert expected == "unknown" or result.evidence[0] == a_kernel().evidence[0]


def test_no_menu_starts_a_kernel() -> None:
    only = known(a_kernel(arguments=None, root=None))
    assert outcome(RULE, a_linux_machine(default_kernel=only)) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=only, bootloader=known(None))) == "not-applicable"
    assert outcome(RULE, a_linux_machine(default_kernel=lost())) == "unknown"
