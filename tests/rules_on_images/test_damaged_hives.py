"""A Windows whose registry is damaged, through the command line: what a hive would say is unknown, never a pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rules_on_images.machines import image, windows_bios
from tools import requires_tool
from windows_builder import WINDOWS_2019

from imgscan.cli.main import run

OF_SYSTEM = {
    "boot-drivers-changed-on-import",
    "enhanced-networking-driver-missing",
    "antivirus-enabled",
    "converted-from-physical",
    "firewall-blocks-rdp",
    "intrusion-detection-enabled",
    "non-ascii-language-pack",
    "pagefile-not-fixed",
    "rdp-disabled",
    "snapshot-backup-software",
    "unsupported-operating-system",
    "updates-pending",
}


OF_SOFTWARE = {
    "converted-from-physical",
    "dotnet-missing",
    "enhanced-networking-driver-missing",
    "hotfix-missing",
    "rdp-disabled",
    "unsupported-operating-system",
    "updates-pending",
}


@requires_tool("mkntfs", "ntfs-3g", "hivexregedit", "qemu-img", "sfdisk")
@pytest.mark.parametrize(
    ("hive", "rules"), [("SYSTEM", OF_SYSTEM), pytest.param("SOFTWARE", OF_SOFTWARE, marks=pytest.mark.long)]
)
def test_a_damaged_hive(hive: str, rules: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"/Windows/System32/config/{hive}"
    disk = image(windows_bios(replace(WINDOWS_2019, files=((place, bytes(8192)),))), "vhd", tmp_path)
    assert run(["scan", "--in-process", "--format", "json", str(disk)]) == 3
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    (verdict,) = machine["verdicts"]
    assert verdict["readiness"] == "undecided"
    outcomes = {finding["rule"]: finding["outcome"] for finding in verdict["findings"]}
    assert {rule for rule, outcome in outcomes.items() if outcome == "unknown"} >= rules
    assert "fail" not in outcomes.values()
    unread = next(finding for finding in verdict["findings"] if finding["rule"] == "unsupported-operating-system")
    assert "it does not begin with regf" in unread["summary"]
    assert unread["evidence"][0]["path"] == place
