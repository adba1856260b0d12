"""The ledger: what has to be scanned, what is kept, who may write, and that nothing needs doing twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from facts_builder import a_linux_machine, with_disk
from share_ledger import AWS, CONDITIONS, plan_of, planned, scan_into, share, stamps_of

from imgscan.batch.ledger import AttemptEnd, Failure, Ledger, Planned
from imgscan.batch.ledger_file import SCHEMA_VERSION
from imgscan.batch.share import FileStamp, Identified, PathProblem, PlannedMachine
from imgscan.errors import LedgerError, UsageError
from imgscan.judge import judge
from imgscan.model.report import ProfileStamp
from imgscan.tool import this_tool

BYTES = os.fsdecode(b"bytes-\xff\x85.vmdk")
HOSTILE = ("esc\x1b[31m", "bidi\u202e", "back\\slash", "new\nline", BYTES, "=cmd", "日本")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture
def ledger(tmp_path: Path, root: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "results.db", root) as opened:
        opened.begin_run(this_tool(), {"workers": 2}, [AWS])
        yield opened


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def record(ledger: Ledger, *machines: PlannedMachine, mtime_ns: int = 1, conditions: str = CONDITIONS) -> Planned:
    return ledger.record_plan(plan_of(machines), stamps_of(machines, mtime_ns), conditions)


def names(ledger: Ledger) -> list[str]:
    return [machine.name for machine in ledger.pending()]


def test_what_is_new_is_pending_and_what_is_unchanged_is_skipped(ledger: Ledger) -> None:
    facts = share()
    machines = [planned(name) for name in facts]
    assert record(ledger, *machines) == Planned(len(facts), 0, 0, 0, 0)
    assert names(ledger) == sorted(facts)
    scan_into(ledger, facts)
    assert names(ledger) == []
    assert ledger.counts() == {"pending": 0, "running": 0, "done": len(facts), "failed": 0}
    assert record(ledger, *machines) == Planned(0, 0, len(facts), 0, 0)
    assert names(ledger) == []


@pytest.mark.parametrize(
    "change",
    [
        {"stamp": FileStamp(1001, 1, 1, 7)},
        {"stamp": FileStamp(1000, 2, 1, 7)},
        {"stamp": FileStamp(1000, 1, 2, 7)},
        {"conditions": "version 2, no options"},
        {"machine": PlannedMachine(name="a", disks=("b.vmdk", "a.vmdk"), files=("a.vmdk", "b.vmdk"), reason="r")},
        {"machine": PlannedMachine(name="a", disks=("a.vmdk",), files=("a.ovf", "a.vmdk"), reason="r")},
    ],
)
def test_what_changed_is_scanned_again_and_loses_its_results(
    ledger: Ledger, tmp_path: Path, change: dict[str, object]
) -> None:
    machine = planned("a")
    record(ledger, machine, planned("c"))
    scan_into(ledger, {"a": a_linux_machine(), "c": a_linux_machine()})
    stamps = {**stamps_of([machine, planned("c"), planned("b")]), "a.ovf": FileStamp(1, 1, 9, 7)}
    stamps["c.vmdk"] = stamps_of([machine, planned("c")])["c.vmdk"]
    stamps["a.vmdk"] = change.get("stamp", stamps["a.vmdk"])  # type: ignore[assignment]
    changed = change.get("machine", machine)
    assert isinstance(changed, PlannedMachine)
    found = ledger.record_plan(plan_of([changed, planned("c")]), stamps, str(change.get("conditions", CONDITIONS)))
    assert found.changed == (2 if "conditions" in change else 1)
    assert "a" in names(ledger)
    for table in ("facts", "verdicts", "findings", "disks", "volumes", "systems"):
        statement = f"SELECT count(*) FROM {table} JOIN machines ON id = machine WHERE machines.name = 'a'"
        assert rows(tmp_path / "results.db", statement) == [(0,)]


def test_another_number_of_the_filesystem_changes_nothing(ledger: Ledger) -> None:
    record(ledger, planned("a"))
    scan_into(ledger, {"a": a_linux_machine()})
    stamps = {path: FileStamp(s.size, s.mtime_ns, s.inode, 99) for path, s in stamps_of([planned("a")]).items()}
    assert ledger.record_plan(plan_of([planned("a")]), stamps, CONDITIONS).unchanged == 1


def test_what_is_gone_keeps_its_results_for_its_return(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, planned("a"), planned("b"))
    scan_into(ledger, {"a": a_linux_machine(), "b": a_linux_machine()})
    stamps = stamps_of([planned("a"), planned("b")])
    assert ledger.record_plan(plan_of([planned("b")]), {"b.vmdk": stamps["b.vmdk"]}, CONDITIONS).gone == 1
    assert ledger.counts()["done"] == 1
    assert rows(tmp_path / "results.db", "SELECT machine FROM machine_readiness") == [("b",)]
    assert record(ledger, planned("a"), planned("b")) == Planned(0, 0, 2, 0, 0)


def test_a_plan_of_a_part_of_the_share_leaves_the_rest_as_it_is(ledger: Ledger) -> None:
    record(ledger, planned("a"), planned("b"), planned("c"))
    scan_into(ledger, {"a": a_linux_machine(), "b": a_linux_machine()})
    stamps = stamps_of([planned("a"), planned("b"), planned("c")])
    part = ledger.record_plan(plan_of([planned("b")]), {"b.vmdk": stamps["b.vmdk"]}, CONDITIONS, whole=False)
    assert part == Planned(0, 0, 1, 0, 0)
    assert ledger.counts() == {"pending": 1, "running": 0, "done": 2, "failed": 0}
    assert names(ledger) == ["c"]


def test_failed_machines_are_tried_again_only_when_asked(ledger: Ledger) -> None:
    machines = [planned(name) for name in ("a", "b", "c")]
    record(ledger, *machines)
    failures = {"a": Failure("crashed", "it crashed"), "b": Failure("io-error", "the disk could not be read")}
    scan_into(ledger, {"c": a_linux_machine()}, failures)
    assert ledger.counts() == {"pending": 0, "running": 0, "done": 1, "failed": 2}
    assert record(ledger, *machines).unchanged == 3
    again = ledger.record_plan(plan_of(machines), stamps_of(machines), CONDITIONS, frozenset({"io-error"}))
    assert (again.continued, again.unchanged) == (1, 2)
    (machine,) = ledger.pending()
    assert (machine.name, machine.attempts) == ("b", ())


def test_attempts_are_counted_and_told_to_who_goes_on(ledger: Ledger) -> None:
    record(ledger, planned("a"))
    end = AttemptEnd(
        outcome="crashed", part="disk0/p1", detail="signal 11", cpu_seconds=0.5, max_rss=1 << 20, reads=3, bytes=99,
        sandbox="full",
    )  # fmt: skip
    with ledger.transaction():
        assert ledger.start_attempt("a") == 1
        ledger.end_attempt("a", end)
    (machine,) = ledger.pending()
    assert machine.attempts == (end,)
    with ledger.transaction():
        assert ledger.start_attempt("a") == 2
    assert ledger.pending() == []
    ledger.end_run("interrupted")
    (machine,) = ledger.pending()
    assert machine.attempts == (end,)
    ledger.begin_run(this_tool(), {}, [AWS])
    assert ledger.start_attempt("a") == 2
    record(ledger, planned("a"), mtime_ns=2)
    (machine,) = ledger.pending()
    assert machine.attempts == ()
    assert ledger.start_attempt("a") == 1


def test_a_run_that_died_is_closed_and_its_machines_are_pending(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "results.db"
    with Ledger.open(path, root) as ledger:
        ledger.begin_run(this_tool(), {}, [AWS])
        record(ledger, planned("a"))
        ledger.start_attempt("a")
    assert rows(path, "SELECT state FROM machines") == [("running",)]
    with Ledger.open(path, root) as ledger:
        assert names(ledger) == ["a"]
        assert ledger.pending()[0].attempts == ()
    assert rows(path, "SELECT ending FROM runs") == [("died",)]
    assert rows(path, "SELECT outcome FROM attempts") == [("interrupted",)]


def test_names_of_any_bytes_come_back(ledger: Ledger, tmp_path: Path) -> None:
    machines = [planned(name) for name in HOSTILE]
    stamps = stamps_of(machines)
    identified = Identified(format="vmdk", extents=(BYTES, "a\\b"), parents=("\u202e",))
    with ledger.transaction():
        for path, stamp in stamps.items():
            ledger.keep_identified(path, stamp, identified)
    assert all(ledger.identified(path, stamp) == identified for path, stamp in stamps.items())
    ledger.record_plan(plan_of(machines, [PathProblem(BYTES, "denied", BYTES)]), stamps, CONDITIONS)
    assert sorted(names(ledger)) == sorted(HOSTILE)
    scan_into(ledger, dict.fromkeys(HOSTILE, a_linux_machine()))
    assert names(ledger) == []
    assert ledger.record_plan(plan_of(machines), stamps, CONDITIONS).unchanged == len(HOSTILE)
    text = str(rows(tmp_path / "results.db", "SELECT name FROM machines UNION SELECT path FROM files"))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_a_file_is_is_kept_while_it_is_unchanged(ledger: Ledger, tmp_path: Path, root: Path) -> None:
    stamp = FileStamp((1 << 63) - 1, -5, (1 << 64) - 1, (1 << 64) - 1)
    identified = Identified(why="unsupported", detail="an archive", sidecar=None)
    ledger.keep_identified("a.zip", stamp, identified)
    assert ledger.identified("a.zip", stamp) == identified
    assert ledger.identified("a.zip", FileStamp(5, -5, stamp.inode, stamp.device)) is None
    assert ledger.identified("b.zip", stamp) is None
    ledger.record_plan(plan_of([]), {"a.zip": stamp}, CONDITIONS)
    assert ledger.identified("a.zip", stamp) == identified
    ledger.record_plan(plan_of([]), {"a.zip": FileStamp(6, 6, 6, 6)}, CONDITIONS)
    assert ledger.identified("a.zip", FileStamp(6, 6, 6, 6)) is None
    ledger.keep_identified("a.zip", stamp, identified)
    ledger.close()
    with Ledger.open(tmp_path / "results.db", root) as later:
        later.begin_run(msgspec.structs.replace(this_tool(), version="another"), {}, [AWS])
        assert later.identified("a.zip", stamp) is None


def test_another_profile_is_judged_from_the_facts(ledger: Ledger, tmp_path: Path) -> None:
    facts = share()
    record(ledger, *[planned(name) for name in facts])
    scan_into(ledger, facts)
    assert list(ledger.unjudged(AWS)) == []
    other = ProfileStamp("other", "1", "0" * 64)
    ledger.end_run("finished")
    ledger.begin_run(this_tool(), {}, [other])
    for name, stored in ledger.unjudged(other):
        assert stored == msgspec.structs.replace(facts[name], name=name)
        ledger.save_verdict(name, other.digest, judge(stored, AWS))
    assert list(ledger.unjudged(other)) == []
    assert list(ledger.unjudged(AWS)) == []
    counted = rows(tmp_path / "results.db", "SELECT profile, count(*) FROM verdicts GROUP BY profile")
    assert counted == [(1, len(facts)), (2, len(facts))]
    assert rows(tmp_path / "results.db", "SELECT DISTINCT profile FROM machine_readiness") == [("other",)]


def test_doing_all_again_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    facts = share()
    machines = [planned(name) for name in facts]
    record(ledger, *machines)
    scan_into(ledger, facts)
    tables = ("facts", "disks", "volumes", "systems", "verdicts", "findings", "requirements", "machine_files")

    def content() -> list[object]:
        return [rows(tmp_path / "results.db", f"SELECT * FROM {table}") for table in tables]

    before = content()
    for name, machine in facts.items():
        ledger.start_attempt(name)
        ledger.end_attempt(name, AttemptEnd(outcome="done"))
        machine = msgspec.structs.replace(machine, name=name)  # noqa: PLW2901 - the same under its name
        ledger.finish(name, machine, {AWS.digest: judge(machine, AWS)})
    record(ledger, *machines)
    assert content() == before


def test_a_transaction_that_fails_keeps_nothing(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, planned("a"))
    facts = a_linux_machine()

    def finish() -> None:
        with ledger.transaction():
            ledger.start_attempt("a")
            ledger.end_attempt("a", AttemptEnd(outcome="done"))
            ledger.finish("a", facts, {AWS.digest: judge(facts, AWS)}, fingerprints={"a.vmdk": "f00d"})
            if not again:
                raise RuntimeError

    again = False
    with pytest.raises(RuntimeError):
        finish()
    assert names(ledger) == ["a"]
    for table in ("facts", "findings", "requirements", "attempts"):
        assert rows(tmp_path / "results.db", f"SELECT count(*) FROM {table}") == [(0,)]
    again = True
    finish()
    assert names(ledger) == []
    assert rows(tmp_path / "results.db", "SELECT fingerprint FROM files") == [("f00d",)]
    orphans = "SELECT count(*) FROM findings WHERE requirement NOT IN (SELECT id FROM requirements)"
    assert rows(tmp_path / "results.db", orphans) == [(0,)]


def test_sizes_that_no_database_holds_do_not_stop_it(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, planned("a"))
    facts = with_disk(a_linux_machine(), virtual_size=(1 << 64) - 512)
    scan_into(ledger, {"a": facts})
    assert rows(tmp_path / "results.db", "SELECT virtual_size FROM disks") == [((1 << 63) - 1,)]


def test_roles_of_files(ledger: Ledger, tmp_path: Path) -> None:
    files = ("m/base.vhd", "m/d.ovf", "m/d.vmdk", "m/d-flat.vmdk", "m/notes.txt")
    kinds = {
        "m/d.vmdk": Identified(format="vmdk", extents=("d-flat.vmdk",)),
        "m/d-flat.vmdk": Identified(format="raw"),
        "m/base.vhd": Identified(format="vhd"),
        "m/d.ovf": Identified(sidecar="an OVF descriptor", sidecar_disks=("d.vmdk",)),
        "m/notes.txt": Identified(why="unsupported", detail="text"),
    }
    machine = PlannedMachine(name="m/d", disks=("m/d.vmdk",), files=files, reason="an OVF descriptor")
    stamps = stamps_of([machine])
    for path, kind in kinds.items():
        ledger.keep_identified(path, stamps[path], kind)
    ledger.record_plan(plan_of([machine]), stamps, CONDITIONS)
    assert rows(tmp_path / "results.db", "SELECT path, role, position FROM files_of_machines") == [
        ("m/d.vmdk", "disk", 0),
        ("m/base.vhd", "parent", None),
        ("m/d-flat.vmdk", "extent", None),
        ("m/d.ovf", "sidecar", None),
        ("m/notes.txt", "other", None),
    ]


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "results.db"
    code = (
        "import sys, time, pathlib\nfrom imgscan.batch.ledger import Ledger\n"
        "ledger = Ledger.open(*map(pathlib.Path, sys.argv[1:]))\nprint('open', flush=True)\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(path), str(root)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(UsageError, match=rf"another imgscan batch \(process {other.pid}\) writes it"):
        Ledger.open(path, root)
    other.kill()
    other.wait()
    other.stdout.close()
    with Ledger.open(path, root), pytest.raises(UsageError, match="this process writes it already"):
        Ledger.open(path, root)
    Ledger.open(path, root).close()


def test_a_worker_that_was_forked_does_not_keep_the_lock(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "results.db"
    code = (
        "import os, sys, time, pathlib\nfrom imgscan.batch.ledger import Ledger\n"
        "ledger = Ledger.open(*map(pathlib.Path, sys.argv[1:]))\n"
        "if os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n    os._exit(0)\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(path), str(root)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    child = int(other.stdout.readline())
    other.kill()
    other.wait()
    other.stdout.close()
    try:
        Ledger.open(path, root).close()
    finally:
        os.kill(child, 9)


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path, root: Path) -> None:
    image = tmp_path / "disk.vmdk"
    image.write_bytes(b"KDMV" + bytes(5000))
    database = tmp_path / "other.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    for path, words in ((image, "another kind of file"), (database, "a database of another program")):
        before = path.read_bytes()
        with pytest.raises(UsageError, match=words):
            Ledger.open(path, root)
        assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.vmdk", "other.db", "share"]


def test_another_root_a_newer_schema_and_a_place_inside_the_share_are_refused(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "results.db"
    Ledger.open(path, root).close()
    (tmp_path / "else").mkdir()
    with pytest.raises(UsageError, match=r"results of another folder, .*share"):
        Ledger.open(path, tmp_path / "else")
    with pytest.raises(UsageError, match="inside the share"):
        Ledger.open(root / "results.db", root)
    with pytest.raises(UsageError, match="folder does not exist"):
        Ledger.open(tmp_path / "nowhere" / "results.db", root)
    with pytest.raises(UsageError, match="no regular file"):
        Ledger.open(Path("/dev/null"), root)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(UsageError, match="a newer imgscan made it"):
        Ledger.open(path, root)
    assert list(root.iterdir()) == []


def test_an_empty_file_becomes_a_ledger_and_a_damaged_one_is_said(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "results.db"
    path.touch()
    with Ledger.open(path, root) as ledger:
        ledger.begin_run(this_tool(), {}, [AWS])
        record(ledger, *[planned(name) for name in share()])
        scan_into(ledger, share())
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger.open(path, root)


def test_a_name_that_is_not_planned_is_a_bug_that_is_seen(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.start_attempt("nobody")


def test_five_thousand_unchanged_machines_cost_little(tmp_path: Path, root: Path) -> None:
    machines = [planned(f"m{number}", f"m{number}.vmdk", f"m{number}_1.vmdk") for number in range(5000)]
    plan, stamps = plan_of(machines), stamps_of(machines)
    with Ledger.open(tmp_path / "results.db", root) as ledger:
        ledger.begin_run(this_tool(), {}, [AWS])
        with ledger.transaction():
            for path, stamp in stamps.items():
                ledger.keep_identified(path, stamp, Identified(format="vmdk"))
            ledger.record_plan(plan, stamps, CONDITIONS)
    connection = sqlite3.connect(tmp_path / "results.db")
    connection.execute("UPDATE machines SET state = 'done'")
    connection.commit()
    connection.close()
    started = time.process_time()
    with Ledger.open(tmp_path / "results.db", root) as ledger:
        ledger.begin_run(this_tool(), {}, [AWS])
        assert all(ledger.identified(path, stamp) is not None for path, stamp in stamps.items())
        assert ledger.record_plan(plan, stamps, CONDITIONS).unchanged == 5000
        assert ledger.pending() == []
    assert time.process_time() - started < 2.0  # measured: 0.3 s


def test_one_result_costs_little(ledger: Ledger) -> None:
    facts = a_linux_machine()
    verdict = judge(facts, AWS)
    machines = [planned(f"m{number}") for number in range(200)]
    record(ledger, *machines)
    started = time.process_time()
    with ledger.transaction():
        for machine in machines:
            ledger.start_attempt(machine.name)
            ledger.end_attempt(machine.name, AttemptEnd(outcome="done"))
            ledger.finish(machine.name, facts, {AWS.digest: verdict})
    assert (time.process_time() - started) / len(machines) < 0.004  # measured: below 0.001 s
