"""Reports and facts as JSON: the contract for programs. The same facts give the same bytes."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from imgscan.errors import UsageError
from imgscan.model.machine import FactsFile
from imgscan.model.report import Report
from imgscan.model.text import shown

FACTS_SCHEMA = "imgscan.facts/1"
_ESCAPED_CONTROL = re.compile(r"(?<!\\)(?:\\\\)*\\[bfnrtu]")


def render(report: Report | FactsFile) -> str:
    """Return indented JSON that ends in a newline; keys stand in the model's order, mappings sorted."""
    return msgspec.json.format(compact(report), indent=2).decode() + "\n"


def compact(value: Any) -> bytes:
    """Return a value of the model as JSON on one line."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:
        # A lone surrogate, from a name that is not valid text, reached a field without its escape.
        return msgspec.json.encode(_printable(msgspec.to_builtins(value)), order="deterministic")


def harmless(data: bytes) -> bytes:
    """Return JSON whose strings have hidden characters (control, bidirectional, line ends) escaped as `shown` does it.

    Facts are made printable when they are read; those of a worker that an image took over need not be.
    """
    text = data.decode()
    if text.isprintable() and ("\\" not in text or not _ESCAPED_CONTROL.search(text)):
        return data
    return msgspec.json.encode(_printable(msgspec.json.decode(data)))


def parse_facts(data: bytes, where: str) -> FactsFile:
    """Read what `imgscan inspect --format json` wrote; anybody may have written it, so its text is made fit to show.

    :raises UsageError: it is not JSON, or not such a file, or of another version
    """
    try:
        facts = msgspec.convert(_printable(msgspec.json.decode(data)), type=FactsFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(
            f"not a facts file of imgscan ({error}); write one with: imgscan inspect --format json", where=where
        ) from error
    if facts.schema != FACTS_SCHEMA:
        raise UsageError(f"its schema is {shown(facts.schema)}, this version reads {FACTS_SCHEMA}", where=where)
    return facts


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
