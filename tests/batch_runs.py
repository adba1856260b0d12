"""Batches over small shares, as a user's script runs them, for tests that disturb them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_parsers
from fork_server import Served, run_served, serve
from planted_parsers import disk
from tools import FIXTURES, ROOT

from imgscan.cli.main import main as command

DEBIAN = FIXTURES / "images" / "debian12-bios.vmdk"
PROGRAM = ROOT / "tests" / "planted_parsers.py"


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def make_share(share: Path, machines: int) -> Path:
    """Make a share: small raw disks, a Linux now and then, a machine of two disks, a split one, damage, other files."""
    share.mkdir(parents=True)
    for number in range(machines):
        folder = share / f"group{number % 3}" / f"vm{number:03}"
        folder.mkdir(parents=True)
        if number % 20 == 7:
            data = bytearray(DEBIAN.read_bytes())
            (folder / "linux.vmdk").write_bytes(data)
        elif number % 20 == 8:
            disk(folder / "pair_1.raw", boot_code=b"first %d" % number)
            disk(folder / "pair_2.raw", boot_code=b"second %d" % number)
        elif number % 20 == 9:
            (folder / "damaged.vmdk").write_bytes(DEBIAN.read_bytes()[:70_000])
        elif number % 20 == 10:
            (folder / "notes.txt").write_text("not an image")
            disk(folder / "a\N{RIGHT-TO-LEFT OVERRIDE}b.raw", boot_code=b"%d" % number)
        else:
            disk(folder / f"disk{number}.raw", boot_code=b"machine %d" % number)
    return share


def start(folder: Path, *arguments: object, **changes: str) -> Served:
    """Start the command with planted parsers in a folder; what it says goes into the file `said`."""
    return serve(planted_parsers.main, arguments, folder, changes, Path(os.devnull), folder / "said")


def start_fresh(folder: Path, *arguments: object, **changes: str) -> subprocess.Popen[bytes]:
    """Start it as `start` does, in an interpreter of its own."""
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, arguments)],
            cwd=folder,
            env=environment(**changes),
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def finish(process: subprocess.Popen[bytes] | Served, seconds: float = 300) -> int:
    """Wait for a process."""
    try:
        return process.wait(seconds)
    finally:
        process.kill()
        process.wait()


def batch(folder: Path, *options: object, **changes: str) -> int:
    """Scan `folder/share` into `folder/results.db`; return the exit status."""
    return finish(start(folder, "batch", "share", "--db", "results.db", *options, **changes))


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def report(folder: Path, database: str = "results.db") -> bytes:
    """Return `imgscan report` as JSON."""
    done = run_served(command, ("report", database, "--format", "json"), folder, {})
    assert done.stdout, done.stderr
    return done.stdout.encode()


def report_fresh(folder: Path, **changes: str) -> bytes:
    """Return it from an interpreter of its own."""
    arguments = [sys.executable, "-m", "imgscan", "report", "results.db", "--format", "json"]
    done = subprocess.run(arguments, cwd=folder, env=environment(**changes), capture_output=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout


def machines(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the report's machines by name."""
    found = {machine["name"]: machine for machine in json.loads(report(folder))["machines"]}
    assert found
    return found


def events(folder: Path) -> list[dict[str, Any]]:
    """Return the events so far; the last line may be half a line while the batch runs."""
    path = folder / "events"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def left_behind(folder: Path) -> list[int]:
    """Return the processes that still work in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def snapshot(share: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return what there is below a folder: mode, time of change, and content."""
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(share.rglob("*"))
    }


def copy_share(share: Path, folder: Path) -> Path:
    """Copy a share, with the times of its files."""
    shutil.copytree(share, folder / "share")
    return folder / "share"
