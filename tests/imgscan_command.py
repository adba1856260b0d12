"""The command line as a child process, as a user's script calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def imgscan(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; `check` demands that it succeeds."""
    command = [sys.executable, "-m", "imgscan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=check)


def scan(disks: Sequence[Path], *options: str) -> dict[str, Any]:
    """Return the one machine of `imgscan scan`'s JSON report; an internal error or a traceback fails the test."""
    command = [sys.executable, "-m", "imgscan", "scan", *map(str, disks), "--format", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    assert "Traceback" not in done.stderr
    (machine,) = json.loads(done.stdout)["machines"]
    assert isinstance(machine, dict)
    return machine


def outcomes(machine: dict[str, Any]) -> dict[str, str]:
    """Return each rule's outcome; the worst, where a rule is used more than once."""
    order = ["not-applicable", "manual", "pass", "unknown", "fail"]
    found: dict[str, str] = {}
    for finding in machine["verdicts"][0]["findings"]:
        rule, outcome = finding["rule"], finding["outcome"]
        found[rule] = max(found.get(rule, outcome), outcome, key=order.index)
    return found
