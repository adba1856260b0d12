"""A whole batch: the same report whatever the host is like, nothing written on the share, and what a user sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from batch_runs import (
    DEBIAN,
    batch,
    environment,
    events,
    finish,
    make_share,
    report,
    report_fresh,
    said,
    snapshot,
    start,
    start_fresh,
    until,
)
from planted_parsers import disk
from rules_on_images.machines import image, linux
from tools import requires_tool
from unprivileged import NOBODY

from imgscan.batch.engine import Engine, Interrupted
from imgscan.cli.main import run

AS_NOBODY = """
import importlib.metadata, os, sys
import imgscan.batch.engine, imgscan.batch.plan_json, imgscan.batch.pool, imgscan.batch.progress, imgscan.batch.worker
import imgscan.cli.batch, imgscan.cli.report, imgscan.profiles, imgscan.reports.share_json
from imgscan.cli.main import run
from imgscan.tool import this_tool
this_tool()
imgscan.batch.worker.preload()  # another user may not be allowed to read the interpreter's modules
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.long
def test_the_same_bytes_whatever_the_host_is_like(tmp_path: Path) -> None:
    share = make_share(tmp_path / "share", 12)
    before = snapshot(share)
    reports = {}
    for workers, changes in (
        (1, {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"}),
        (2, {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}),
        (8, {"TZ": "America/St_Johns", "LC_ALL": "POSIX", "PYTHONHASHSEED": "4294967295", "PYTHONUTF8": "0"}),
    ):
        command = ("batch", "share", "--db", "results.db", "--workers", workers)
        assert finish(start_fresh(tmp_path, *command, **changes)) in {1, 3}
        reports[workers] = report_fresh(tmp_path, **changes)
        (tmp_path / "results.db").unlink()
    assert reports[1] == reports[2] == reports[8]
    assert snapshot(share) == before
    states = [machine["share"]["state"] for machine in json.loads(reports[1])["machines"]]
    assert len(states) >= 12
    assert set(states) <= {"done", "failed"}


def test_what_a_user_sees(tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "lab").mkdir(parents=True)
    shutil.copy(DEBIAN, share / "lab" / "debian.vmdk")
    (share / "readme.txt").write_text("hello")
    assert batch(tmp_path, "--events", "events") == 1  # aws-sms lists no Debian 12
    first, last = said(tmp_path).splitlines()
    assert first == "1 machine found, 1 to scan"
    assert last.startswith("1 of 1 machines, 0 failed, ")
    assert last.endswith("; 0 were scanned before")
    told = events(tmp_path)
    assert [event["event"] for event in told] == ["started", "identifying", "planned", "done", "finished"]
    assert all("time" in event for event in told)
    done = told[3]
    assert (done["machine"], done["readiness"]) == ("lab/debian", {"aws-sms": "not-ready"})
    assert done["reads"] > 0
    # again: nothing has changed, and nothing is read
    (tmp_path / "said").unlink()
    assert batch(tmp_path) == 1
    assert said(tmp_path).splitlines()[0] == "1 machine found, 0 to scan; 1 unchanged"
    # another profile is judged from what is stored
    profile = tmp_path / "own.toml"
    text = (files("imgscan.profiles") / "aws-sms.toml").read_text()
    profile.write_text(text.replace('name = "aws-sms"', 'name = "own"', 1))
    (tmp_path / "events").unlink()
    assert batch(tmp_path, "--profile", "own.toml", "--events", "events") == 1
    assert "done" not in {event["event"] for event in events(tmp_path)}


def test_an_output_that_goes_away_does_not_stop_the_batch(tmp_path: Path) -> None:
    share = make_share(tmp_path / "share", 3)
    disk(share / "a-first.raw", "wait")
    command = [sys.executable, "-m", "imgscan", "batch", "share", "--db", "results.db", "--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.wait()
    states = [machine["share"]["state"] for machine in json.loads(report(tmp_path))["machines"]]
    assert len(states) == 4
    assert set(states) == {"done"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_an_unprivileged_user_and_what_it_may_not_read(open_folder: Path) -> None:
    share = make_share(open_folder / "share", 4)
    disk(share / "closed.raw").chmod(0)
    (share / "shut").mkdir()
    disk(share / "shut" / "inside.raw")
    (share / "shut").chmod(0)
    results = open_folder / "results"
    results.mkdir()
    if os.getuid() == 0:
        os.chown(results, NOBODY, NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "batch", str(share), "--db", str(results / "r.db")],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    (share / "shut").chmod(0o755)
    assert done.returncode in {1, 3}, done.stderr
    told = json.loads(report(open_folder, str(results / "r.db")))
    assert {path["path"]: path["why"] for path in told["summary"]["paths"]} == {"shut": "denied"}
    failures = {machine["name"]: machine["share"]["failure"] for machine in told["machines"]}
    closed = failures.pop("closed")
    assert closed["failure"] == "denied"
    assert "Permission denied" in closed["detail"]
    assert len(failures) == 4
    assert set(failures.values()) == {None}


@pytest.mark.long
def test_a_read_only_mount(tmp_path: Path) -> None:
    share = make_share(tmp_path / "real", 12)
    (tmp_path / "share").mkdir()
    if os.getuid() != 0:
        pytest.skip("needs root to mount")
    subprocess.run(["mount", "--bind", share, tmp_path / "share"], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "share"], check=True)
        assert batch(tmp_path) in {1, 3}
        mounted = report(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path / "share"], check=True)
    (tmp_path / "share").rmdir()
    share.rename(tmp_path / "share")
    (tmp_path / "results.db").unlink()
    assert batch(tmp_path) in {1, 3}
    assert report(tmp_path) == mounted


@pytest.mark.long
def test_a_full_disk_under_the_ledger(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to mount")
    make_share(tmp_path / "share", 60)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
    try:
        (small / "ballast").write_bytes(bytes(23 << 20))
        process = start(tmp_path, "batch", "share", "--db", "small/results.db")
        until(lambda: "waiting: " in said(tmp_path), 300)
        assert process.poll() is None
        (small / "ballast").unlink()
        assert finish(process) in {1, 3}
        full = report(tmp_path, "small/results.db")
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    assert "going on" in said(tmp_path)
    assert batch(tmp_path) in {1, 3}
    assert report(tmp_path) == full


@pytest.mark.long
def test_the_supervisors_memory_is_flat(tmp_path: Path) -> None:
    share = tmp_path / "share"
    for number in range(5000):
        folder = share / f"group{number % 50}"
        folder.mkdir(parents=True, exist_ok=True)
        disk(folder / f"vm-{number:05}x.raw", boot_code=b"%d" % number)
    process = start(tmp_path, "batch", "share", "--db", "results.db")
    most = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        if "VmHWM:" in status:
            most = max(most, int(status.split("VmHWM:")[1].split()[0]))
        subprocess.run(["sleep", "0.5"], check=True)
    assert finish(process) in {1, 3}
    assert 0 < most < 256 << 10


@requires_tool("qemu-img", "sfdisk", "mke2fs", "grub-mkimage")
def test_a_machine_without_all_of_its_disks_is_never_ready(tmp_path: Path) -> None:
    lab = tmp_path / "share" / "lab"
    lab.mkdir(parents=True)
    image(linux(), "vmdk", lab, name="web")
    vmx = 'config.version = "8"\nscsi0:0.fileName = "web.vmdk"\nscsi0:1.fileName = "data.vmdk"\n'
    (lab / "web.vmx").write_text(vmx)
    assert batch(tmp_path) == 3
    (machine,) = json.loads(report(tmp_path))["machines"]
    detail = "its description names disks that are not there: lab/data.vmdk"
    assert machine["share"]["failure"] == {"failure": "missing", "detail": detail}
    assert [disk["path"] for disk in machine["disks"]] == ["lab/web.vmdk", "lab/data.vmdk"]
    assert machine["verdicts"][0]["readiness"] == "undecided"
    assert [system["id"]["value"] for system in machine["systems"]] == ["debian"]  # what is there was read
    # a device that is switched off has no disk
    (lab / "web.vmx").write_text(f'{vmx}SCSI0:1.present = "FALSE"\n')
    assert batch(tmp_path) == 0


def test_no_output_goes_into_the_share_or_the_database(tmp_path: Path) -> None:
    share = make_share(tmp_path / "share", 1)
    image = next(share.rglob("*.raw"))
    before = snapshot(share)
    batch(tmp_path)
    for output in (image, share / "new.txt"):
        for command in (("batch", "share", "--plan"), ("report", "results.db")):
            assert finish(start(tmp_path, *command, "-o", output, "--force")) == 2
    plan = ("batch", "share", "--plan", "--db", "results.db")
    assert finish(start(tmp_path, *plan, "-o", "results.db", "--force")) == 2
    (tmp_path / "link").hardlink_to(tmp_path / "results.db")
    for name in ("results.db", "results.db-wal", "results.db-lock", "link", share / "events"):
        assert batch(tmp_path, "--events", name) == 2
    assert snapshot(share) == before
    assert json.loads(report(tmp_path))["summary"]["machines"] == 1


def test_a_plan_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_engine: Engine) -> None:
        raise Interrupted

    monkeypatch.setattr(Engine, "plan", stopped)
    assert run(["batch", str(tmp_path), "--plan"]) == 130


def test_a_run_over_a_part_of_the_share(tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "web").mkdir(parents=True)
    for name in ("web/web-disk1.raw", "web/web-disk2.raw", "old.raw"):
        disk(share / name, boot_code=name.encode())
    (share / "notes.txt").write_text("not an image")
    batch(tmp_path)
    whole = json.loads(report(tmp_path))["summary"]
    assert (whole["machines"], whole["disks"], whole["other_files"]) == (2, 3, 1)
    for options in (("--newer-than", "2100-01-01"), ("--include", "old.raw")):
        batch(tmp_path, *options)
        assert json.loads(report(tmp_path))["summary"] == whole
        assert said(tmp_path).splitlines()[-1].endswith("; 2 were scanned before")
    batch(tmp_path, "--include", "*disk2*")  # the disk is never one of two machines
    part = json.loads(report(tmp_path))["summary"]
    assert (part["machines"], part["disks"], part["other_files"]) == (2, 2, 1)
    batch(tmp_path)
    assert json.loads(report(tmp_path))["summary"] == whole
    shutil.rmtree(share / "web")
    batch(tmp_path)
    assert said(tmp_path).splitlines()[-2] == "1 machine found, 0 to scan; 1 unchanged; 1 of the last run not found"
