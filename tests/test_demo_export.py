"""The export that the README shows: what others read in it, what imgscan says, and how little it reads."""

from __future__ import annotations

import json
from pathlib import Path

from demo_builder import EXPORT, PACKAGE_LIST
from disk_builder import run
from imgscan_command import outcomes, scan
from tools import requires_tool

MIB = 1024 * 1024


def test_the_readme_s_export_has_one_fault() -> None:
    """The page lists Debian 6.0.0 to 6.0.8, 7.0.0 to 7.8.0 and 8.0.0; this is a Debian 12."""
    machine = scan([EXPORT])
    assert machine["verdicts"][0]["readiness"] == "not-ready"
    found = {name: o for name, o in outcomes(machine).items() if o not in ("pass", "not-applicable", "manual")}
    assert found == {"unsupported-operating-system": "fail"}
    assert machine["unread"] == []
    assert machine["io"]["reads"] < 300
    assert machine["io"]["bytes"] < 8 * MIB


@requires_tool("qemu-img", "sfdisk", "blkid", "fls")
def test_other_readers_see_the_same_disk(tmp_path: Path) -> None:
    machine = scan([EXPORT])
    info = json.loads(run("qemu-img", "info", "--output=json", EXPORT))
    (disk,) = machine["disks"]
    assert (disk["format"], disk["virtual_size"]) == (info["format"], info["virtual-size"])
    assert disk["variant"] == info["format-specific"]["data"]["create-type"]
    raw = tmp_path / "demo.raw"
    run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", EXPORT, raw)
    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]
    theirs = [(p["start"] * 512, p["size"] * 512, f"0x{int(p['type'], 16):02x}") for p in table["partitions"]]
    assert [(p["start"], p["size"], p["type"]) for p in disk["partition_table"]["partitions"]] == theirs
    for volume in machine["volumes"]:
        partition = next(p for p in disk["partition_table"]["partitions"] if p["name"] == volume["name"])
        where = ["--offset", str(partition["start"]), "--size", str(partition["size"])]
        known = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", *where, raw).split("\n") if line)
        assert (volume["content"], volume["uuid"]["value"]) == (known["TYPE"], known["UUID"])
    names = run("fls", "-o", "2048", "-r", "-p", raw)
    assert "boot/grub/grub.cfg" in names
    assert "ssh_host_" not in names


def test_the_system_is_that_of_its_package_list() -> None:
    (system,) = scan([EXPORT])["systems"]
    packages = dict(line.split("\t")[:2] for line in PACKAGE_LIST.read_text().splitlines())
    assert system["id"]["value"] == "debian"
    assert packages["base-files"].startswith("12.4+deb12u")
    assert system["version"]["value"] == f"12.{packages['base-files'].rpartition('u')[2]}"
    assert system["bootloader"]["value"] == "grub2"
    kernels = [name.removeprefix("linux-image-") for name in packages if name.startswith("linux-image-6")]
    assert [system["kernel"]["value"]] == kernels
    assert system["root"] == "disk0/p1"
