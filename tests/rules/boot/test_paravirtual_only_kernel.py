from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_kernel, a_linux_machine, lost, outcome

from imgscan.model.fact import known

RULE = "paravirtual-only-kernel"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pass"),
        ({"version": "2.6.32-5-xen-amd64"}, "pass"),  # Debian's runs below Xen and on a PC
        ({"version": "2.6.18-398.el5xen", "format": "compressed-elf", "has_xen_notes": True}, "fail"),
        ({"version": "3.0.76-0.11-xen", "format": "compressed-elf", "has_xen_notes": False}, "fail"),
        ({"version": "2.6.18-xenU", "format": "unknown"}, "fail"),
        ({"version": "2.6.16", "format": "elf", "has_xen_notes": True}, "fail"),
        ({"version": "2.6.16", "format": "elf", "has_xen_notes": False}, "unknown"),
        ({"version": None, "volume": None, "path": "/vmlinuz-2.6.18-8.el5xen"}, "fail"),
        ({"version": None, "volume": None}, "unknown"),
    ],
)
def test_forms_and_names(changes: dict[str, Any], expected: str) -> None:
    assert outcome(RULE, a_linux_machine(default_kernel=known(a_kernel(**changes)))) == expected


def test_no_kernel_or_an_unread_one() -> None:
    assert outcome(RULE, a_linux_machine(default_kernel=known(None))) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=lost())) == "unknown"
