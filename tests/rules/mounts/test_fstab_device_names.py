from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.system import Mount, SourceKind

RULE = "fstab-device-names"


def mount(how: SourceKind, **fields: object) -> Mount:
    fields = {"source": "/dev/sdb1", "point": "/srv", "type": "ext4", "volume": "disk0/p2", **fields}
    return Mount(how=how, evidence=(AtPath("disk0/p1", "/etc/fstab", 3),), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("device-name", "fail"),
        ("hardware-name", "fail"),
        ("uuid", "pass"),
        ("label", "pass"),
        ("partuuid", "pass"),
        ("mapper", "pass"),
        ("logical-volume", "pass"),
        ("array", "pass"),
        ("removable", "pass"),
        ("network", "pass"),
        ("file", "pass"),
        ("virtual", "pass"),
    ],
)
def test_how_a_line_names_its_volume(how: SourceKind, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(mounts=known((mount("uuid"), mount(how))))) == expected
    assert outcome(RULE, a_linux_machine(mount_units=known((mount(how),)))) == expected


def test_the_line_is_shown() -> None:
    result = answer(RULE, a_linux_machine(mounts=known((mount("device-name"),))))
    assert result.summary == "fstab line 3 (/dev/sdb1 on /srv): a device name"
    assert result.evidence == (AtPath("disk0/p1", "/etc/fstab", 3),)


def test_what_was_not_read_is_no_pass() -> None:
    assert outcome(RULE, a_linux_machine(mounts=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(mount_units=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(mounts=known((mount("device-name"),)), mount_units=lost())) == "fail"
    assert outcome(RULE, a_linux_machine(mounts=known(()))) == "pass"
