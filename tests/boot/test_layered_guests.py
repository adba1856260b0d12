"""Debian on LVM, MD arrays, XFS, Btrfs and JFS: the same facts as from plain ext4, and the truth of booting it.

The machines are those of layered_guest.py, whose table says what each one is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from appliance import environment
from debian_tree import HOSTNAME, layered_tree, run
from imgscan_command import outcomes, scan
from layered_guest import BOOT_UUID, GUESTS, ROOT_UUID, layered_disks
from qemu_boot import Outcome, boot
from tools import requires_tool

from imgscan.devices.guest_tree import read_file
from imgscan.devices.limits import MIB
from imgscan.scan import open_machine

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "guestfish")]
OWN_FILES = {"/etc/fstab", "/etc/mdadm/mdadm.conf"}
"""What a machine has of its own; everything else is the tree's."""


def disks_of(name: str) -> list[Path]:
    """Return a machine's disks; the first call makes all machines, which costs little more than making one."""
    return layered_disks(name, *GUESTS)


def system_of(machine: dict[str, Any]) -> dict[str, Any]:
    (system,) = machine["systems"]
    assert isinstance(system, dict)
    return system


def what_it_is(machine: dict[str, Any]) -> dict[str, Any]:
    """Return what does not depend on where the root lies."""
    system = system_of(machine)
    names = ("id", "version", "product", "architecture", "hostname", "bootloader")
    menu = [(entry["title"], entry["kind"], entry["default"]) for entry in system["menu"]["value"]]
    return {"family": system["family"], "menu": menu} | {name: system[name]["value"] for name in names}


@pytest.mark.parametrize("name", GUESTS)
def test_the_facts_are_those_of_plain_ext4(name: str) -> None:
    guest, machine = GUESTS[name], scan(disks_of(name))
    system = system_of(machine)
    facts = what_it_is(machine)
    assert facts == what_it_is(scan(disks_of("ext4")))
    version = (layered_tree() / "etc/debian_version").read_text().strip()
    assert (facts["id"], facts["version"], facts["hostname"]) == ("debian", version, HOSTNAME)
    assert (system["root"], facts["architecture"], facts["bootloader"]) == (guest.volume, "x86_64", "grub2")
    boot_uuid, boot_volume = (BOOT_UUID, guest.boot_volume) if guest.boot else (ROOT_UUID, guest.volume)
    mounts = {(guest.source, "/", guest.type, guest.volume)}
    mounts |= {(f"UUID={BOOT_UUID}", "/boot", "ext4", guest.boot_volume)} if guest.boot else set()
    assert {(m["source"], m["point"], m["type"], m["volume"]) for m in system["mounts"]["value"]} == mounts
    references = {(r["role"], r["source"], r["volume"]) for r in system["references"]["value"]}
    assert references == {("root", guest.source, guest.volume), ("boot", f"UUID={boot_uuid}", boot_volume)}
    volumes = {volume["name"]: volume for volume in machine["volumes"]}
    assert (volumes[guest.volume]["content"], volumes[guest.volume]["uuid"]["value"]) == (guest.type, ROOT_UUID)
    assert volumes[guest.volume]["condition"]["value"] == "clean"
    assert machine["unread"] == []


@pytest.mark.parametrize("name", GUESTS)
def test_the_findings_are_those_of_plain_ext4(name: str) -> None:
    guest, machine = GUESTS[name], scan(disks_of(name))
    assert machine["boot"]["firmware"]["value"] == "bios"
    assert machine["boot"]["disk"]["value"] == [f"disk{n}" for n in range(guest.loaders)]
    assert {code["where"]: code["loads"] for code in machine["boot"]["code"] if code["what"] != "none"} == {
        f"disk{n}": guest.boot_volume or guest.volume for n in range(guest.loaders)
    }
    expected = outcomes(scan(disks_of("ext4")))
    expected["root-not-on-boot-disk"] = "pass" if len(guest.disks) == 1 else "fail"
    expected["degraded-array"] = "pass" if "md" in guest.volume + guest.boot_volume else "not-applicable"
    expected["unsupported-data-filesystem"] = "pass" if guest.boot else "not-applicable"
    for rule in ("incomplete-volume-group", "incomplete-data-volume-group"):
        expected[rule] = "pass" if guest.volume == "debian-vg/root" else "not-applicable"
    assert outcomes(machine) == expected


def _sums(root: Path) -> dict[str, str]:
    paths = [path for path in (root / "etc").rglob("*") if path.is_file() and not path.is_symlink()]
    paths += (root / "boot").glob("*6.1*")
    sums = {f"/{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return {path: digest for path, digest in sums.items() if path not in OWN_FILES}


@pytest.mark.parametrize("name", GUESTS)
def test_the_files_are_those_that_were_installed(name: str) -> None:
    expected = _sums(layered_tree())
    assert len(expected) > 150
    with open_machine(disks_of(name)) as machine:
        (tree,) = machine.trees
        found = {path: hashlib.sha256(read_file(tree.resolve(path), 64 * MIB)).hexdigest() for path in expected}
        assert tree.read("/etc/fstab").decode() == f"{GUESTS[name].fstab()}\n"
    assert found == expected


def appliance_name(volume: str) -> str:
    """Return how libguestfs names imgscan's volume: disk1/p2 is /dev/sdb2, an array /dev/md127 or the like."""
    if volume.startswith("disk"):
        return f"/dev/sd{chr(ord('a') + int(volume[4]))}{volume.rpartition('p')[2]}"
    return "/dev/md" if volume.startswith("md") else f"/dev/{volume}"


@requires_tool("virt-inspector")
@pytest.mark.parametrize("name", [name for name in GUESTS if name != "ext4"])
def test_virt_inspector_agrees(name: str) -> None:
    command: list[str | Path] = ["virt-inspector", "--no-applications", "--no-icon", "--format=raw"]
    for disk in disks_of(name):
        command += ["-a", disk]
    output = run(command, timeout=900, env=environment())
    (other,) = ET.fromstring(output).findall("operatingsystem")  # noqa: S314 - the tool's output
    machine = scan(disks_of(name))
    system = system_of(machine)

    def named(device: str) -> str:
        if device.startswith("btrfsvol:"):  # its disk as the appliance's kernel calls it: it can come behind the root's
            return re.sub("^/dev/sd[a-z]", "/dev/sda", device.removeprefix("btrfsvol:")).split("/@")[0]
        return "/dev/md" if device.startswith("/dev/md") else device

    assert named(other.findtext("root") or "") == appliance_name(system["root"])
    version = f"{other.findtext('major_version')}.{other.findtext('minor_version')}"
    assert system["version"]["value"] == version
    for ours, theirs in (("id", "distro"), ("architecture", "arch"), ("hostname", "hostname")):
        assert system[ours]["value"] == other.findtext(theirs)
    mounts = {(named(mount.attrib["dev"]), mount.text) for mount in other.iterfind("mountpoints/mountpoint")}
    assert mounts == {(appliance_name(m["volume"]), m["point"]) for m in system["mounts"]["value"]}


@requires_tool("qemu-system-x86_64")
@pytest.mark.parametrize("name", [name for name in GUESTS if name != "ext4"])
def test_it_boots_as_imgscan_says(name: str) -> None:
    machine = scan(disks_of(name))
    assert outcomes(machine)["no-bootable-partition"] == "pass"
    assert machine["boot"]["disk"]["value"][0] == "disk0"
    booted = boot(disks_of(name), firmware="bios", timeout=600)
    assert booted.outcome == "login", booted.console[-2000:]


@dataclass(frozen=True)
class Missing:
    """A machine without some of its disks: the rule that fails, and what the machine then does."""

    guest: str
    without: tuple[int, ...]
    fails: str
    then: Outcome


MISSING = {
    "lvm-second-disk": Missing("lvm-two-disks", (1,), "incomplete-volume-group", "no-root"),
    "md5-two-of-three": Missing("md5", (1, 2), "degraded-array", "no-root"),
    # An initramfs waits for the other members, and then goes on without.
    "md5-one-of-three": Missing("md5", (1,), "degraded-array", "login"),
    "md1-second": Missing("md1", (1,), "degraded-array", "login"),
    "md1-first": Missing("md1", (0,), "degraded-array", "login"),
    "md1-lvm-xfs-first": Missing("md1-lvm-xfs", (0,), "degraded-array", "login"),
}


@requires_tool("qemu-system-x86_64")
@pytest.mark.parametrize("name", MISSING)
def test_without_a_disk_it_does_what_imgscan_says(name: str) -> None:
    missing = MISSING[name]
    disks = [disk for number, disk in enumerate(disks_of(missing.guest)) if number not in missing.without]
    machine = scan(disks)
    found = outcomes(machine)
    assert found[missing.fails] == "fail"
    if missing.then == "login":
        assert found["no-bootable-partition"] == "pass"
        assert system_of(machine)["root"] == GUESTS[missing.guest].volume
        assert machine["unread"] == []
    booted = boot(disks, firmware="bios", timeout=600)
    assert booted.outcome == missing.then, booted.console[-2000:]
