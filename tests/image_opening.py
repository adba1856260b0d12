"""Opening an image of any format in tests, comparing it with what it must hold, and watching which files are opened."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgscan.containers import Identification, identify, open_image
from imgscan.containers.container import OpenedImage
from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.host_files import open_given

importlib.import_module("construct")  # readers load it when they need it: not while opens are watched

_watched: list[list[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and event in {"open", "os.listdir", "os.scandir"}:
        _watched[-1].append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else str(arguments[0]))


sys.addaudithook(_hook)


@contextmanager
def watched_opens() -> Iterator[list[str]]:
    """Collect every path that is opened or listed inside the block, by anything in this process."""
    paths: list[str] = []
    _watched.append(paths)
    try:
        yield paths
    finally:
        _watched.remove(paths)


@contextmanager
def opened_image(
    path: Path, input_format: str | None = None, search: tuple[Path, ...] = (), counter: IoCounter | None = None
) -> Iterator[OpenedImage]:
    """Open an image as a scan does, and close its files afterwards."""
    file, host = open_given(path, search, counter or IoCounter())
    try:
        yield open_image(file, host, input_format)
    finally:
        host.close()


def identified(path: Path) -> Identification:
    file, host = open_given(path, (), IoCounter())
    try:
        return identify(file)
    finally:
        host.close()


def device_in(image: OpenedImage) -> BlockDevice:
    assert image.device is not None, image.facts.problems
    return image.device


def problem_codes(image: OpenedImage) -> list[str]:
    return [problem.code for problem in image.facts.problems]


def problem_kinds(image: OpenedImage) -> list[str]:
    return [problem.kind for problem in image.facts.problems]


def assert_holds(device: BlockDevice, expected: bytes, reads: int = 300) -> None:
    """Read everything in sequence, then at random places of any alignment, and compare."""
    assert device.size == len(expected)
    step = 1 << 20
    for at in range(0, len(expected), step):
        length = min(step, len(expected) - at)
        assert device.read_at(at, length) == expected[at : at + length], f"differs in {at} + {length}"
    chooser = random.Random(len(expected))
    for _ in range(reads):
        at = chooser.randrange(len(expected))
        length = min(chooser.choice((1, 511, 4096, 70_000, 300_000)), len(expected) - at)
        assert device.read_at(at, length) == expected[at : at + length], f"differs at {at} + {length}"


def scattered_bytes(size: int, seed: int = 5) -> bytes:
    """Bytes with holes, and data that compresses and data that does not."""
    chooser = random.Random(seed)
    data = bytearray(size)
    for number in range(24):
        length = chooser.choice((512, 4096, 90_000))
        at = chooser.randrange(max(1, size - length))
        data[at : at + length] = chooser.randbytes(length) if number % 2 else chooser.randbytes(64) * (length // 64)
    return bytes(data[:size].ljust(size, b"\0"))


def qemu_img(*arguments: str | Path) -> None:
    """Run qemu-img quietly."""
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def as_qemu_reads(image: Path, image_format: str) -> bytes:
    """Return the whole virtual disk as qemu-img reads it."""
    back = image.with_name(f"{image.name}.as-qemu-reads")
    qemu_img("convert", "-f", image_format, "-O", "raw", image, back)
    data = back.read_bytes()
    back.unlink()
    return data
