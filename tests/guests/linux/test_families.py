"""A whole machine of each family of Linux distributions: all its facts, and what every rule says of it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import linux_families
import pytest
from disk_builder import build_system, convert
from linux_families.family import Family
from linux_families.table import FAMILIES
from rules_on_images.case import linux_outcomes
from rules_on_images.machines import kept
from tools import requires_tool

from imgscan.cli.main import run

TOOLS = ("qemu-img", "sfdisk", "mke2fs", "mkfs.xfs", "grub-mkimage", "cpio", "gzip", "xz", "db5.3_load")
QUICK = frozenset({"rhel5", "centos6", "centos7", "rhel8", "sles11", "sles12", "ubuntu12.04", "ubuntu18.04"})


def value(fact: dict[str, Any]) -> Any:
    """Return what a fact of the report says, or why it does not."""
    return fact["value"] if fact.get("unread") is None else f"{fact['unread']}: {fact['detail']}"


def found(system: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that the families' recipes tell, in their short forms."""
    start, package = value(system["ssh_start"]), value(system["kernel_package"])
    return {
        "system": tuple(value(system[name]) for name in ("id", "version", "service_pack", "variant")),
        "hostname": value(system["hostname"]),
        "loader": value(system["bootloader"]),
        "kernel": value(system["kernel"]),
        "menu": [(entry["title"], entry["kind"], entry.get("default", False)) for entry in value(system["menu"])],
        "package": tuple(package.get(name) for name in ("name", "version", "release", "vendor")),
        "initramfs": value(system["initramfs"])["modules"],
        "mounts": [(mount["point"], mount["volume"], mount["how"]) for mount in value(system["mounts"])],
        "network": [_interface(file) for file in value(system["network"])],
        "dhcp": value(system["dhcp_client"]),
        "ssh": (start["manager"], start["unit"]) if start["starts"] else start,
        "firewalls": [(firewall["name"], value(firewall["decision"])) for firewall in value(system["firewalls"])],
        "packages": sorted(each["name"] for each in value(system["packages"])),
    }


def _interface(file: dict[str, Any]) -> tuple[Any, ...]:
    each = next(one for one in value(file["interfaces"]) if one["kind"] != "loopback")
    dynamic = "4" * each["dhcp4"] + "6" * each["dhcp6"]
    addresses = [address["address"] for address in each["addresses"]]
    return file["evidence"]["path"].rpartition("/")[2], each["name"], dynamic, addresses


@cache
def family_of(name: str) -> Family:
    return FAMILIES[name]()


def image_of(name: str) -> Path:
    """Return a family's machine as a VMDK, from the cache of such machines."""

    def make(folder: Path) -> None:
        family = family_of(name)
        disk = build_system(
            folder, family.files, root=family.root, boot=family.boot, loader=family.loader, labels=family.labels
        )
        convert(disk, "vmdk", folder / "disk.vmdk")
        disk.unlink()

    # what tools make is not the same each time: the recipes' texts tell whether a machine is still the same
    recipes = b"".join(path.read_bytes() for path in sorted(Path(linux_families.__file__).parent.glob("*.py")))
    return kept(f"{name} {hashlib.sha256(recipes).hexdigest()}", make) / "disk.vmdk"


@requires_tool(*TOOLS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in FAMILIES]
)
def test_all_facts_and_every_rule(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    family, image = family_of(name), image_of(name)
    run(["scan", "--in-process", "--collect", "all", "--format", "json", str(image)])
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    (system,) = machine["systems"]
    assert found(system) == family.facts
    assert value(system["architecture"]) == "x86_64"
    (verdict,) = machine["verdicts"]
    order = ["not-applicable", "manual", "pass", "unknown", "fail"]
    outcomes: dict[str, str] = {}
    for finding in verdict["findings"]:
        key = finding["rule"] if finding["system"] is None else f"{finding['rule']}/{finding['system']}"
        outcomes[key] = max(outcomes.get(key, "not-applicable"), finding["outcome"], key=order.index)
    data = "pass" if family.boot else "not-applicable"
    expected = linux_outcomes("vmdk", **{"unsupported_data_filesystem": data, **family.outcomes})
    assert outcomes == expected, "\n".join(f"{f['rule']} {f['outcome']}: {f['summary']}" for f in verdict["findings"])
