"""The ledger when its process is killed, when the disk is full and when the host cannot write: nothing told is lost."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from facts_builder import a_linux_machine
from share_ledger import AWS, CONDITIONS, plan_of, planned, stamps_of

from imgscan.batch.ledger import AttemptEnd, Ledger
from imgscan.errors import LedgerUnavailable
from imgscan.judge import judge
from imgscan.tool import this_tool

MACHINES = [planned(f"m{number:03}") for number in range(200)]
WRITER = """
import sys
from pathlib import Path
from share_ledger import *
from test_ledger_faults import MACHINES, finish

with Ledger.open(Path(sys.argv[1]), Path(sys.argv[2])) as ledger:
    ledger.begin_run(this_tool(), {}, [AWS])
    ledger.record_plan(plan_of(MACHINES), stamps_of(MACHINES), CONDITIONS)
    pending = [machine.name for machine in ledger.pending()]
    for begin in range(0, len(pending), 3):
        names = pending[begin : begin + 3]
        finish(ledger, names)
        print(*names, flush=True)  # acknowledged: from here on it must be there
    ledger.end_run("finished")
"""
FACTS = a_linux_machine()
VERDICT = judge(FACTS, AWS)


def finish(ledger: Ledger, names: list[str]) -> None:
    with ledger.transaction():
        for name in names:
            ledger.start_attempt(name)
            ledger.end_attempt(name, AttemptEnd(outcome="done"))
            ledger.finish(name, FACTS, {AWS.digest: VERDICT})


def whole(path: Path) -> set[str]:
    """Return the machines that are done, after checking that each is done in every table and nothing is damaged."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        done = {str(name) for (name,) in connection.execute("SELECT name FROM machines WHERE state = 'done'")}
        for table, expected in (("facts", 1), ("verdicts", 1), ("findings", len(VERDICT.findings)), ("disks", 1)):
            statement = f"SELECT machines.name, count(*) FROM {table} JOIN machines ON id = machine GROUP BY 1"
            assert dict(connection.execute(statement).fetchall()) == dict.fromkeys(done, expected), table
        return done
    finally:
        connection.close()


def kill_again_and_again(tmp_path: Path, kills: int) -> None:
    dice = random.Random(kills)
    path, root = tmp_path / "results.db", tmp_path / "share"
    root.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    acknowledged: set[str] = set()
    killed = 0
    for _ in range(50 * kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(root)], stdout=subprocess.PIPE, env=environment
        )
        assert writer.stdout is not None
        # now before anything was written, now in the middle of it
        for line in writer.stdout:
            acknowledged.update(line.decode().split())
            if dice.random() < 0.3:
                break
        time.sleep(dice.random() * 0.01)
        writer.kill()
        acknowledged.update(word for line in writer.stdout for word in line.decode().split() if line.endswith(b"\n"))
        writer.wait()
        writer.stdout.close()
        killed += writer.returncode == -signal.SIGKILL
        done = whole(path)
        assert acknowledged <= done
        if len(done) == len(MACHINES):
            acknowledged.clear()
            path.unlink()
            for name in ("-wal", "-shm"):
                path.with_name(path.name + name).unlink(missing_ok=True)
        if killed >= kills:
            return
    pytest.fail("the writer was not killed often enough")


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 4)


@pytest.mark.long
def test_what_was_acknowledged_survives_a_hundred_kill_9(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 100)


def test_a_writer_killed_while_it_makes_the_database(tmp_path: Path) -> None:
    """Half of a new database with its journal, of which nothing is taken over."""
    path, root = tmp_path / "results.db", tmp_path / "share"
    root.mkdir()
    code = (
        "import os, sqlite3, sys\nfrom pathlib import Path\nfrom imgscan.batch import ledger_file\n"
        "def connect(*arguments, **options):\n"
        "    connection = sqlite3.dbapi2.connect(*arguments, **options)\n"
        "    connection.execute('PRAGMA cache_size = 2')\n"
        "    connection.set_authorizer(lambda action, what, *_: os.kill(os.getpid(), 9) if what == 'attempts' else 0)\n"
        "    return connection\n"
        "ledger_file.sqlite3.connect = connect\n"
        "ledger_file.open_writer(Path(sys.argv[1]))\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "results.db-lock",
        "results.db-new",
        "results.db-new-journal",
        "share",
    ]
    with Ledger.open(path, root) as ledger:
        ledger.begin_run(this_tool(), {}, [AWS])
        ledger.record_plan(plan_of(MACHINES), stamps_of(MACHINES), CONDITIONS)
        finish(ledger, ["m000"])
    assert whole(path) == {"m000"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "share").mkdir()
    with Ledger.open(tmp_path / "results.db", tmp_path / "share") as opened:
        opened.begin_run(this_tool(), {}, [AWS])
        opened.record_plan(plan_of(MACHINES), stamps_of(MACHINES), CONDITIONS)
        finish(opened, ["m000"])
        yield opened


def until_it_fails(ledger: Ledger) -> str:
    """Finish machine after machine until the ledger cannot be written; returns the one that failed."""
    for machine in MACHINES[1:]:
        try:
            finish(ledger, [machine.name])
        except LedgerUnavailable:
            return machine.name
    pytest.fail("it never failed")


def go_on(ledger: Ledger, failed: str, path: Path) -> None:
    """Repeat the transaction that failed, and all that is left: as if nothing had been."""
    before = [machine.name for machine in MACHINES if machine.name < failed]
    assert [machine.name for machine in ledger.pending()] == [m.name for m in MACHINES if m.name >= failed]
    finish(ledger, [failed])
    assert whole(path) == {*before, failed}
    for machine in ledger.pending():
        finish(ledger, [machine.name])
    assert whole(path) == {machine.name for machine in MACHINES}


def test_a_full_database_can_be_waited_for(ledger: Ledger, tmp_path: Path) -> None:
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    failed = until_it_fails(ledger)
    with pytest.raises(LedgerUnavailable, match="full"):
        finish(ledger, [failed])
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    go_on(ledger, failed, tmp_path / "results.db")


def test_writes_that_the_host_refuses_can_be_waited_for(ledger: Ledger, tmp_path: Path) -> None:
    """A limit on the size of files: real writes to the log fail, part of a transaction written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (tmp_path / "results.db-wal").stat().st_size
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 150_000, hard))
        failed = until_it_fails(ledger)
        with pytest.raises(LedgerUnavailable):
            finish(ledger, [failed])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    go_on(ledger, failed, tmp_path / "results.db")


def test_a_commit_that_fails_can_be_repeated(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        """The connection, whose COMMIT fails the first times, as after an error of fsync."""

        def __init__(self) -> None:
            self.failures = 3
            self.connection = connection

        def execute(self, statement: str, values: object = ()) -> object:
            if statement == "COMMIT" and self.failures:
                self.failures -= 1
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return self.connection.execute(statement, values)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(self.connection, name)

    connection = ledger._connection
    monkeypatch.setattr(ledger, "_connection", Failing())
    for _ in range(3):
        with pytest.raises(LedgerUnavailable, match="disk I/O error"):
            finish(ledger, ["m001"])
    go_on(ledger, "m001", tmp_path / "results.db")


def test_another_program_that_holds_the_database_is_waited_for(ledger: Ledger, tmp_path: Path) -> None:
    ledger._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "results.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        finish(ledger, ["m001"])
    other.execute("ROLLBACK")
    other.close()
    go_on(ledger, "m001", tmp_path / "results.db")


def test_readers_do_not_stop_the_writer_and_see_one_state(ledger: Ledger, tmp_path: Path) -> None:
    reader = sqlite3.connect(f"file:{tmp_path / 'results.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    counted = "SELECT count(*) FROM machine_readiness WHERE readiness IS NOT NULL"
    assert reader.execute(counted).fetchone() == (1,)
    for machine in MACHINES[1:60]:
        finish(ledger, [machine.name])
    assert reader.execute(counted).fetchone() == (1,)
    reader.execute("ROLLBACK")
    assert reader.execute(counted).fetchone() == (60,)
    reader.close()


@pytest.mark.long
def test_a_full_disk_can_be_waited_for(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk, root = tmp_path / "disk", tmp_path / "share"
    disk.mkdir()
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        with Ledger.open(disk / "results.db", root) as ledger:
            ledger.begin_run(this_tool(), {}, [AWS])
            ledger.record_plan(plan_of(MACHINES), stamps_of(MACHINES), CONDITIONS)
            finish(ledger, ["m000"])
            (disk / "ballast").write_bytes(bytes(400_000))
            failed = until_it_fails(ledger)
            with pytest.raises(LedgerUnavailable, match="full"):
                finish(ledger, [failed])
            (disk / "ballast").unlink()
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            go_on(ledger, failed, disk / "results.db")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
