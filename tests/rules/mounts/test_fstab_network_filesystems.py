from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.system import Mount, SourceKind

RULE = "fstab-network-filesystems"


@pytest.mark.parametrize(
    ("source", "type_", "options", "how", "expected"),
    [
        ("nas:/x", "nfs", "defaults", "network", "fail"),
        ("nas:/x", "nfs4", "noauto", "network", "fail"),
        ("//nas/x", "cifs", "", "network", "fail"),
        ("share", "vboxsf", "", "network", "fail"),
        ("UUID=1", "ext4", "_netdev,nofail", "uuid", "fail"),
        ("UUID=1", "gfs2", "", "uuid", "fail"),
        ("UUID=1", "ext4", "defaults", "uuid", "pass"),
        ("tmpfs", "tmpfs", "", "virtual", "pass"),
    ],
)
def test_lines(source: str, type_: str, options: str, how: SourceKind, expected: str) -> None:
    where = (AtPath("disk0/p1", "/etc/fstab", 3),)
    line = Mount(source=source, point="/srv", type=type_, options=options, how=how, evidence=where)
    assert outcome(RULE, a_linux_machine(mounts=known((line,)))) == expected
    assert outcome(RULE, a_linux_machine(mounts=lost())) == "unknown"
