"""Batches that are disturbed: killed, stopped, without disk space, on a host that cannot read. Nothing is lost."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import pytest
from batch_runs import batch, events, finish, left_behind, machines, make_share, report, said, snapshot, start, until
from planted_parsers import FLAKY, WAIT, disk


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def opened(pid: int) -> set[str]:
    """Return the bare names of the files that a process has open."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(descriptor.readlink().name)
    return found


def states(database: Path) -> dict[str, str]:
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("SELECT name, state FROM machines"))


def kill_at_random(folder: Path, machine_count: int, kills: int) -> None:
    """Run batches until one ends by itself; kill the supervisor, a nursery or a worker `kills` times on the way."""
    dice = random.Random(kills)
    make_share(folder / "share", machine_count)
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir()
    (undisturbed / "share").symlink_to(folder / "share")
    status = batch(undisturbed)
    command = ("batch", "share", "--db", "results.db", "--workers", 2, "--events", "events")
    process = start(folder, *command)
    left = kills
    seen = 0
    every = max(1, machine_count // (kills + 2))
    told: set[str] = set()
    while process.poll() is None:
        now = events(folder)
        done = [event for event in now if event["event"] in {"done", "failed"}]
        if left and len(done) >= seen + every:
            seen = len(done)
            told |= {event["machine"] for event in done}
            nurseries = children(process.pid)
            workers = [worker for nursery in nurseries for worker in children(nursery)]
            victims = {"supervisor": [process.pid], "nursery": nurseries, "worker": workers}
            kind = dice.choice([kind for kind, there in victims.items() if there])
            try:
                os.kill(dice.choice(victims[kind]), signal.SIGKILL)
            except ProcessLookupError:
                continue
            left -= 1
            if kind == "supervisor":
                process.wait()
                # what was told as done is on the disk
                now_there = states(folder / "results.db")
                assert {now_there[name.replace("\\u202e", "\\u202e")] for name in told} <= {"done", "failed"}
                until(lambda: left_behind(folder) == [])
                process = start(folder, *command)
    assert left <= kills // 3  # else it was over too soon to prove anything
    assert process.returncode == status
    assert set(states(folder / "results.db").values()) <= {"done", "failed"}
    assert report(folder).splitlines() == report(undisturbed).splitlines()
    scanned = [event["machine"] for event in events(folder) if event["event"] in {"done", "failed"}]
    assert len(scanned) == len(set(scanned)) == len(states(folder / "results.db"))


def test_killed_at_random(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 20, 5)


@pytest.mark.long
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 400, 100)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_the_user_and_continued(tmp_path: Path, number: int) -> None:
    share = make_share(tmp_path / "share", 6)
    disk(share / "zz-last.raw", "wait")
    before = snapshot(share)
    process = start(tmp_path, "batch", "share", "--db", "results.db", "--workers", 1, "--events", "events")
    until(lambda: sum(event["event"] == "done" for event in events(tmp_path)) >= 2)
    process.send_signal(number)
    assert finish(process) == 130
    assert left_behind(tmp_path) == []
    last = said(tmp_path).splitlines()[-1]
    assert last.startswith("imgscan: stopped: ")
    assert last.endswith("; the same command continues")
    done = {name for name, state in states(tmp_path / "results.db").items() if state == "done"}
    assert done
    assert set(states(tmp_path / "results.db").values()) == {"done", "pending"}
    os.truncate(tmp_path / "events", 0)
    assert batch(tmp_path, "--events", "events") in {1, 3}
    assert not done & {event["machine"] for event in events(tmp_path) if event["event"] == "done"}
    assert set(states(tmp_path / "results.db").values()) <= {"done", "failed"}, said(tmp_path)
    assert snapshot(share) == before


@pytest.mark.long
def test_read_errors_that_pass_and_that_last(tmp_path: Path) -> None:
    share = make_share(tmp_path / "share", 4)
    disk(share / "flaky.raw", boot_code=b"FLAKY")
    disk(share / "broken.raw", boot_code=b"BROKEN")
    assert batch(tmp_path, **{FLAKY: "2"}) in {1, 3}
    (tmp_path / "results.db").rename(tmp_path / "disturbed.db")
    disturbed = {machine["name"]: machine for machine in json.loads(report(tmp_path, "disturbed.db"))["machines"]}
    (share / "broken.raw").write_bytes(disk(tmp_path / "whole.raw", boot_code=b"BROKE!").read_bytes())
    assert batch(tmp_path) in {1, 3}
    whole = machines(tmp_path)
    assert {name for name in whole if whole[name] != disturbed[name]} == {"broken"}
    assert disturbed["broken"]["share"]["state"] == "failed"
    failure = disturbed["broken"]["share"]["failure"]
    assert failure == {"failure": "io-error", "detail": "disk0/p1: broken.raw: reading failed: Input/output error"}
    assert disturbed["broken"]["disks"][0]["partition_table"]["partitions"]


@pytest.mark.long
def test_files_that_vanish_or_change_while_the_batch_runs(tmp_path: Path) -> None:
    share = make_share(tmp_path / "share", 3)
    disk(share / "a-first.raw", "wait")
    disk(share / "z-vanishes.raw")
    disk(share / "z-changes.raw")
    command = ("batch", "share", "--db", "results.db", "--workers", 1, "--events", "events")
    process = start(tmp_path, *command, **{WAIT: "1.5"})
    until(lambda: any(event["event"] == "planned" for event in events(tmp_path)))
    until(lambda: "a-first.raw" in opened(process.pid))
    (share / "z-vanishes.raw").unlink()
    with (share / "a-first.raw").open("ab") as file:  # while it is read
        file.write(bytes(512))
    assert finish(process) in {1, 3}
    found = machines(tmp_path)
    assert found["z-vanishes"]["share"]["failure"]["failure"] == "missing"
    assert found["a-first"]["share"]["state"] == "done"
    assert {name for name, machine in found.items() if machine["share"]["state"] == "failed"} == {"z-vanishes"}
    again = [event for event in events(tmp_path) if event["event"] == "again" and event["machine"] == "a-first"]
    assert [event["outcome"] for event in again] == ["changed"]
    # the next run scans it again: it is not what discovery saw
    os.truncate(tmp_path / "events", 0)
    assert batch(tmp_path, "--events", "events") in {1, 3}
    assert [event["machine"] for event in events(tmp_path) if event["event"] == "done"] == ["a-first"]


@pytest.mark.long
def test_a_file_that_changes_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    path = disk(tmp_path / "share" / "log.raw", "wait")
    process = start(tmp_path, "batch", "share", "--db", "results.db")
    time_ns = 1
    while process.poll() is None:
        os.utime(path, ns=(time_ns, time_ns))
        time_ns += 1
        time.sleep(0.005)
    assert finish(process) == 1
    machine = machines(tmp_path)["log"]
    assert machine["share"]["failure"] == {"failure": "changed", "detail": "log.raw was changed while it was read"}
    assert [problem["code"] for problem in machine["disks"][0]["problems"]] == ["image-changed"]


def test_a_ledger_that_cannot_be_written_for_a_time(tmp_path: Path) -> None:
    """The process may write no file beyond 4 KiB for a while: to SQLite this is an I/O error."""
    share = make_share(tmp_path / "share", 6)
    disk(share / "a-first.raw", "wait")
    process = start(tmp_path, "batch", "share", "--db", "results.db", "--workers", 1)
    until(lambda: (tmp_path / "results.db-wal").exists() and children(process.pid))
    until(lambda: [worker for nursery in children(process.pid) for worker in children(nursery)])
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    until(lambda: "waiting: " in said(tmp_path))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert finish(process) in {1, 3}
    assert "going on" in said(tmp_path)
    assert set(states(tmp_path / "results.db").values()) <= {"done", "failed"}, said(tmp_path)
