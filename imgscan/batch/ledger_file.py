"""The file behind a ledger: who may open it, and what SQLite's errors mean for a caller.

The writer holds a lock beside the database for as long as its process lives (POSIX record locks are released by the
kernel at any kind of death, and are not inherited by a forked worker). Readers need none: in write-ahead mode SQLite
lets them read the last committed state while the writer writes (https://sqlite.org/wal.html).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from imgscan.batch.mounts import network_filesystem, refuse_network_filesystem
from imgscan.errors import LedgerError, LedgerUnavailable, UsageError

APPLICATION_ID = 0x496D6753
"""`ImgS`, at offset 68 of the file (https://sqlite.org/fileformat2.html section 1.3)."""
SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""How long to wait for another program that writes to the database."""
CACHE_KIB = 16 << 10
LOG_BYTES = 64 << 20
"""The write-ahead log is cut to this size after it was written back."""
MAGIC = b"SQLite format 3\0"
NOT_NOW = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
        *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
    }
)
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_SCHEMA})
_locked_here: set[tuple[int, int]] = set()
"""Lock files that this process holds: record locks do not keep a process from itself."""


class WriterLock:
    """The right to write one database, held until `close` or the end of the process."""

    def __init__(self, database: Path) -> None:
        """Take the lock.

        :raises UsageError: another process has it, or it cannot be made
        """
        path = database.with_name(f"{database.name}-lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UsageError(f"it cannot be written: {error.strerror}", where=str(path)) from error
        info = os.fstat(self._file)
        self._key = (info.st_dev, info.st_ino)
        if self._key in _locked_here:
            # closing the second descriptor would release the lock of the first: it is left open on purpose
            raise UsageError("this process writes it already", where=str(database))
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise UsageError(
                f"another imgscan batch{f' (process {holder})' if holder.isdigit() else ''} writes it; wait until it "
                "ends, or give another --db (imgscan report can read it meanwhile)",
                where=str(database),
            ) from error
        _locked_here.add(self._key)
        with contextlib.suppress(OSError):  # who it is only helps a message
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Release the lock."""
        if self._key in _locked_here:
            _locked_here.discard(self._key)
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def typed_errors(where: Path) -> Iterator[None]:
    """Turn SQLite's errors into `LedgerUnavailable` (may be repeated) or `LedgerError`; our bugs stay as they are."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        kind = None if code is None else code & 0xFF
        if kind in NOT_NOW:
            raise LedgerUnavailable(f"the results database cannot be used now: {error}", where=str(where)) from error
        if kind in DAMAGED:
            raise LedgerError(f"the results database cannot be used: {error}", where=str(where)) from error
        raise


def open_writer(path: Path) -> tuple[sqlite3.Connection, WriterLock]:
    """Open or create a ledger for writing; `path` is free of links (`Path.resolve`).

    :raises UsageError: it is on a network filesystem, no ledger, of a newer schema, or written by another process
    :raises LedgerError: it is damaged, or cannot be opened
    """
    refuse_network_filesystem(path)
    if not path.parent.is_dir():
        raise UsageError("its folder does not exist", where=str(path))
    is_new = not _check_header(path)
    lock = WriterLock(path)
    try:
        with typed_errors(path):
            if is_new:
                _create(path)
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)
            try:
                _check_version(connection, path)
                _configure(connection, path)
            except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
                connection.close()
                raise
    except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
        lock.close()
        raise
    return connection, lock


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading only; a batch may write it meanwhile. One snapshot lasts from `BEGIN` to `ROLLBACK`.

    :raises UsageError: there is no such file, it is no ledger, of a newer schema, or on a network filesystem together
        with a log that was not written back
    :raises LedgerError: it is damaged, or cannot be opened
    """
    path = path.resolve()
    if not path.exists():
        raise UsageError("there is no such file", where=str(path))
    if not _check_header(path):
        raise UsageError("it is empty; imgscan batch fills it", where=str(path))
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    network = network_filesystem(path.parent)
    if network is not None and has_log:
        raise UsageError(
            f"it lies on a network filesystem ({network}) with a log that was not written back; copy it and {log.name} "
            "to a local disk",
            where=str(path),
        )
    address = path.as_uri()
    with typed_errors(path):
        if network is None:
            # a connection that may write removes log and shared memory when it was the last one
            may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
            try:
                return _connect_reader(f"{address}?mode={'rw' if may_write else 'ro'}", path)
            except sqlite3.OperationalError:
                if has_log:
                    raise
        # nobody writes it, and the folder may be read-only: no shared memory is needed
        return _connect_reader(f"{address}?immutable=1", path)


def _connect_reader(address: str, path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = ON")
        _check_version(connection, path)
        connection.execute("SELECT root FROM ledger")
    except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
        connection.close()
        raise
    return connection


def _check_header(path: Path) -> bool:
    """Return whether the file holds a ledger; False when there is none yet (no file, or an empty one).

    :raises UsageError: it is anything else
    """
    try:
        if path.exists() and not path.is_file():  # to open a FIFO would wait for its other end
            raise UsageError("it is no regular file", where=str(path))
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    if not header:
        return False
    if not header.startswith(MAGIC) or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        what = "a database of another program" if header.startswith(MAGIC) else "another kind of file"
        raise UsageError(f"it is {what}, no results database of imgscan batch", where=str(path))
    return True


def _create(path: Path) -> None:
    """Make an empty ledger under another name first: after a crash there is none, or a whole one."""
    schema = Path(__file__).with_name("ledger_schema.sql").read_text(encoding="utf-8")
    new = path.with_name(f"{path.name}-new")
    for left_over in (new, path.with_name(f"{path.name}-new-journal")):
        left_over.unlink(missing_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{schema}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
        )
    except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
        connection.close()
        new.unlink(missing_ok=True)
        raise
    connection.close()
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"a newer imgscan made it (schema {version}, this one knows {SCHEMA_VERSION}); use that one",
            where=str(path),
        )
    if version < SCHEMA_VERSION:
        raise LedgerError(f"its schema {version} is none that imgscan ever wrote", where=str(path))


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerError(
            f"its filesystem does not allow a write-ahead log (SQLite stays in {mode} mode)", where=str(path)
        )
    for setting in (
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KIB}",
        f"journal_size_limit = {LOG_BYTES}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {setting}")
