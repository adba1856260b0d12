"""Every rule on disk images, through the command line: one fault moves the rule's finding, and no other.

Two machines that differ in one fault are scanned; what every finding says of both stands in the case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rules_on_images import (
    access_cases,
    boot_cases,
    filesystem_cases,
    identity_cases,
    image_cases,
    kernel_cases,
    layer_cases,
    mount_cases,
    network_cases,
    software_cases,
    windows_cases,
    windows_network_cases,
    windows_volume_cases,
)
from rules_on_images.case import Case, Outcomes
from tools import requires_tool

from imgscan import profiles
from imgscan.cli.main import run

TOOLS = ("qemu-img", "sfdisk", "mke2fs", "grub-mkimage", "mkfs.vfat", "mcopy", "mkntfs", "hivexregedit", "cpio", "gzip")
CASES: tuple[Case, ...] = (
    *image_cases.CASES,
    *boot_cases.CASES,
    *filesystem_cases.CASES,
    *layer_cases.CASES,
    *identity_cases.CASES,
    *access_cases.CASES,
    *mount_cases.CASES,
    *windows_cases.CASES,
    *kernel_cases.CASES,
    *network_cases.CASES,
    *windows_network_cases.CASES,
    *windows_volume_cases.CASES,
    *software_cases.CASES,
)
FOR_EACH_FILE = ("file-changed-on-import",)
EXIT_STATUS = {"ready": 0, "ready-with-warnings": 0, "not-ready": 1, "undecided": 3}


class Scanned(NamedTuple):
    status: int
    verdict: dict[str, Any]

    @property
    def outcomes(self) -> Outcomes:
        """Return the outcome of every finding, by rule and system; the worst of a rule that has one for each file."""
        order = ["manual", "pass", "unknown", "fail"]
        found: Outcomes = {}
        for finding in self.verdict["findings"]:
            system = finding["system"]
            name = finding["rule"] if system is None else f"{finding['rule']}/{system}"
            if finding["rule"] in FOR_EACH_FILE and name in found:
                found[name] = max(found[name], finding["outcome"], key=order.index)
                continue
            assert name not in found, f"two findings {name}: {finding['summary']}"
            found[name] = finding["outcome"]
        return found

    def summaries(self) -> str:
        return "\n".join(f"{f['rule']} {f['outcome']}: {f['summary']}" for f in self.verdict["findings"])


Scan = Callable[..., Scanned]


HEALTHY: dict[int, Scanned] = {}
"""What was found on the healthy machines, which several cases share: by the identity of what makes them."""


@pytest.fixture
def scan(capsys: pytest.CaptureFixture[str]) -> Scan:
    def go(disks: list[Path]) -> Scanned:
        status = run(["scan", "--in-process", "--format", "json", *map(str, disks)])
        out, err = capsys.readouterr()
        assert err == ""
        (machine,) = json.loads(out)["machines"]
        (verdict,) = machine["verdicts"]
        return Scanned(status, verdict)

    return go


def words(text: str) -> str:
    """Return a text without line breaks and what a table puts around them."""
    return " ".join(text.split())


def _params() -> list[Any]:
    """Return the cases: the first of each finding is quick, its other causes take as long again."""
    seen: set[str] = set()
    params = []
    for case in CASES:
        marks = [pytest.mark.long] if case.finding in seen else []
        seen.add(case.finding)
        params.append(pytest.param(case, id=f"{case.rule}: {case.fault}", marks=marks))
    return params


@requires_tool(*TOOLS)
@pytest.mark.parametrize("case", _params())
def test_one_fault_moves_one_finding(
    case: Case, scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = tmp_path / "healthy", tmp_path / "faulty"
    for folder in folders:
        folder.mkdir()
    healthy = HEALTHY.get(id(case.healthy)) or scan(case.healthy(folders[0]))
    HEALTHY[id(case.healthy)] = healthy
    assert healthy.outcomes == case.expected, healthy.summaries()
    assert (healthy.verdict["readiness"], healthy.status) == ("ready", 0)

    disks = case.faulty(folders[1])
    faulty = scan(disks)
    assert faulty.outcomes == case.expected_of_faulty, faulty.summaries()
    assert (faulty.verdict["readiness"], faulty.status) == (case.readiness, EXIT_STATUS[case.readiness])

    failed = [finding for finding in faulty.verdict["findings"] if finding["outcome"] == "fail"]
    assert run(["scan", "--in-process", *map(str, disks)]) == faulty.status
    text = words(capsys.readouterr().out)
    for finding in failed:
        assert finding["evidence"], finding
        assert finding["requirement"]["text"]
        assert finding["requirement"]["source"]
        assert finding["remedy"]
        for shown in (finding["rule"], finding["summary"], finding["requirement"]["source"], finding["remedy"]):
            assert words(shown) in text
        place = finding["evidence"][0]
        assert (place.get("where") or place["volume"]) in text
        assert place.get("path", "") in text


def test_every_rule_of_the_profile_has_a_case() -> None:
    of_profile = {use.rule.name for use in profiles.load("aws-sms").uses}
    assert {case.rule for case in CASES} == of_profile
