"""What is left to say of a Windows whose own volume is encrypted, or whose data lie on ReFS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from disk_builder import MIB, write_at
from rules_on_images.machines import Change, changed, data_disk, image, windows_bios
from rules_on_images.test_rules_on_images import TOOLS
from tools import requires_tool
from windows_builder import WINDOWS_2019
from windows_volumes import bitlocker, refs

from imgscan import profiles
from imgscan.cli.main import run

pytestmark = requires_tool(*TOOLS)


def scan(disks: list[Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    status = run(["scan", "--in-process", "--format", "json", *map(str, disks)])
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    return status, machine["verdicts"][0]["findings"]


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (bitlocker(0x0100, 0x0800), "state encrypted, protection on, protectors TPM, recovery password"),
        pytest.param(bitlocker(0x0000, 0x0100), "protection suspended", marks=pytest.mark.long),
        pytest.param(
            bitlocker(0x0100, state=2), "state converting, then encrypted, protection on", marks=pytest.mark.long
        ),
        pytest.param(
            bitlocker(0x0100, state=2, following=1), "state converting, then decrypted", marks=pytest.mark.long
        ),
    ],
)
def test_a_windows_behind_bitlocker(
    volume: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encrypt: Change = lambda disk: write_at(disk, MIB, volume)  # noqa: E731 - typed
    disk = image(changed(windows_bios(WINDOWS_2019), tmp_path, encrypt), "vhd", tmp_path)
    status, findings = scan([disk], capsys)
    (encrypted,) = [each for each in findings if each["rule"] == "encrypted-volume"]
    assert (status, encrypted["outcome"]) == (1, "fail")
    assert told in encrypted["summary"]
    rules = [use.rule for use in profiles.load("aws-sms").uses if use.rule.scope == "system"]
    asked = {rule.name for rule in rules if rule.decide_without_system is None}
    outcomes = {each["outcome"] for each in findings if each["rule"] in asked}
    assert outcomes == {"unknown"}, "nothing is known of the system"


@pytest.mark.long
def test_data_on_refs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put: Change = lambda disk: write_at(disk, MIB, refs(64 * MIB))  # noqa: E731 - typed
    data = changed(data_disk("ntfs"), tmp_path, put)
    disks = [image(windows_bios(WINDOWS_2019), "vhd", tmp_path), image(data, "vhd", tmp_path, name="data")]
    _, findings = scan(disks, capsys)
    found = {each["rule"]: each["outcome"] for each in findings}
    assert found["unsupported-data-filesystem"] == "pass"  # the target lists it for data
    assert found["dirty-filesystem"] == found["damaged-filesystem"] == "unknown"
    assert found["encrypted-volume"] == "pass"
