"""The ledger: what a batch has found, tried and learnt, in one SQLite database, written by one process.

What a caller was told is done survives `kill -9` at any moment: `transaction` returns after the data is on the disk.
Everything may be repeated: after `LedgerUnavailable` nothing of the transaction was kept, and doing the same again
gives the same rows. The tables and views are documented in `ledger_schema.sql` and docs/ledger.md.

A batch goes like this::

    with Ledger.open(path, root) as ledger:
        ledger.begin_run(this_tool(), options, profiles)
        ...discovery asks ledger.identified(path, stamp), and keeps what it learns: ledger.keep_identified(...)
        ledger.record_plan(plan, stamps, conditions)
        for profile in profiles:                       # facts are there, this profile's verdict is not
            for name, facts in ledger.unjudged(profile):
                ledger.save_verdict(name, profile.digest, judge(facts, profile))
        for machine in ledger.pending():
            with ledger.transaction():                 # of as many machines as are at hand
                ledger.start_attempt(machine.name)
            ...
            with ledger.transaction():
                ledger.end_attempt(machine.name, AttemptEnd(outcome="done", ...))
                ledger.finish(machine.name, facts, {profile.digest: verdict})
        ledger.end_run("finished")
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import os
import socket
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from imgscan.batch.ledger_file import open_writer, typed_errors
from imgscan.batch.share import FileStamp, Identified, PathProblem, Plan, PlannedMachine
from imgscan.batch.written_names import restored, written
from imgscan.errors import LedgerError, UsageError, Why
from imgscan.model.fact import Fact
from imgscan.model.machine import MachineFacts, Tool
from imgscan.model.profile import Profile
from imgscan.model.report import ProfileStamp, Verdict
from imgscan.model.text import shown
from imgscan.model.volume import Volume
from imgscan.reports.json import compact, harmless
from imgscan.version import VERSION

Ending = Literal["finished", "interrupted", "failed"]
FailureClass = Why | Literal["killed"]
"""Why a machine failed; `killed` is a worker that something outside ended."""
Outcome = FailureClass | Literal["done", "interrupted"]
State = Literal["pending", "running", "done", "failed"]
TABLES_OF_FACTS = ("facts", "disks", "volumes", "systems", "unread", "verdicts", "findings")
LARGEST = (1 << 63) - 1
"""SQLite's largest integer; a larger size (from a hostile image) is stored as this, and exactly in the facts."""


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended and what it took.

    `part` is what failed (a disk, a stage), `detail` one sentence; `max_rss` and `bytes` in bytes; `sandbox` is the
    level of isolation that was reached.
    """

    outcome: Outcome
    part: str | None = None
    detail: str | None = None
    cpu_seconds: float | None = None
    max_rss: int | None = None
    reads: int | None = None
    bytes: int | None = None
    sandbox: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a machine is in the end `failed`; `detail` is one sentence that is the same in each run."""

    kind: FailureClass
    detail: str


class PendingMachine(msgspec.Struct, frozen=True):
    """A machine to scan, and how the attempts on the same inputs ended before (interrupted ones left out)."""

    name: str
    attempts: tuple[AttemptEnd, ...]


class Planned(msgspec.Struct, frozen=True):
    """What `record_plan` found: machines that are new, changed, unchanged (skipped), to be continued, and gone."""

    new: int
    changed: int
    unchanged: int
    continued: int
    gone: int


def inputs_key(machine: PlannedMachine, stamps: Mapping[str, FileStamp], conditions: str) -> str:
    """Return the digest that tells whether a machine has to be read again.

    It covers names, order and stamps of its files, and `conditions`: what else decides what is read (imgscan's
    version, the options and limits). The number of the filesystem is left out: a mount may change it.
    """
    stamped = [
        (path, (stamp.size, stamp.mtime_ns, stamp.inode) if stamp is not None else None)
        for path, stamp in ((path, stamps.get(path)) for path in machine.files)
    ]
    what = repr((conditions, machine.disks, stamped))
    return hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()


class Ledger:
    """The one writer of a ledger. Not for use by several threads, nor in a forked child."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, close: Callable[[], None], now: Callable[[], str]
    ) -> None:
        self._connection = connection
        self._path = path
        self._close = close
        self._now = now
        self._run: int | None = None
        self._tool = VERSION
        self._profiles: dict[str, int] = {}
        self._requirements: dict[tuple[str | None, ...], int] | None = None
        self._identified: dict[str, tuple[int, int, int, str]] | None = None

    @classmethod
    def open(cls, path: Path, root: Path, now: Callable[[], str] | None = None) -> Self:
        """Open or create the ledger at `path` for the share at `root`, and take the right to write it.

        A run that died is closed: what it was at is pending again. `now` gives the time as text, for tests.

        :raises UsageError: it is that of another root, of another program, of a newer imgscan, on a network filesystem,
            below `root` (nothing is written there), or another process writes it
        :raises LedgerError: it is damaged, or cannot be written
        """
        path, root = path.resolve(), root.resolve()
        if path.is_relative_to(root):
            raise UsageError(
                f"it lies inside the share ({root}), where nothing is ever written; give another --db", where=str(path)
            )
        connection, lock = open_writer(path)

        def close() -> None:
            connection.close()
            lock.close()

        ledger = cls(connection, path, close, now or _utc_now)
        try:
            ledger._check_root(root)
            ledger._close_dead_runs()
        except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
            close()
            raise
        return ledger

    def close(self) -> None:
        """Write the log back into the database and release the lock."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside the block one transaction, which is on the disk when the block is left.

        Inside another transaction it does nothing. When the block raises, nothing is kept.

        :raises LedgerUnavailable: nothing was kept; the block may be run again, now or later
        :raises LedgerError: the database cannot be used at all
        """
        if self._connection.in_transaction:
            yield
            return
        with typed_errors(self._path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
                self._roll_back()
                raise

    def begin_run(self, tool: Tool, options: Mapping[str, Any], profiles: Sequence[Profile | ProfileStamp]) -> int:
        """Record that a run starts; its number is returned. `options` are for people, as plain values."""
        with self.transaction():
            run = self._insert(
                "INSERT INTO runs (started, tool, options, host, pid) VALUES (?, ?, ?, ?, ?)",
                (self._now(), _json(tool), _json(options), socket.gethostname(), os.getpid()),
            )
            numbers = {}
            for position, profile in enumerate(profiles):
                numbers[profile.digest] = self._profile(profile)
                self._execute("INSERT INTO run_profiles VALUES (?, ?, ?)", (run, position, numbers[profile.digest]))
        self._run, self._tool, self._profiles = run, tool.version, numbers
        return run

    def end_run(self, ending: Ending) -> None:
        """Record that the run ended; machines that were at work are pending again, without an attempt counted."""
        with self.transaction():
            self._interrupt()
            self._execute("UPDATE runs SET ended = ?, ending = ? WHERE id = ?", (self._now(), ending, self._the_run()))

    def identified(self, path: str, stamp: FileStamp) -> Identified | None:
        """Return what this version of imgscan found a file to be, when it has not changed since; else None."""
        if self._identified is None:  # all at once, until the plan is recorded: discovery asks for each file
            with typed_errors(self._path):
                self._identified = {
                    path: (size, mtime_ns, inode, text)
                    for path, size, mtime_ns, inode, text in self._connection.execute(
                        "SELECT path, size, mtime_ns, inode, identified FROM files "
                        "WHERE identified IS NOT NULL AND identified_by = ?",
                        (self._tool,),
                    )
                }
        row = self._identified.get(written(path))
        return _parse_identified(row[3]) if row is not None and row[:3] == tuple(_columns(stamp)[:3]) else None

    def keep_identified(self, path: str, stamp: FileStamp, identified: Identified) -> None:
        """Keep what a file is. Call it inside a `transaction` of many."""
        with self.transaction():
            self._execute(
                "INSERT INTO files (path, size, mtime_ns, inode, device, present, format, identified, identified_by) "
                "VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET size = excluded.size, "
                "fingerprint = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns AND "
                "inode = excluded.inode THEN fingerprint END, mtime_ns = excluded.mtime_ns, inode = excluded.inode, "
                "device = excluded.device, present = 1, format = excluded.format, identified = excluded.identified, "
                "identified_by = excluded.identified_by",
                (
                    *(written(path), *_columns(stamp), identified.format),
                    *(_identified_json(identified), self._tool),
                ),
            )

    def record_plan(
        self,
        plan: Plan,
        stamps: Mapping[str, FileStamp],
        conditions: str,
        retry: frozenset[FailureClass] = frozenset(),
        *,
        whole: bool = True,
    ) -> Planned:
        """Record what is on the share now, and decide what has to be scanned (`pending`).

        `stamps` are those of all files that were found, `conditions` as for `inputs_key`. A machine whose inputs are
        the same keeps its results, also after it was gone for a time; failed ones are tried again when their class is
        in `retry`, as if for the first time. A changed machine loses its results. Machines and files that are not in
        the plan are gone, unless it is not about the `whole` share (`--include`, `--newer-than`, ...): then what it
        does not speak of stays as it was, but for machines of which a disk is now one of another machine.
        """
        with self.transaction():
            numbers = self._record_files(stamps, whole=whole)
            planned = self._record_machines(plan, stamps, numbers, conditions, retry, whole=whole)
            told = None if whole else {written(path) for path in stamps}
            self._record_paths("path_problems", plan.problems, told)
            self._record_paths("other_files", plan.others, told)
            if not whole:  # what was left out of this run can be a file of a machine that is known
                self._execute("DELETE FROM other_files WHERE path IN (SELECT path FROM files_of_machines)")
        self._identified = None
        return planned

    def pending(self) -> list[PendingMachine]:
        """Return the machines that wait to be scanned, by name."""
        with typed_errors(self._path):
            ends: dict[str, list[AttemptEnd]] = {}
            for name, *values in self._connection.execute(
                "SELECT name, outcome, part, attempts.detail, cpu_seconds, max_rss, reads, bytes, sandbox "
                "FROM attempts JOIN machines ON machines.id = machine AND machines.inputs = attempts.inputs "
                "WHERE present AND state = 'pending' AND outcome <> 'interrupted' ORDER BY name, run, number"
            ):
                ends.setdefault(name, []).append(
                    AttemptEnd(**dict(zip(AttemptEnd.__struct_fields__, values, strict=True)))
                )
            names = self._connection.execute(
                "SELECT name FROM machines WHERE present AND state = 'pending' ORDER BY name"
            ).fetchall()
        return sorted(
            (PendingMachine(restored(name), tuple(ends.get(name, ()))) for (name,) in names), key=lambda m: m.name
        )

    def start_attempt(self, name: str) -> int:
        """Record that a machine is being read; returns the attempt's number on these inputs, from 1.

        It need not be on the disk before the work starts: what is lost with it is pending again.
        """
        with self.transaction():
            machine, inputs = self._machine(name)
            (number,) = self._execute(
                "SELECT count(*) + 1 FROM attempts WHERE machine = ? AND inputs = ? "
                "AND (ended IS NOT NULL AND outcome <> 'interrupted')",
                (machine, inputs),
            ).fetchone()
            self._execute(
                "INSERT OR REPLACE INTO attempts (machine, run, number, inputs, started) VALUES (?, ?, ?, ?, ?)",
                (machine, self._the_run(), number, inputs, self._now()),
            )
            self._execute("UPDATE machines SET state = 'running' WHERE id = ?", (machine,))
        return int(number)

    def end_attempt(self, name: str, end: AttemptEnd) -> None:
        """Record how the attempt at a machine ended. It is pending again unless `finish` follows."""
        with self.transaction():
            machine, _ = self._machine(name)
            self._execute(
                "UPDATE attempts SET ended = ?, outcome = ?, part = ?, detail = ?, cpu_seconds = ?, max_rss = ?, "
                "reads = ?, bytes = ?, sandbox = ? WHERE machine = ? AND run = ? AND ended IS NULL",
                (
                    *(self._now(), end.outcome, _text(end.part), _text(end.detail), end.cpu_seconds, end.max_rss),
                    *(end.reads, end.bytes, end.sandbox, machine, self._the_run()),
                ),
            )
            self._execute("UPDATE machines SET state = 'pending' WHERE id = ?", (machine,))

    def finish(
        self,
        name: str,
        facts: MachineFacts,
        verdicts: Mapping[str, Verdict],
        failure: Failure | None = None,
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        """Record a machine's results: it is `done`, or `failed` when `failure` says why.

        `facts` of a failed machine are what was learnt (`imgscan.batch.recovery.cut_short` also makes those of one of
        which nothing was). `verdicts` are by the profile's digest; `fingerprints` by path.
        """
        with self.transaction():
            machine, _ = self._machine(name)
            if self._execute("SELECT 1 FROM facts WHERE machine = ?", (machine,)).fetchone() is not None:
                self._forget(machine)
            self._keep_facts(machine, facts)
            for digest, verdict in verdicts.items():
                self._keep_verdict(machine, digest, verdict)
            for path, fingerprint in (fingerprints or {}).items():
                self._execute("UPDATE files SET fingerprint = ? WHERE path = ?", (fingerprint, written(path)))
            kind, detail = (None, None) if failure is None else (failure.kind, shown(failure.detail))
            self._execute(
                "UPDATE machines SET state = ?, failure = ?, detail = ? WHERE id = ?",
                ("done" if failure is None else "failed", kind, detail, machine),
            )

    def unjudged(self, profile: Profile | ProfileStamp) -> Iterator[tuple[str, MachineFacts]]:
        """Yield each machine whose facts are there while this profile's verdict is not, by name.

        Verdicts may be saved meanwhile.
        """
        with typed_errors(self._path):
            missing = self._connection.execute(
                "SELECT id, name FROM machines WHERE present AND state IN ('done', 'failed') AND id NOT IN (SELECT "
                "machine FROM verdicts JOIN profiles ON profiles.id = profile WHERE digest = ?) ORDER BY name",
                (profile.digest,),
            ).fetchall()
        for machine, name in missing:
            with typed_errors(self._path):
                row = self._connection.execute("SELECT json FROM facts WHERE machine = ?", (machine,)).fetchone()
            if row is not None:
                yield restored(name), parse_facts(row[0], self._path)

    def save_verdict(self, name: str, digest: str, verdict: Verdict) -> None:
        """Keep what one of the run's profiles makes of a machine's stored facts. Call it inside a `transaction`."""
        with self.transaction():
            machine, _ = self._machine(name)
            for table in ("verdicts", "findings"):
                self._execute(
                    f"DELETE FROM {table} WHERE machine = ? AND profile = ?",  # noqa: S608 - two names of ours
                    (machine, self._profiles[digest]),
                )
            self._keep_verdict(machine, digest, verdict)

    def counts(self) -> dict[State, int]:
        """Return how many of the machines that are there are in each state."""
        found: dict[State, int] = {"pending": 0, "running": 0, "done": 0, "failed": 0}
        with typed_errors(self._path):
            found.update(
                self._connection.execute("SELECT state, count(*) FROM machines WHERE present GROUP BY state").fetchall()
            )
        return found

    # What stands behind them.

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _insert(self, statement: str, values: Sequence[Any]) -> int:
        row = self._execute(statement, values).lastrowid
        assert row is not None, "an INSERT has a row"  # noqa: S101 - for the type checker
        return row

    def _roll_back(self) -> None:
        self._requirements = None  # numbers that were given may be gone
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite does it by itself when the connection is used next
                self._execute("ROLLBACK")

    def _the_run(self) -> int:
        if self._run is None:
            raise RuntimeError("begin_run comes first")
        return self._run

    def _check_root(self, root: Path) -> None:
        with self.transaction():
            row = self._execute("SELECT root FROM ledger").fetchone()
            if row is None:
                self._execute("INSERT INTO ledger VALUES (?, ?)", (written(str(root)), self._now()))
            elif row[0] != written(str(root)):
                raise UsageError(
                    f"it holds the results of another folder, {row[0]}; give another --db for {root}",
                    where=str(self._path),
                )

    def _close_dead_runs(self) -> None:
        with self.transaction():
            self._interrupt()
            self._execute("UPDATE runs SET ended = ?, ending = 'died' WHERE ended IS NULL", (self._now(),))

    def _interrupt(self) -> None:
        self._execute("UPDATE attempts SET ended = ?, outcome = 'interrupted' WHERE ended IS NULL", (self._now(),))
        self._execute("UPDATE machines SET state = 'pending' WHERE state = 'running'")

    def _profile(self, profile: Profile | ProfileStamp) -> int:
        row = self._execute("SELECT id FROM profiles WHERE digest = ?", (profile.digest,)).fetchone()
        if row is not None:
            return int(row[0])
        return self._insert(
            "INSERT INTO profiles (name, version, digest) VALUES (?, ?, ?)",
            (shown(profile.name), shown(profile.version), profile.digest),
        )

    def _machine(self, name: str) -> tuple[int, str]:
        row = self._execute("SELECT id, inputs FROM machines WHERE name = ?", (written(name),)).fetchone()
        if row is None:
            raise KeyError(name)
        return row[0], row[1]

    def _record_files(self, stamps: Mapping[str, FileStamp], *, whole: bool) -> dict[str, int]:
        """Bring `files` up to date; returns the rows' numbers by path."""
        known = {
            path: (number, columns, present)
            for number, path, present, *columns in self._execute(
                "SELECT id, path, present, size, mtime_ns, inode, device FROM files"
            )
        }
        numbers = {}
        for path, stamp in stamps.items():
            text, columns = written(path), _columns(stamp)
            there = known.pop(text, None)
            if there is None:
                numbers[path] = self._insert(
                    "INSERT INTO files (path, size, mtime_ns, inode, device, present) VALUES (?, ?, ?, ?, ?, 1)",
                    (text, *columns),
                )
                continue
            numbers[path], before, present = there
            if before[:3] != columns[:3]:
                self._execute(
                    "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, device = ?, present = 1, format = NULL, "
                    "identified = NULL, identified_by = NULL, fingerprint = NULL WHERE id = ?",
                    (*columns, numbers[path]),
                )
            elif before != columns or not present:
                self._execute("UPDATE files SET device = ?, present = 1 WHERE id = ?", (columns[3], numbers[path]))
        self._connection.executemany(
            "UPDATE files SET present = 0 WHERE id = ?",
            [(number,) for number, _, present in known.values() if present and whole],
        )
        return numbers

    def _record_machines(
        self,
        plan: Plan,
        stamps: Mapping[str, FileStamp],
        numbers: Mapping[str, int],
        conditions: str,
        retry: frozenset[FailureClass],
        *,
        whole: bool,
    ) -> Planned:
        known = {
            row[0]: row[1:]
            for row in self._execute("SELECT name, id, inputs, state, reason, present, failure FROM machines")
        }
        new = changed = unchanged = continued = 0
        for planned in plan.machines:
            name, reason = written(planned.name), shown(planned.reason)
            inputs = inputs_key(planned, stamps, conditions)
            there = known.pop(name, None)
            if there is None:
                machine = self._insert(
                    "INSERT INTO machines (name, reason, present, state, inputs) VALUES (?, ?, 1, 'pending', ?)",
                    (name, reason, inputs),
                )
                self._record_machine_files(machine, planned, numbers)
                new += 1
                continue
            machine, inputs_before, state, reason_before, present, failure = there
            if inputs != inputs_before:
                self._renew(machine, inputs)
                self._execute("DELETE FROM machine_files WHERE machine = ?", (machine,))
                self._record_machine_files(machine, planned, numbers)
                changed += 1
            elif state == "failed" and failure in retry:
                self._execute("DELETE FROM attempts WHERE machine = ? AND inputs = ?", (machine, inputs))
                self._renew(machine, inputs)
                continued += 1
            elif state in {"done", "failed"}:
                unchanged += 1
            else:
                continued += 1
            if reason != reason_before or not present:
                self._execute("UPDATE machines SET reason = ?, present = 1 WHERE id = ?", (reason, machine))
        gone = [(machine,) for machine, *_, present, _ in known.values() if present]
        if not whole:
            taken = self._machines_with_disks(path for planned in plan.machines for path in planned.disks)
            gone = [(machine,) for (machine,) in gone if machine in taken]
        self._connection.executemany("UPDATE machines SET present = 0 WHERE id = ?", gone)
        return Planned(new, changed, unchanged, continued, len(gone))

    def _machines_with_disks(self, paths: Iterable[str]) -> set[int]:
        """Return all machines that have one of these for a disk."""
        disks = {written(path) for path in paths}
        rows = self._execute(
            "SELECT machine, path FROM machine_files JOIN files ON files.id = file WHERE position IS NOT NULL"
        )
        return {machine for machine, path in rows if path in disks}

    def _renew(self, machine: int, inputs: str) -> None:
        self._forget(machine)
        self._execute(
            "UPDATE machines SET inputs = ?, state = 'pending', failure = NULL, detail = NULL WHERE id = ?",
            (inputs, machine),
        )

    def _record_machine_files(self, machine: int, planned: PlannedMachine, numbers: Mapping[str, int]) -> None:
        positions = {path: position for position, path in enumerate(planned.disks)}
        kinds: dict[str, Identified | None] = {}
        for path in planned.files:
            row = self._execute("SELECT identified FROM files WHERE path = ?", (written(path),)).fetchone()
            kinds[path] = None if row is None or row[0] is None else _parse_identified(row[0])
        extents = {name for kind in kinds.values() if kind is not None for name in kind.extents}
        for path, kind in kinds.items():
            if path not in numbers:
                continue  # it was seen in a folder and vanished before it could be looked at
            if path in positions:
                role = "disk"
            elif kind is not None and kind.sidecar is not None:
                role = "sidecar"
            elif path.rpartition("/")[2] in extents:
                role = "extent"
            else:
                role = "other" if kind is None or kind.format is None else "parent"
            self._execute(
                "INSERT INTO machine_files VALUES (?, ?, ?, ?)", (machine, numbers[path], role, positions.get(path))
            )

    def _record_paths(self, table: str, problems: Iterable[PathProblem], told: set[str] | None) -> None:
        """Replace the rows of `path_problems` or `other_files` where they differ.

        `told` are the files that a run over a part of the share found: what is known of other paths stays.
        """
        wanted = {(written(problem.path), problem.why, shown(problem.detail)) for problem in problems}
        there = set(self._execute(f"SELECT path, why, detail FROM {table}").fetchall())  # noqa: S608 - a name of ours
        if told is not None:
            told = {*told, *(path for path, _, _ in wanted)}
            there = {row for row in there if row in wanted or row[0] in told}
        self._connection.executemany(
            f"DELETE FROM {table} WHERE path = ? AND why = ? AND detail = ?",  # noqa: S608 - the same
            there - wanted,
        )
        self._connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", wanted - there)  # noqa: S608 - the same

    def _forget(self, machine: int) -> None:
        for table in TABLES_OF_FACTS:
            self._execute(f"DELETE FROM {table} WHERE machine = ?", (machine,))  # noqa: S608 - a fixed list of ours

    def _keep_facts(self, machine: int, facts: MachineFacts) -> None:
        self._execute("INSERT INTO facts VALUES (?, ?)", (machine, harmless(compact(facts)).decode()))
        many = self._connection.executemany
        many(
            "INSERT INTO disks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(machine, position, disk.name, _text(disk.path), disk.format, _text(disk.variant)),
                    *(_size(disk.virtual_size), None if disk.partition_table is None else disk.partition_table.scheme),
                    len(disk.problems) + len(() if disk.partition_table is None else disk.partition_table.problems),
                )
                for position, disk in enumerate(facts.disks)
            ],
        )
        many(
            "INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(machine, position, _text(volume.name), volume.kind, _text(volume.content), _size(volume.size)),
                    _size(volume.free.value.bytes)
                    if volume.free and volume.free.is_known and volume.free.value
                    else None,
                    *(_fact(volume.label), _fact(volume.uuid), _why_unread(volume)),
                )
                for position, volume in enumerate(facts.volumes)
            ],
        )
        many(
            "INSERT INTO systems VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(machine, position, system.family, _text(system.root), _fact(system.id), _fact(system.version)),
                    *(_fact(system.product), _fact(system.edition), _fact(system.architecture), _fact(system.kernel)),
                    *(_fact(system.bootloader), _fact(system.hostname)),
                )
                for position, system in enumerate(facts.systems)
            ],
        )
        many(
            "INSERT INTO unread VALUES (?, ?, ?, ?, ?)",
            [
                (machine, position, _text(place.where), place.why, _text(place.detail))
                for position, place in enumerate(facts.unread)
            ],
        )

    def _keep_verdict(self, machine: int, digest: str, verdict: Verdict) -> None:
        profile = self._profiles[digest]
        self._execute("INSERT INTO verdicts VALUES (?, ?, ?)", (machine, profile, verdict.readiness))
        self._connection.executemany(
            "INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(machine, profile, position, finding.rule, finding.severity, finding.system, finding.outcome),
                    *(_text(finding.summary), harmless(compact(finding.evidence)).decode()),
                    self._requirement(
                        finding.requirement.text,
                        finding.requirement.source,
                        finding.requirement.date,
                        finding.remedy,
                        finding.predicts,
                    ),
                )
                for position, finding in enumerate(verdict.findings)
            ],
        )

    def _requirement(self, *texts: str | None) -> int:
        if self._requirements is None:
            self._requirements = {
                tuple(row): number
                for number, *row in self._execute("SELECT id, text, source, date, remedy, predicts FROM requirements")
            }
        number = self._requirements.get(texts)
        if number is None:
            number = self._requirements[texts] = self._insert(
                "INSERT INTO requirements (text, source, date, remedy, predicts) VALUES (?, ?, ?, ?, ?)", texts
            )
        return number


def parse_facts(text: str, where: Path) -> MachineFacts:
    """Return the facts that the ledger holds as JSON.

    :raises LedgerError: they are not what this version of imgscan wrote
    """
    try:
        return _FACTS.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerError(
            f"it holds facts that this imgscan does not read ({error}); scan again", where=str(where)
        ) from error


_FACTS = msgspec.json.Decoder(MachineFacts)
_IDENTIFIED = msgspec.json.Decoder(Identified)


def _utc_now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any) -> str:
    return compact(value).decode()


def _text(text: str | None) -> str | None:
    return None if text is None else shown(text)


def _fact(fact: Fact[Any] | None) -> str | None:
    return None if fact is None or not fact.is_known or fact.value is None else shown(str(fact.value))


def _size(size: int | None) -> int | None:
    return None if size is None else min(size, LARGEST)


def _why_unread(volume: Volume) -> str | None:
    for fact in (volume.signature, volume.readable):
        if fact is not None and not fact.is_known:
            return str(fact.unread)
    return None


def _wrapped(number: int) -> int:
    """Return a 64-bit number as SQLite's signed integer; inode numbers use all bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _columns(stamp: FileStamp) -> list[int]:
    return [stamp.size, _wrapped(stamp.mtime_ns), _wrapped(stamp.inode), _wrapped(stamp.device)]


def _identified_json(identified: Identified) -> str:
    """Return it as JSON whose names can be restored: those of files may hold bytes that are no UTF-8."""
    return compact(
        msgspec.structs.replace(
            identified,
            extents=tuple(map(written, identified.extents)),
            parents=tuple(map(written, identified.parents)),
            sidecar_disks=tuple(map(written, identified.sidecar_disks)),
            sidecar=_text(identified.sidecar),
            detail=_text(identified.detail),
        )
    ).decode()


@functools.lru_cache(maxsize=1024)
def _parse_identified(text: str) -> Identified:
    identified = _IDENTIFIED.decode(text)
    return msgspec.structs.replace(
        identified,
        extents=tuple(map(restored, identified.extents)),
        parents=tuple(map(restored, identified.parents)),
        sidecar_disks=tuple(map(restored, identified.sidecar_disks)),
    )
