"""Opening a VHD or VHDX in tests, and comparing a device with the bytes it must have."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgscan.containers import vhd, vhdx
from imgscan.containers.container import OpenContext, OpenedImage
from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.host_files import open_given
from imgscan.errors import UnsupportedFormat


def _open_any(file: FileDevice, context: OpenContext, _format: str | None) -> OpenedImage:
    if vhdx.probe(file):
        return vhdx.open_image(file, context)
    if vhd.probe(file):
        return vhd.open_image(file, context)
    raise UnsupportedFormat("neither a VHD nor a VHDX", where=file.name)


@contextmanager
def opened(path: Path, counter: IoCounter | None = None) -> Iterator[OpenedImage]:
    """Open an image that the readers recognise, and close its files afterwards."""
    file, host = open_given(path, (), counter or IoCounter())
    try:
        yield _open_any(file, OpenContext(host, _open_any), None)
    finally:
        host.close()


@contextmanager
def opened_bytes(folder: Path, image: bytes | bytearray, name: str = "image") -> Iterator[OpenedImage]:
    """Write an image into `folder` and open it."""
    (folder / name).write_bytes(image)
    with opened(folder / name) as found:
        yield found


def device_of(image: OpenedImage) -> BlockDevice:
    assert image.device is not None, image.facts.problems
    return image.device


def codes(image: OpenedImage) -> list[str]:
    return [problem.code for problem in image.facts.problems]


def assert_same(device: BlockDevice, expected: bytes, step: int = 1 << 20, reads: int = 200) -> None:
    """Read everything in sequence, then at random places of any alignment, and compare."""
    assert device.size == len(expected)
    for at in range(0, len(expected), step):
        length = min(step, len(expected) - at)
        assert device.read_at(at, length) == expected[at : at + length], f"differs in {at} + {length}"
    chooser = random.Random(len(expected))
    for _ in range(reads):
        length = min(chooser.choice((0, 1, 511, 512, 4096, 70_001, 2_500_000)), len(expected))
        at = chooser.randrange(len(expected) - length + 1)
        assert device.read_at(at, length) == expected[at : at + length], f"differs in {at} + {length}"


def some_bytes(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)
