"""Every rule about Windows has an image that fails, one that passes, and one where a damaged hive leaves it open."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rules_on_images.case import windows_outcomes
from rules_on_images.machines import image, windows_bios
from rules_on_images.test_rules_on_images import CASES, TOOLS
from tools import requires_tool
from windows_builder import WINDOWS_2019

from imgscan import profiles
from imgscan.cli.main import run

SOFTWARE, SYSTEM = "SOFTWARE", "SYSTEM"
DECIDED_BY: dict[str, tuple[str, ...]] = {
    "unsupported-operating-system": (SOFTWARE, SYSTEM),  # the version, and whether it is a server
    "client-not-us-english": (SYSTEM,),
    "non-ascii-language-pack": (SYSTEM,),
    "non-english-language-pack": (SOFTWARE, SYSTEM),
    "rdp-disabled": (SOFTWARE, SYSTEM),  # the policy, and the switch
    "firewall-blocks-rdp": (SOFTWARE, SYSTEM),
    "pagefile-not-fixed": (SYSTEM,),
    "dotnet-missing": (SOFTWARE, SYSTEM),
    "hotfix-missing": (SOFTWARE,),  # none is for a Windows as late as that
    "static-ip-address": (SYSTEM,),
    "dhcp-client-disabled": (SYSTEM,),
    "multiple-network-interfaces": (SYSTEM,),
    "ipv6-configured": (SOFTWARE, SYSTEM),  # the version tells where addresses are kept
    "driver-signing-enforced": (SOFTWARE,),
    "enhanced-networking-driver-missing": (SOFTWARE, SYSTEM),
    "boot-drivers-changed-on-import": (SYSTEM,),
    "converted-from-physical": (SOFTWARE, SYSTEM),  # programs, and hardware
    "updates-pending": (SOFTWARE, SYSTEM),
    "antivirus-enabled": (SYSTEM,),
    "intrusion-detection-enabled": (SYSTEM,),
    "snapshot-backup-software": (SYSTEM,),
    # decided by files, volumes and the disk alone
    "unsupported-architecture": (),
    "hibernated-system": (),
    "too-little-free-space": (),
    "gpt-boot-on-32-bit-windows": (),
    "root-not-on-boot-disk": (),
    "unsupported-boot-filesystem": (),
    "unsupported-data-filesystem": (),
}
"""The hives without which a rule leaves the healthy machine open."""
OF_WINDOWS = {
    use.rule.name
    for use in profiles.load("aws-sms").uses
    if use.rule.scope == "system" and use.family in (None, "windows")
}


@pytest.mark.parametrize("rule", sorted(OF_WINDOWS))
def test_it_fails_on_one_image_and_passes_on_another(rule: str) -> None:
    assert rule in DECIDED_BY, "which hives decide this rule?"
    finding = f"{rule}/0"
    of_windows = [case for case in CASES if "rdp-disabled/0" in case.expected]
    assert any(case.finding == finding for case in of_windows)
    assert any(case.expected.get(finding) == "pass" for case in of_windows)


@requires_tool(*TOOLS)
@pytest.mark.parametrize("hive", [SYSTEM, pytest.param(SOFTWARE, marks=pytest.mark.long)])
def test_a_damaged_hive_leaves_open_what_it_decides_and_nothing_else(
    hive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = replace(WINDOWS_2019, files=((f"/Windows/System32/config/{hive}", bytes(8192)),))
    disk = image(windows_bios(damaged), "vhd", tmp_path)
    assert run(["scan", "--in-process", "--format", "json", str(disk)]) == 3
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    findings = machine["verdicts"][0]["findings"]
    found = {f"{each['rule']}/{each['system']}": each for each in findings if each["system"] is not None}
    expected = {name: outcome for name, outcome in windows_outcomes("vhd").items() if name.endswith("/0")}
    expected |= {f"{rule}/0": "unknown" for rule, hives in DECIDED_BY.items() if hive in hives and rule in OF_WINDOWS}
    assert {name: each["outcome"] for name, each in found.items()} == expected
    for name, each in found.items():
        if each["outcome"] == "unknown":
            assert "it does not begin with regf" in each["summary"], name
            assert each["evidence"], name
            assert any(hive in str(piece.get("path", "")) for piece in each["evidence"]), name
