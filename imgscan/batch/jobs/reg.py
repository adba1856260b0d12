"""Show a key of a guest's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from imgscan.batch.jobs.ls import time_text
from imgscan.batch.jobs.places import guest_system
from imgscan.batch.protocol import Job
from imgscan.batch.worker import JobContext
from imgscan.errors import ImageError, MissingPart, UsageError
from imgscan.model.text import shown

if TYPE_CHECKING:
    from imgscan.guests.windows.hives import HiveFile
    from imgscan.guests.windows.registry import Key
    from imgscan.guests.windows.registry_value import Value

SHOWN_BYTES = 64
"""Bytes of binary data in a line of text."""
_WRITTEN = 1000
"""Lines or keys that are written at once."""


def run(job: Job, context: JobContext) -> bytes:
    """Write the key that `where` names, with its values and the names of the keys below; `recursive`: these too.

    :raises UsageError: the system is no Windows, or `where` names no hive
    :raises MissingPart: there is no such key or value
    :raises ImageError: something in it could not be read; raised at the end, when the rest is written
    """
    from imgscan.guests.windows.hives import HiveFile, SystemHive  # noqa: PLC0415 - start-up time
    from imgscan.guests.windows.registry_path import key_in_hive, split_registry_path  # noqa: PLC0415 - the same

    where = str(job.arguments["where"])
    path = split_registry_path(where)
    with guest_system(job, context) as (tree, system):
        if system.family != "windows" or system.directory is None:
            raise UsageError(f"the system on {system.root} is no Windows, it has no registry")
        file = f"{system.directory.rstrip('/')}/System32/config/{path.hive}"
        hive = SystemHive(tree, file) if path.hive == "SYSTEM" else HiveFile(tree, file)
        inside = key_in_hive(hive, path)
        key = hive.key(inside)
        if key is None:
            raise MissingPart("there is no such key", where=shown(f"{path.mounted}\\{inside}"))
        for place in hive.left_out:
            context.note(f"{place.where}: {place.detail}")
        wanted = job.arguments.get("value")
        printer = _Json(context, hive, path.mounted) if job.arguments.get("json") else _Text(context, path.mounted)
        printer.write(key, wanted if isinstance(wanted, str) else None, is_deep=bool(job.arguments.get("recursive")))
    return b""


class _Printer:
    """Walks keys, and keeps the first error."""

    def __init__(self, context: JobContext, mounted: str) -> None:
        self._context = context
        self._mounted = mounted
        self._errors = 0
        self._first: ImageError | None = None

    def write(self, key: Key, wanted: str | None, *, is_deep: bool) -> None:
        """Write a key, or one value of it; with `is_deep` all keys below, in the hive's order."""
        if wanted is not None:
            value = key.value("" if wanted == "@" else wanted)
            if value is None:
                raise MissingPart("there is no such value", where=shown(f"{self.name(key)}: {wanted}"))
            self.begin()
            self.key(key, [value], [], [])
        else:
            self.begin()
            todo = [key]
            while todo:
                one = todo.pop()
                lost: list[ImageError] = []
                values = list(one.values(lost.append))
                below = list(one.subkeys(lost.append))
                self.key(one, values, below, lost)
                for error in lost:
                    self.failed(error)
                if is_deep:
                    todo += reversed(below)
        self.end()
        if self._first is not None:
            first, rest = self._first, f" (and {self._errors - 1} more)" if self._errors > 1 else ""
            raise type(first)(f"not all could be read: {first.message}{rest}", where=first.where, offset=first.offset)

    def name(self, key: Key) -> str:
        """Return a key's name from the root on."""
        return f"{self._mounted}\\{key.path}" if key.path else self._mounted

    def failed(self, error: ImageError) -> None:
        """Count an error."""
        self._errors += 1
        self._first = self._first or error

    def begin(self) -> None:
        """Write what comes before the first key."""

    def key(self, key: Key, values: list[Value], below: list[Key], lost: list[ImageError]) -> None:
        """Write one key."""
        raise NotImplementedError

    def end(self) -> None:
        """Write what comes after the last key."""


class _Text(_Printer):
    def key(self, key: Key, values: list[Value], below: list[Key], lost: list[ImageError]) -> None:
        lines = [shown(self.name(key))]
        names = [shown(value.name) or "(Default)" for value in values]
        width = min(max((len(name) for name in names), default=0), 40)
        for name, value in zip(names, values, strict=True):
            lines.append(f"    {name:<{width}}  {value.type_name:<13}  {self._data(value)}".rstrip())
        lines += [f"    (cannot be read: {shown(error.message)})" for error in lost]
        lines += [f"  {shown(self.name(one))}" for one in below]
        self._context.write(("\n".join(lines) + "\n").encode("utf-8", "replace"))

    def _data(self, value: Value) -> str:
        try:
            found = value.content()
        except ImageError as error:
            self.failed(error)
            return f"(cannot be read: {shown(error.message)})"
        if isinstance(found, str):
            return shown(found)
        if isinstance(found, tuple):
            return ", ".join(shown(one) for one in found)
        if isinstance(found, int):
            return f"{found:#x} ({found})"
        more = f"... ({len(found)} bytes)" if len(found) > SHOWN_BYTES else ""
        return found[:SHOWN_BYTES].hex(" ") + more


class _Json(_Printer):
    """Writes `{"hive": ..., "keys": [...]}`; a key that cannot be read whole has `errors`."""

    def __init__(self, context: JobContext, hive: HiveFile, mounted: str) -> None:
        super().__init__(context, mounted)
        self._hive = hive
        self._is_first = True

    def begin(self) -> None:
        state = self._hive.state.value
        head = {"schema": "imgscan.registry/1", "volume": self._hive.volume, "hive": msgspec.to_builtins(state)}
        self._context.write(msgspec.json.encode(head)[:-1] + b',"keys":[\n')

    def key(self, key: Key, values: list[Value], below: list[Key], lost: list[ImageError]) -> None:
        found: dict[str, Any] = {
            "key": shown(self.name(key)),
            "written": time_text(key.written),
            "values": [self._value(value) for value in values],
            "keys": [shown(one.name) for one in below],
        }
        if lost:
            found["errors"] = [shown(str(error)) for error in lost]
        self._context.write((b"" if self._is_first else b",\n") + msgspec.json.encode(found))
        self._is_first = False

    def end(self) -> None:
        self._context.write(b"\n]}\n")

    def _value(self, value: Value) -> dict[str, Any]:
        found: dict[str, Any] = {"name": shown(value.name), "type": value.type_name}
        try:
            raw, data = value.data(), value.content()
        except ImageError as error:
            self.failed(error)
            return {**found, "error": shown(str(error))}
        if isinstance(data, bytes):
            return {**found, "data": raw.hex()}
        typed = (
            shown(data) if isinstance(data, str) else [shown(one) for one in data] if isinstance(data, tuple) else data
        )
        return {**found, "data": typed, "raw": raw.hex()}
