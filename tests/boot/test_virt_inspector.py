"""virt-inspector, which asks a Linux kernel in an appliance, agrees on what system is where."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from appliance import environment
from debian_tree import run
from guest_builder import LAYOUTS, guest_disks
from imgscan_command import scan
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "virt-inspector")]


def volume_name(device: str) -> str:
    """Return imgscan's name of the appliance's /dev/sda1."""
    return f"disk{ord(device[len('/dev/sd')]) - ord('a')}/p{device[len('/dev/sda') :]}"


def inspected(disks: list[Path]) -> ET.Element:
    """Return virt-inspector's one operating system."""
    command: list[str | Path] = ["virt-inspector", "--no-applications", "--no-icon", "--format=raw"]
    for disk in disks:
        command += ["-a", disk]
    (system,) = ET.fromstring(run(command, timeout=400, env=environment())).findall("operatingsystem")  # noqa: S314 - the tool's output
    return system


@pytest.mark.parametrize("layout", ["mbr", "gpt-bios", "gpt-esp", "two-disks"])
def test_both_find_the_same_system_in_the_same_place(layout: str) -> None:
    disks = guest_disks(layout)
    machine = scan(disks)
    (system,) = machine["systems"]
    other = inspected(disks)
    assert (system["family"], system["id"]["value"]) == (other.findtext("name"), other.findtext("distro"))
    version = f"{other.findtext('major_version')}.{other.findtext('minor_version')}"
    assert system["version"]["value"] == version
    assert system["architecture"]["value"] == other.findtext("arch")
    assert system["hostname"]["value"] == other.findtext("hostname")
    assert system["root"] == volume_name(other.findtext("root") or "")
    filesystems = {
        volume_name(f.attrib["dev"]): (f.findtext("type"), f.findtext("uuid"))
        for f in other.iterfind("filesystems/filesystem")
    }
    ours = {v["name"]: v for v in machine["volumes"]}
    for name, (type_, uuid) in filesystems.items():
        assert (ours[name]["content"], ours[name]["uuid"]["value"]) == (type_, uuid)
    mounts = {
        (m.attrib["dev"] and volume_name(m.attrib["dev"]), m.text) for m in other.iterfind("mountpoints/mountpoint")
    }
    found = {(m["volume"], m["point"]) for m in system["mounts"]["value"] if m["type"] != "swap"}
    assert mounts == found
    assert LAYOUTS[layout].firmware == machine["boot"]["firmware"]["value"]
