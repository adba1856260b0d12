"""Planted parsers in isolated workers: whatever a parser does, its machine says so, and nothing else is harmed.

Expected outcomes follow from what each trick does (`planted_parsers`) and from setrlimit(2), seccomp(2), landlock(7).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import planted_parsers
import pytest
from fork_server import run_served
from planted_parsers import CANARY, ESCAPES, TRICKS, disk
from tools import FIXTURES, ROOT

DEBIAN = FIXTURES / "images" / "debian12-bios.vmdk"
PROGRAM = ROOT / "tests" / "planted_parsers.py"
CANARY_TEXT = "the canary sings"
PART = "filesystem disk0/p1"


def planted(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the planted parser."""
    canary = folder / "canary"
    canary.write_text(CANARY_TEXT)
    return run_served(planted_parsers.main, arguments, folder, {CANARY: str(canary), **environment})


def left_behind(folder: Path) -> list[str]:
    """Return the command lines of processes that still work in a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


class Told(NamedTuple):
    """A machine of the ledger: state, why it failed, the last attempts' outcomes, and the unread places' reasons."""

    state: str
    failure: str | None
    detail: str
    outcomes: list[str]
    unread: dict[str, str]
    levels: set[str]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def told(shared_folder: Path) -> dict[str, Told]:
    """Scan a share with a disk for every trick, and two healthy machines among them."""
    folder = shared_folder
    share = folder / "share"
    for label in TRICKS:
        (share / label).mkdir(parents=True)
        disk(share / label / "disk.raw", label)
    for name in ("a-healthy", "z-healthy"):
        (share / name).mkdir()
        shutil.copy(DEBIAN, share / name / "disk.vmdk")
    # the two that sleep are read for themselves: only they need a time limit that a test can wait for
    for choice, limit in (("--exclude", 600), ("--include", 5)):
        options = ("--workers", 3, "--cpu-limit", 2, "--time-limit", limit, choice, "*sleep", "--db", "results.db")
        done = planted("batch", share, *options, folder=folder)
        assert done.returncode == 70, done.stderr  # a bug of a parser is told before all else
        assert "Traceback" not in done.stderr
        assert left_behind(folder) == []
    return read_ledger(folder)


def read_ledger(folder: Path) -> dict[str, Told]:
    with sqlite3.connect(folder / "results.db") as database:
        machines = database.execute("SELECT id, name, state, failure, detail FROM machines").fetchall()
        found: dict[str, Told] = {}
        for number, name, state, failure, detail in machines:
            attempts = database.execute(
                "SELECT outcome, sandbox FROM attempts WHERE machine = ? ORDER BY number", (number,)
            ).fetchall()
            unread = database.execute("SELECT place, why FROM unread WHERE machine = ?", (number,)).fetchall()
            outcomes = [outcome for outcome, _ in attempts]
            levels = {level for _, level in attempts}
            found[name.partition("/")[0]] = Told(state, failure, detail or "", outcomes, dict(unread), levels)
    return found


LIMITED, CRASHED, LATE = ["limit", "done"], ["crashed", "done"], ["timed-out", "done"]


@pytest.mark.parametrize(
    ("trick", "failure", "outcomes", "words"),
    [
        ("segfault", "crashed", CRASHED, "died of a segmentation fault"),
        ("recurse-in-c", "crashed", CRASHED, "died of a segmentation fault"),
        ("abort", "crashed", CRASHED, "died of an abort"),
        ("leave", "crashed", CRASHED, "without an answer (status 0)"),
        ("spin", "timed-out", LATE, "reading it took more than 2 s of processor time"),
        ("sleep", "timed-out", LATE, "reading it took more than 5 s"),
        ("let-go-and-sleep", "timed-out", LATE, "reading it took more than 5 s"),
        ("print-a-gigabyte", "limit", LIMITED, "printed more than 1048576 bytes"),
        ("talk-without-end", "limit", LIMITED, "more than 100 things to say"),
        ("a-message-too-la", "limit", LIMITED, "a message of 4294967295 bytes"),
        ("never-read-answe", "crashed", CRASHED, "does not read what it asked for"),
        ("learn-garbage-an", "crashed", CRASHED, "died of a segmentation fault"),
        ("lie-about-the-le", "crashed", CRASHED, "sent what makes no sense"),
    ],
)
def test_what_ends_a_worker_is_recorded_and_left_out(
    told: dict[str, Told], trick: str, failure: str, outcomes: list[str], words: str
) -> None:
    machine = told[trick]
    assert (machine.state, machine.failure) == ("failed", failure)
    assert machine.outcomes == outcomes
    assert PART in machine.detail
    assert words in machine.detail
    assert machine.unread["disk0/p1"] == failure


@pytest.mark.parametrize("trick", ["raise-error", "recurse"])
def test_an_error_of_the_parser_takes_its_part_only(told: dict[str, Told], trick: str) -> None:
    assert told[trick].failure == "internal"
    assert told[trick].outcomes == ["internal"]
    assert told[trick].unread["disk0/p1"] == "internal"


@pytest.mark.parametrize("trick", ["allocate-at-once", "allocate-slowly"])
def test_memory_is_limited(told: dict[str, Told], trick: str) -> None:
    assert told[trick].unread["disk0/p1"] == "limit"


def test_a_worker_that_is_killed_from_outside_is_read_again_whole(told: dict[str, Told]) -> None:
    assert told["kill-oneself"].failure == "killed"
    assert told["kill-oneself"].outcomes == ["killed"] * 10


def test_garbage_is_no_answer(told: dict[str, Told]) -> None:
    assert told["garbage"].state == "failed"
    assert told["garbage"].failure in {"limit", "crashed"}


def test_an_answer_that_is_none(told: dict[str, Told]) -> None:
    machine = told["answer-nonsense"]
    assert (machine.state, machine.failure, machine.detail) == (
        "failed",
        "crashed",
        "the worker's answer makes no sense",
    )


def test_every_escape_fails(told: dict[str, Told], shared_folder: Path) -> None:
    with sqlite3.connect(shared_folder / "results.db") as database:
        (detail,) = database.execute("SELECT detail FROM unread WHERE detail LIKE '%escapes%'").fetchone()
    assert detail == f"escapes that worked: none of {len(ESCAPES)}"
    assert told["escape"].outcomes == ["done"]
    assert (shared_folder / "canary").read_text() == CANARY_TEXT
    there = {path.name for path in shared_folder.iterdir() if not path.name.startswith("results.db")}
    assert there == {"canary", "share"}


def test_other_machines_are_unharmed(told: dict[str, Told], shared_folder: Path) -> None:
    command = [sys.executable, "-m", "imgscan", "inspect", "--format", "json", "--in-process", str(DEBIAN)]
    alone = json.loads(subprocess.check_output(command, cwd=ROOT))["machine"]
    with sqlite3.connect(shared_folder / "results.db") as database:
        for name in ("a-healthy", "z-healthy"):
            assert told[name].state == "done"
            assert told[name].outcomes == ["done"]
            (text,) = database.execute(
                "SELECT json FROM facts JOIN machines ON id = machine WHERE name LIKE ?", (f"{name}/%",)
            ).fetchone()
            facts = json.loads(text)
            assert facts["systems"] == alone["systems"]
            assert facts["volumes"] == alone["volumes"]
            assert facts["io"] == alone["io"]


def test_what_was_learnt_before_is_kept(told: dict[str, Told], shared_folder: Path) -> None:
    assert told["segfault"].state == "failed"
    command = [
        sys.executable,
        "-m",
        "imgscan",
        "report",
        "results.db",
        "--machine",
        "segfault/disk",
        "--format",
        "json",
    ]
    done = subprocess.run(
        command,
        cwd=shared_folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (machine,) = json.loads(done.stdout)["machines"]
    assert machine["disks"][0]["partition_table"]["partitions"][0]["start"] == 1 << 20
    assert machine["volumes"][0]["content"] == "ext2"  # it has no feature of a later one
    assert machine["volumes"][0]["readable"]["unread"] == "crashed"
    assert machine["verdicts"][0]["readiness"] in {"undecided", "not-ready"}


def test_the_level_is_recorded(told: dict[str, Told]) -> None:
    """This kernel has it all: a level below full would be a fault of the sandbox."""
    levels = set().union(*(machine.levels for machine in told.values()))
    assert len(levels) == 1
    (level,) = levels
    assert level.startswith("limits, no-new-privileges, landlock ")
    assert level.endswith(", seccomp")


# A single command.


def start(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start the command with the planted parser; what it says goes into a file."""
    with (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("trick", "why"), [("segfault", "crashed"), ("print-a-gigabyte", "limit"), ("answer-nonsense", "crashed")]
)
def test_a_single_scan_is_isolated_too(tmp_path: Path, trick: str, why: str) -> None:
    done = planted("scan", disk(tmp_path / "disk.raw", trick), "--format", "json", folder=tmp_path)
    assert done.returncode in {1, 3}, done.stderr
    (machine,) = json.loads(done.stdout)["machines"]
    assert why in {place["why"] for place in machine["unread"]}
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("format_", ["text", "json"])
def test_what_a_worker_sends_is_made_harmless(tmp_path: Path, format_: str) -> None:
    done = planted("scan", disk(tmp_path / "disk.raw", "lie"), "--format", format_, folder=tmp_path)
    assert done.returncode == 70, done.stderr  # it claims a failure of imgscan's own
    assert "taken over" in done.stdout
    for text in (done.stdout, done.stderr):
        assert not [character for character in text if not character.isprintable() and character != "\n"]
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text


def test_ctrl_c_ends_the_worker_too(tmp_path: Path) -> None:
    process = start(tmp_path, "scan", disk(tmp_path / "disk.raw", "let-go-and-sleep"))
    until(lambda: len(left_behind(tmp_path)) == 2)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert (tmp_path / "stderr").read_text().strip() == "imgscan: interrupted"
    assert left_behind(tmp_path) == []


def test_ls_of_a_parser_that_dies(tmp_path: Path) -> None:
    done = planted("ls", disk(tmp_path / "disk.raw", "segfault"), "/", folder=tmp_path)
    assert done.returncode == 3
    assert done.stderr == f"imgscan: {PART}: the parser died of a segmentation fault (crashed)\n"


@pytest.mark.parametrize("command", ["scan", "batch"])
def test_a_killed_supervisor_leaves_nobody_behind(tmp_path: Path, command: str) -> None:
    share = tmp_path / "share"
    share.mkdir()
    image = disk(share / "disk.raw", "let-go-and-sleep")
    process = start(tmp_path, *(["scan", image] if command == "scan" else ["batch", share, "--db", "results.db"]))
    until(lambda: len(left_behind(tmp_path)) > 1)
    time.sleep(0.5)
    process.kill()
    process.wait()
    until(lambda: left_behind(tmp_path) == [])
