from __future__ import annotations

from typing import Any

import pytest
from facts_builder import GIB, a_linux_machine, a_volume, and_volumes, answer, lost, outcome, with_disk, with_volume

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.system import Mount

RULE = "fstab-unresolvable"


def gone(**fields: Any) -> Mount:
    where = (AtPath("disk0/p1", "/etc/fstab", 3),)
    return Mount(**{"source": "UUID=1", "point": "/srv", "type": "ext4", "how": "uuid", "evidence": where, **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "fail"),
        ({"volume": "disk0/p2"}, "pass"),
        ({"may_fail": True}, "pass"),
        ({"at_boot": False}, "pass"),
        ({"candidates": ("disk0/p1", "disk0/p2")}, "fail"),
        ({"how": "network"}, "pass"),
        ({"how": "virtual"}, "pass"),
        ({"how": "file", "type": "swap", "point": "none"}, "pass"),
        ({"how": "removable"}, "pass"),
        ({"how": "hardware-name", "source": "/dev/disk/by-path/pci-0"}, "unknown"),
        ({"how": "device-name", "source": "/dev/dm-3"}, "unknown"),
        ({"how": "device-name", "source": "/dev/sdx1"}, "fail"),
        ({"flaw": "it names no type"}, "pass"),  # fstab-invalid-entry says it
    ],
)
def test_lines(fields: dict[str, Any], expected: str) -> None:
    assert outcome(RULE, a_linux_machine(mounts=known((gone(**fields),)))) == expected


def test_what_is_not_waited_for_is_named() -> None:
    result = answer(RULE, a_linux_machine(mounts=known((gone(may_fail=True),))))
    assert result.outcome == "pass"
    assert "not there: fstab line 3 (UUID=1 on /srv)" in result.summary


def test_it_may_be_on_what_could_not_be_looked_at() -> None:
    machine = a_linux_machine(mounts=known((gone(),)))
    assert outcome(RULE, with_volume(machine, "disk0/p2", signature=lost())) == "unknown"
    assert outcome(RULE, with_disk(machine, partitioning=lost())) == "unknown"
    locked = and_volumes(machine, a_volume("disk0/p3", "crypto_LUKS"))
    assert outcome(RULE, locked) == "unknown"
    inside = a_volume("disk0/p3/luks", "ext4", on="disk0/p3", size=GIB, kind="encrypted")
    assert outcome(RULE, and_volumes(locked, inside)) == "fail"
    assert outcome(RULE, a_linux_machine(mounts=lost())) == "unknown"
