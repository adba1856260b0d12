"""Scanning images that were damaged on purpose, and what must hold for every one of them.

An image is damaged in place, scanned through the command line in this process, and restored. `read_ranges` says what a
scan looks at, so that damage is put where it matters.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import itertools
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import msgspec
from tools import pieces

from imgscan.cli.main import run
from imgscan.devices.file import FileDevice
from imgscan.model.report import Report
from imgscan.reports.schema import json_schema

SECONDS = 30.0
"""Processor time that a scan of a small damaged image may take, on a slow and busy machine; 0.05 is usual."""
READY, NOT_READY, USAGE, UNDECIDED = 0, 1, 2, 3
VALIDATED = 10
"""Every how manieth report is held against the JSON Schema, which takes longer than the scan."""
_VALIDATOR: list[Any] = []
_REPORTS = itertools.count()


@dataclass(frozen=True)
class Damage:
    """Bytes to put at an offset of a file."""

    offset: int
    data: bytes

    def __repr__(self) -> str:
        shown = self.data.hex() if len(self.data) <= 16 else f"{self.data[:8].hex()}... ({len(self.data)} bytes)"
        return f"{self.offset:#x}: {shown}"


class Outcome:
    """What one scan said: exit status, report (None without one) and the line on standard error."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.err = err
        self.report: dict[str, Any] | None = json.loads(out) if out else None

    @property
    def machine(self) -> dict[str, Any]:
        assert self.report is not None, self.err
        (machine,) = self.report["machines"]
        assert isinstance(machine, dict)
        return machine

    def outcomes(self) -> dict[str, str]:
        """Return each rule's outcome; the worst, where a rule is used more than once."""
        order = ["not-applicable", "manual", "pass", "unknown", "fail"]
        found: dict[str, str] = {}
        for finding in self.machine["verdicts"][0]["findings"]:
            rule, outcome = finding["rule"], finding["outcome"]
            found[rule] = max(found.get(rule, outcome), outcome, key=order.index)
        return found


@cache
def small_disk_profile() -> Path:
    """Return the usual profile, but for the free space (250 MiB, 6 GiB) that a disk of a few MiB does not have."""
    usual = resources.files("imgscan.profiles").joinpath("aws-sms.toml").read_text()
    for least in ("262_144_000", "6_442_450_944"):
        assert f"min_bytes = {least}" in usual
        usual = usual.replace(f"min_bytes = {least}", "min_bytes = 1_048_576")
    path = Path(tempfile.mkdtemp(prefix="imgscan-tests-")) / "small-disk.toml"
    path.write_text(usual)
    atexit.register(shutil.rmtree, path.parent)
    return path


def scan_hostile(*paths: Path, what: object = "") -> Outcome:
    """Scan through the command line and check what holds for whatever the images are."""
    out, err = io.StringIO(), io.StringIO()
    started = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        profile = ["--profile", str(small_disk_profile())]
        status = run(["scan", "--in-process", "--format", "json", *profile, *map(str, paths)])
    took = time.process_time() - started
    message = f"{[path.name for path in paths]} {what}: status {status}, {err.getvalue()!r}"
    assert status in {READY, NOT_READY, USAGE, UNDECIDED}, message
    assert err.getvalue().count("\n") <= 1, message
    assert "Traceback" not in err.getvalue(), message
    assert took < SECONDS, f"{took:.1f} s; {message}"
    assert (status in {READY, NOT_READY, UNDECIDED} and bool(out.getvalue())) or err.getvalue(), message
    outcome = Outcome(status, out.getvalue(), err.getvalue())
    if outcome.report is not None:
        msgspec.json.decode(out.getvalue(), type=Report)  # strictly: the type that the schema is made from
        if next(_REPORTS) % VALIDATED == 0:
            _validate(outcome.report, message)
        internal = [text for text in _strings(outcome.report) if text == "internal"]
        assert not internal, f"{message}: a fact is unread for an internal reason"
    return outcome


def _validate(report: dict[str, Any], message: str) -> None:
    if not _VALIDATOR:
        _VALIDATOR.append(jsonschema.Draft202012Validator(json_schema("report")))
    problem = next(iter(_VALIDATOR[0].iter_errors(report)), None)
    assert problem is None, f"{message}: {problem}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "unread" and isinstance(item, str):
                yield item
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def read_ranges(path: Path) -> list[tuple[int, int]]:
    """Return offset and length of everything that a scan reads of a file, each once, in order of the offsets."""
    seen: set[tuple[int, int]] = set()
    real = FileDevice.read_at

    def recording(device: FileDevice, offset: int, length: int) -> bytes:
        if device.name == path.name and length:
            seen.add((offset, length))
        return real(device, offset, length)

    with mock.patch.object(FileDevice, "read_at", recording):
        scan_hostile(path)
    return sorted(seen)


@contextlib.contextmanager
def damaged(path: Path, damages: Sequence[Damage]) -> Iterator[Path]:
    """Put damages into a file, and take them out again at the end."""
    kept = []
    with path.open("r+b") as file:
        for damage in damages:
            file.seek(damage.offset)
            kept.append((damage.offset, file.read(len(damage.data))))
            file.seek(damage.offset)
            file.write(damage.data)
    try:
        yield path
    finally:
        with path.open("r+b") as file:
            for offset, before in reversed(kept):
                file.seek(offset)
                file.write(before)


@contextlib.contextmanager
def cut(path: Path, size: int) -> Iterator[Path]:
    """Cut a file to `size` bytes, and give it its end back."""
    before = path.stat().st_size
    tail = [(max(at, size), data[max(0, size - at) :]) for at, data in pieces(path, size)]
    os.truncate(path, size)
    try:
        yield path
    finally:
        os.truncate(path, before)
        with path.open("r+b") as file:
            for at, data in tail:
                file.seek(at)
                file.write(data)


_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LARGE = (1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 512)


def random_damage(dice: random.Random, ranges: Sequence[tuple[int, int]]) -> Damage:
    """Return one damage inside the ranges: a field set to a telling number, bytes zero, full, random or flipped."""
    offset, length = dice.choice(ranges)
    # structures begin at the start of what is read: half of the damage goes there
    span = min(length, dice.choice((64, 512, 4096, length)))
    at = offset + dice.randrange(span)
    rest = offset + length - at
    kind = dice.randrange(6)
    if kind <= 2:
        size = dice.choice((1, 2, 4, 8))
        at = max(offset, at - at % size)
        number = dice.choice(_NUMBERS if size < 8 else (*_NUMBERS, *_LARGE)) & ((1 << 8 * size) - 1)
        return Damage(at, number.to_bytes(size, dice.choice(("little", "little", "big")))[: offset + length - at])
    size = min(rest, dice.choice((1, 2, 4, 16, 64, 512, 4096)))
    if kind == 3:
        return Damage(at, bytes(size))
    if kind == 4:
        return Damage(at, b"\xff" * size)
    return Damage(at, dice.randbytes(size))


def forget_peak() -> float:
    """Return the memory in use now in MiB, and count the peak anew from here (Linux, proc(5): clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def peak_mebibytes() -> float:
    """Return the most memory in MiB that this process has had in use since `forget_peak`."""
    return _memory("VmHWM")


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
