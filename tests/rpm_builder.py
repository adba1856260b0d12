"""Package databases of rpm for tests: headers, and the files that hold them.

SQLite files are made by SQLite, hashes of Berkeley DB by its own db_load; ndb is written here after its description.
Databases that rpm wrote itself are in tests/guests/linux/test_kernel_package.py and, all forms, in
tests/real_systems/test_real_rpm.py.
"""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import require_tool

STRING, STRINGS, INT32 = 6, 8, 4


def header(name: str, version: str, release: str, vendor: str | None, files: Sequence[str]) -> bytes:
    """Return an RPM header with these tags (RPM Reference Manual, "Header")."""
    folders = sorted({path.rpartition("/")[0] + "/" for path in files})
    values: dict[int, tuple[int, Sequence[str] | Sequence[int]]] = {
        1000: (STRING, [name]),
        1001: (STRING, [version]),
        1002: (STRING, [release]),
        1022: (STRING, ["x86_64"]),
        1116: (INT32, [folders.index(path.rpartition("/")[0] + "/") for path in files]),
        1117: (STRINGS, [path.rpartition("/")[2] for path in files]),
        1118: (STRINGS, folders),
    }
    if vendor is not None:
        values[1011] = (STRING, [vendor])
    index, store = b"", b""
    for tag, (kind, content) in sorted(values.items()):
        store += bytes(-len(store) % 4) if kind == INT32 else b""
        index += struct.pack(">IIII", tag, kind, len(store), len(content))
        for each in content:
            store += struct.pack(">I", each) if isinstance(each, int) else each.encode() + b"\0"
    return struct.pack(">II", len(values), len(store)) + index + store


def sqlite_database(headers: Sequence[bytes], files: Mapping[str, int], page_size: int = 4096) -> bytes:
    """Return rpmdb.sqlite with rpm's tables; `files` are bare names with the number of their package, from 1."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rpmdb.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA page_size = {page_size}")
            connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
            connection.execute("CREATE TABLE 'Basenames' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER)")
            connection.execute("CREATE INDEX 'Basenames_key_idx' ON 'Basenames'(key ASC)")
            connection.executemany("INSERT INTO 'Packages' (blob) VALUES (?)", [(blob,) for blob in headers])
            connection.executemany("INSERT INTO 'Basenames' VALUES (?, ?, 0)", sorted(files.items()))
        connection.close()
        return path.read_bytes()


def kernel_database(name: str, vendor: str, path: str) -> bytes:
    """Return rpmdb.sqlite of a system with one package: the kernel's."""
    return sqlite_database([header(name, "1", "1", vendor, [path])], {path.rpartition("/")[2]: 1})


def berkeley_database(headers: Sequence[bytes], page_size: int = 4096) -> bytes:
    """Return Packages as rpm kept it before 4.16: under key 0 the number of the last package, then each header."""
    records = [(0, struct.pack("<I", len(headers))), *enumerate(headers, 1)]
    lines = ["VERSION=3", "format=bytevalue", "type=hash", f"db_pagesize={page_size}", "HEADER=END"]
    for number, data in records:
        lines += [f" {struct.pack('<I', number).hex()}", f" {data.hex()}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Packages"
        text = "\n".join([*lines, "DATA=END", ""])
        subprocess.run([require_tool("db5.3_load"), str(path)], input=text.encode(), check=True, capture_output=True)
        return path.read_bytes()


def ndb_database(headers: Sequence[bytes]) -> bytes:
    """Return Packages.db: a page of slots, then each header in blocks of 16 bytes, with its own head and tail."""
    slots, blocks = b"", b""
    for number, data in enumerate(headers, 1):
        length = 16 + len(data) + 12
        padding = -length % 16
        head = struct.pack("<4sIII", b"BlbS", number, 1, len(data))
        tail = struct.pack("<II4s", zlib.adler32(head + data + bytes(padding)), len(data), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, (4096 + len(blocks)) // 16, (length + padding) // 16)
        blocks += head + data + bytes(padding) + tail
    slots += struct.pack("<4sIII", b"Slot", 0, 0, 0) * ((4096 - 32 - len(slots)) // 16)
    return struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, len(headers) + 1) + slots + blocks
