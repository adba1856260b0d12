"""Writes the page on the ledger's tables and views from its schema; called by scripts/generate_docs.py."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SCHEMA = Path(__file__).resolve().parent.parent / "imgscan" / "batch" / "ledger_schema.sql"
MADE = "<!-- Made by scripts/generate_docs.py from imgscan/batch/ledger_schema.sql; change the comments there. -->"
EXAMPLES = """Any SQLite client reads it, also while a batch runs:

```text
datasette results.db
sqlite3 results.db "SELECT machine, blockers FROM machine_readiness WHERE readiness = 'not-ready'"
sqlite3 results.db "SELECT rule, alone FROM blocking_rules LIMIT 5"
sqlite3 results.db "SELECT product, version, machines FROM system_counts"
sqlite3 results.db "SELECT name, json_extract(json, '$.systems') FROM machines JOIN facts ON id = machine WHERE present"
```

While a batch runs, results.db-wal and results.db-shm lie beside it and belong to it; results.db-lock keeps a second
batch away. Change nothing in it: the next batch relies on what it finds. `imgscan report` gives the same answers as
text, JSON and CSV.

It is kept on a local disk. On a network filesystem (decided from the kernel's mount table: NFS, SMB, 9p, sshfs and
their like, also through FUSE) `imgscan batch` refuses to write it, since SQLite's write-ahead log needs memory that
all its users share. The refusal was tried with a mounted FUSE filesystem whose subtype is that of sshfs, and with
mount tables as text; no NFS, SMB or cluster filesystem was mounted for it."""


class Documented(NamedTuple):
    """A table or view of the schema: its kind, name, comment, and what the column comments say."""

    kind: str
    name: str
    comment: str
    columns: dict[str, str]


def ledger_page() -> str:
    """Return docs/ledger.md."""
    text = SCHEMA.read_text(encoding="utf-8")
    head, body = text.split("\n\n", 1)
    title, _, about = _uncommented(head).partition(": ")
    connection = sqlite3.connect(":memory:")
    connection.executescript(text)
    parts = [MADE, f"# {title}", f"{about[0].upper()}{about[1:]}", EXAMPLES]
    entries = list(documented(body))
    for kind, heading in (("VIEW", "Views"), ("TABLE", "Tables")):
        parts.append(f"## {heading}")
        for entry in entries:
            if entry.kind == kind:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({entry.name})")]
                parts.append(f"### {entry.name}\n\n{entry.comment}\n\n{_columns(names, entry)}")
    connection.close()
    return "\n\n".join(parts) + "\n"


def documented(body: str) -> Iterator[Documented]:
    """Yield the tables and views of a schema's text."""
    for match in re.finditer(r"((?:^--.*\n)+)CREATE (TABLE|VIEW) (\w+)([\s\S]*?);$", body, re.MULTILINE):
        comment, kind, name, inside = match.groups()
        columns = dict(re.findall(r"^    (\w+) .*?-- (.*)$", inside, re.MULTILINE)) if kind == "TABLE" else {}
        yield Documented(kind, name, _uncommented(comment), columns)


def _columns(names: list[str], entry: Documented) -> str:
    if entry.kind == "VIEW":
        return f"Columns: {', '.join(f'`{name}`' for name in names)}."
    rows = [f"| `{name}` | {entry.columns[name].replace('|', chr(92) + '|')} |" for name in names]
    return "\n".join(("| column | holds |", "|---|---|", *rows))


def _uncommented(text: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in text.strip().splitlines())
