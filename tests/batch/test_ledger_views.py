"""The views answer what people ask, in plain SQL, as Datasette or the sqlite3 shell would ask it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from share_ledger import make_share_ledger, share


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = make_share_ledger(tmp_path_factory.mktemp("views") / "results.db")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.execute("PRAGMA query_only = ON")
    yield connection
    connection.close()


def test_readiness_of_every_machine(database: sqlite3.Connection) -> None:
    found = database.execute("SELECT machine, state, readiness, blockers, failure FROM machine_readiness").fetchall()
    assert [row[0] for row in found] == sorted([*share(), "lab/crash", "lab/unreached"])
    by_name = {row[0]: row[1:] for row in found}
    assert by_name["lab/debian"] == ("done", "ready", None, None)
    assert by_name["lab/large"] == ("done", "not-ready", "boot-disk-too-large", None)
    assert by_name["lab/efi"] == ("done", "not-ready", "boot-disk-not-mbr, efi-boot-unsupported", None)
    assert by_name["lab/unreached"] == ("pending", None, None, None)
    assert by_name["lab/crash"][:2] == ("failed", "undecided")
    assert by_name["lab/crash"][3] == "crashed"


def test_counts_by_rule(database: sqlite3.Connection) -> None:
    found = dict(database.execute("SELECT rule, failed FROM rule_counts WHERE failed > 0").fetchall())
    assert found == {
        "boot-disk-too-large": 2,
        "boot-disk-not-mbr": 2,
        "efi-boot-unsupported": 2,
        "damaged-image": 1,
    }


def test_what_blocks_most_machines(database: sqlite3.Connection) -> None:
    found = database.execute("SELECT rule, machines, alone FROM blocking_rules").fetchall()
    assert found[0] == ("boot-disk-too-large", 2, 2)
    assert ("efi-boot-unsupported", 2, 0) in found


def test_systems_failures_and_what_was_not_scanned(database: sqlite3.Connection) -> None:
    assert database.execute("SELECT product, machines FROM system_counts").fetchall() == [
        ("Debian GNU/Linux 8 (jessie)", 5),
        ("Windows Server 2016 Standard", 2),
    ]
    assert database.execute("SELECT * FROM failure_counts").fetchall() == [("crashed", 1, "lab/crash")]
    found = set(database.execute("SELECT what, kind, why FROM not_scanned").fetchall())
    assert found == {
        ("lab/crash", "machine", "crashed"),
        ("lab/unreached", "machine", "pending"),
        ("secret", "path", "denied"),
    }


def test_evidence_and_facts_are_json_that_sql_reads(database: sqlite3.Connection) -> None:
    statement = "SELECT json_extract(evidence, '$[0].where') FROM machine_findings WHERE rule = 'boot-disk-too-large'"
    assert ("disk0",) in database.execute(statement).fetchall()
    statement = (
        "SELECT json_extract(json, '$.boot.firmware.value') FROM facts JOIN machines ON id = machine WHERE name = ?"
    )
    assert database.execute(statement, ("lab/efi",)).fetchall() == [("uefi",)]


def test_copies_are_told_by_their_fingerprint(tmp_path: Path) -> None:
    path = make_share_ledger(tmp_path / "results.db")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE files SET fingerprint = 'f00d' WHERE path IN ('lab/efi.vmdk', 'lab/debian.vmdk')")
    connection.execute("UPDATE files SET fingerprint = 'beef' WHERE path = 'lab/large.vmdk'")
    found = connection.execute("SELECT fingerprint, path FROM duplicate_files").fetchall()
    connection.close()
    assert found == [("f00d", "lab/debian.vmdk"), ("f00d", "lab/efi.vmdk")]


def test_every_view_answers(database: sqlite3.Connection) -> None:
    views = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
    assert len(views) >= 10
    for view in views:
        rows = database.execute(f"SELECT * FROM {view}").fetchall()
        assert bool(rows) == (view != "duplicate_files"), view
