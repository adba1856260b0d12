"""One disk in every container: partitions, volumes, boot facts and systems are the same, and where they were read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from disk_builder import convert
from guest_builder import guest_disks
from imgscan_command import scan
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "qemu-img")]

CONTAINERS = {
    "vmdk": ("vmdk", "monolithicSparse"),
    "vmdk-stream": ("vmdk", "streamOptimized"),
    "vhd-fixed": ("vhd", "fixed"),
    "vhd": ("vhd", "dynamic"),
    "vhdx": ("vhdx", "dynamic"),
}


def facts(machine: dict[str, Any]) -> dict[str, Any]:
    """Return what must not depend on the container."""
    (disk,) = machine["disks"]
    kept = {key: machine[key] for key in ("volumes", "boot", "systems", "unread")}
    return kept | {"table": disk["partition_table"], "size": disk["virtual_size"]}


@pytest.mark.parametrize("layout", ["mbr", "gpt-bios", "gpt-esp"])
def test_the_facts_are_those_of_the_raw_disk(layout: str, scratch: Path) -> None:
    (raw,) = guest_disks(layout)
    expected = facts(scan([raw]))
    assert [s["id"]["value"] for s in expected["systems"]] == ["debian"]
    for container, (format_, variant) in CONTAINERS.items():
        export = convert(raw, container, scratch / f"{layout}.{format_}")
        machine = scan([export])
        export.unlink()
        assert (machine["disks"][0]["format"], machine["disks"][0]["variant"]) == (format_, variant)
        assert machine["disks"][0]["problems"] == []
        assert facts(machine) == expected, container
