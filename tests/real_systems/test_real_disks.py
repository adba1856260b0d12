"""Disks of real systems: imgscan, the systems' own tools, and virt-inspector name the same things."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from appliance import environment
from debian_tree import run
from imgscan_command import outcomes, scan
from real_system import real_system
from system_disks import LAYOUT, SWAP_UUID, system_disk
from system_trees import RECIPES, system_tree
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap", "virt-inspector", "qemu-img")]
ROOT = LAYOUT.disks[0][0].uuid
RELEASES = {
    "debian12-tools": ("debian", r"12\.\d+"),
    "debian11": ("debian", r"11\.\d+"),
    "debian13": ("debian", r"13\.\d+"),
    "ubuntu16.04": ("ubuntu", r"16\.04"),
    "ubuntu18.04": ("ubuntu", r"18\.04"),
}
NOT_PASSED = {
    # nothing but the loopback interface is configured in a tree of debootstrap
    "debian12-tools": {"unsupported-operating-system"},
    "debian11": {"unsupported-operating-system", "dhcp-client-disabled"},
    "debian13": {"unsupported-operating-system", "dhcp-client-disabled"},
    "ubuntu16.04": {"dhcp-client-disabled", "enhanced-networking-driver-missing"},
    "ubuntu18.04": {"dhcp-client-disabled"},
}


def fact(system: dict[str, Any], name: str) -> Any:
    assert system[name].get("unread") is None, system[name]
    return system[name]["value"]


def scanned(name: str) -> dict[str, Any]:
    return scan([system_disk(name)], "--collect", "all")


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_as_the_systems_own_tools_say(name: str) -> None:
    machine = scanned(name)
    (system,) = machine["systems"]
    (kernel,) = (system_tree(name) / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    with real_system(name) as guest:
        listed = guest.run(
            "dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Version} ${Architecture}\\n"
        )
        owner = guest.run("dpkg", "--search", f"/boot/{kernel.name}").partition(":")[0]
        initrd = f"/boot/initrd.img-{version}"
        lists = guest.run(*(["lsinitrd", initrd] if name == "debian11" else ["lsinitramfs", initrd]))
    identity, release = RELEASES[name]
    assert fact(system, "id") == identity
    assert re.fullmatch(release, fact(system, "version"))
    assert fact(system, "hostname") == name.replace(".", "")
    assert fact(system, "kernel") == version
    assert fact(system, "kernel_package")["name"] == owner
    packages = {f"{p['state']} {p['name']} {p['version']} {p['architecture']}" for p in fact(system, "packages")}
    assert packages == set(listed.splitlines())
    modules = {match[1].replace("-", "_") for match in re.finditer(r"/([^/\s]+)\.ko(?:\.xz|\.zst|\.gz)?\b", lists)}
    assert set(fact(system, "initramfs")["modules"]) == modules
    mounts = {(mount["point"], mount["source"], mount["volume"]) for mount in fact(system, "mounts")}
    assert mounts == {("/", f"UUID={ROOT}", "disk0/p1"), ("none", f"UUID={SWAP_UUID}", "disk0/p2")}
    (menu,) = fact(system, "menu_files")
    assert (menu["path"], menu["loader"]) == ("/boot/grub/grub.cfg", "grub2")
    default = next(entry for entry in fact(system, "menu") if entry["default"])
    assert default["kernel"] == f"/boot/{kernel.name}"
    assert machine["boot"]["disk"]["value"] == ["disk0"]
    wrong = {rule for rule, outcome in outcomes(machine).items() if outcome in {"fail", "unknown"}}
    assert wrong == NOT_PASSED[name]


def inspected(name: str) -> ET.Element:
    """Return virt-inspector's one operating system."""
    command = ["virt-inspector", "--no-icon", "--format=vmdk", "-a", str(system_disk(name))]
    (system,) = ET.fromstring(run(command, timeout=1200, env=environment())).findall("operatingsystem")  # noqa: S314 - the tool's output
    return system


def version_of(application: ET.Element) -> str:
    """Return dpkg's version, which virt-inspector takes apart."""
    epoch, version, release = (application.findtext(part) for part in ("epoch", "version", "release"))
    return f"{f'{epoch}:' if epoch else ''}{version}{f'-{release}' if release else ''}"


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_as_virt_inspector_says(name: str) -> None:
    (system,) = scanned(name)["systems"]
    other = inspected(name)
    assert fact(system, "id") == other.findtext("distro")
    assert fact(system, "architecture") == other.findtext("arch")
    assert fact(system, "hostname") == other.findtext("hostname")
    assert (system["root"], other.findtext("root")) == ("disk0/p1", "/dev/sda1")
    # it writes 16.04 as 16 and 4
    parts = [int(part) for part in fact(system, "version").split(".")]
    assert parts == [int(other.findtext(part) or "") for part in ("major_version", "minor_version")]
    # of Debian its product name is the text of debian_version
    said = "version" if fact(system, "id") == "debian" else "product"
    assert fact(system, said) == other.findtext("product_name")
    mounts = {
        (m.attrib["dev"].replace("/dev/sda", "disk0/p"), m.text) for m in other.iterfind("mountpoints/mountpoint")
    }
    assert mounts == {(m["volume"], m["point"]) for m in fact(system, "mounts") if m["type"] != "swap"}
    theirs = {(a.findtext("name"), version_of(a)) for a in other.iterfind("applications/application")}
    ours = {(each["name"], each["version"]) for each in fact(system, "packages") if each["state"] == "installed"}
    assert theirs == ours
    # it does not say which kernel starts: that is one of those that both list
    assert (fact(system, "kernel_package")["name"], fact(system, "kernel_package")["version"]) in theirs
