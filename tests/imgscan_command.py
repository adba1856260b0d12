"""The command line as a process of its own, as a user's script calls it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forked import run_forked

from imgscan.cli.main import main


def imgscan(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; `check` demands that it succeeds."""
    done = run_forked(main, arguments, Path.cwd())
    told = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    if check:
        told.check_returncode()
    return told


def scan(disks: Sequence[Path], *options: str) -> dict[str, Any]:
    """Return the one machine of `imgscan scan`'s JSON report; an internal error or a traceback fails the test."""
    done = imgscan("scan", *map(str, disks), "--format", "json", *options, check=False)
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
