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


@requires_tool("mkntfs", "ntfs-3g", "hivexregedit", "qemu-img", "sfdisk")
def test_a_damaged_system_hive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows = replace(WINDOWS_2019, files=(("/Windows/System32/config/SYSTEM", bytes(8192)),))
    disk = image(windows_bios(windows), "vhd", tmp_path)
    assert run(["scan", "--in-process", "--format", "json", str(disk)]) == 3
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    (verdict,) = machine["verdicts"]
    assert verdict["readiness"] == "undecided"
    outcomes = {finding["rule"]: finding["outcome"] for finding in verdict["findings"]}
    assert {rule for rule, outcome in outcomes.items() if outcome == "unknown"} >= OF_SYSTEM
    assert "fail" not in outcomes.values()
    unread = [finding for finding in verdict["findings"] if finding["rule"] == "boot-drivers-changed-on-import"]
    assert "it does not begin with regf" in unread[0]["summary"]
    assert unread[0]["evidence"][0]["path"] == "/Windows/System32/config/SYSTEM"
