"""A Debian on LVM over two disks: imgscan, virt-inspector and the machine itself agree."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from debian_tree import HOSTNAME, run
from guest_builder import LAYOUTS
from imgscan_command import outcomes, scan
from lvm_guest import GROUP, VOLUME, lvm_disks
from qemu_boot import boot
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "lvm", "debugfs")]
ENVIRONMENT = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
ROOT = f"{GROUP}/{VOLUME}"


def test_the_same_facts_as_from_a_partition() -> None:
    machine = scan(lvm_disks())
    (system,) = machine["systems"]
    (_, (old,)) = LAYOUTS["two-disks"].disks
    assert (system["root"], system["hostname"]["value"], system["id"]["value"]) == (ROOT, HOSTNAME, "debian")
    volumes = {volume["name"]: volume for volume in machine["volumes"]}
    assert volumes[ROOT]["uuid"]["value"] == old.uuid
    assert volumes[ROOT]["on"] == ["disk0/p2", "disk1"]
    assert {(m["point"], m["volume"]) for m in system["mounts"]["value"]} == {("/", ROOT), ("/boot", "disk0/p1")}
    assert {reference["volume"] for reference in system["references"]["value"]} == {ROOT, "disk0/p1"}
    assert (machine["boot"]["firmware"]["value"], machine["boot"]["disk"]["value"]) == ("bios", ["disk0"])
    found = outcomes(machine)
    assert found["no-bootable-partition"] == found["incomplete-volume-group"] == found["dual-boot"] == "pass"
    assert found["root-not-on-boot-disk"] == "fail"  # a part of it is on the second disk
    assert machine["unread"] == []


def test_without_the_second_disk_the_root_is_lost() -> None:
    machine = scan(lvm_disks()[:1])
    assert outcomes(machine)["incomplete-volume-group"] == "fail"


@requires_tool("virt-inspector")
def test_virt_inspector_agrees() -> None:
    command: list[str] = ["virt-inspector", "--no-applications", "--no-icon", "--format=raw"]
    for disk in lvm_disks():
        command += ["-a", str(disk)]
    output = run(command, timeout=900, env=ENVIRONMENT)
    (other,) = ET.fromstring(output).findall("operatingsystem")  # noqa: S314 - the tool's output
    (system,) = scan(lvm_disks())["systems"]
    assert other.findtext("root") == f"/dev/{ROOT}"
    assert (system["id"]["value"], system["hostname"]["value"]) == (
        other.findtext("distro"),
        other.findtext("hostname"),
    )
    points = {mount.text for mount in other.iterfind("mountpoints/mountpoint")}
    assert points == {mount["point"] for mount in system["mounts"]["value"]}


@requires_tool("qemu-system-x86_64")
def test_it_boots_as_imgscan_says() -> None:
    booted = boot(lvm_disks(), firmware="bios")
    assert booted.outcome == "login", booted.console[-2000:]
