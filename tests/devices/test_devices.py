"""File, slice and memory: exactly what was asked for, or an error; and every read is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.host_files import open_given
from imgscan.devices.memory import MemoryDevice
from imgscan.devices.slice import SliceDevice
from imgscan.errors import ChangedWhileReading, ReadFailed, TruncatedRead

CONTENT = bytes(range(256)) * 8


def devices(folder: Path) -> list[BlockDevice]:
    (folder / "file").write_bytes(CONTENT)
    file, _ = open_given(folder / "file", (), IoCounter())
    padded = MemoryDevice(b"ab" + CONTENT + b"cd")
    return [file, MemoryDevice(CONTENT), SliceDevice(padded, 2, len(CONTENT), "part")]


def test_exactly_what_was_asked_for(tmp_path: Path) -> None:
    for device in devices(tmp_path):
        assert device.size == len(CONTENT)
        for offset, length in ((0, 0), (0, 1), (5, 700), (len(CONTENT), 0), (0, len(CONTENT))):
            assert device.read_at(offset, length) == CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 2049), (2048, 1), (1 << 70, 1), (0, 1 << 70)])
def test_outside_is_an_error(tmp_path: Path, offset: int, length: int) -> None:
    for device in devices(tmp_path):
        with pytest.raises(TruncatedRead) as caught:
            device.read_at(offset, length)
        assert caught.value.where == device.name


def test_a_slice_beyond_its_device_reads_what_is_there() -> None:
    part = SliceDevice(MemoryDevice(CONTENT), 2000, 1000, "disk0/p1")
    assert part.read_at(0, 48) == CONTENT[2000:]
    with pytest.raises(TruncatedRead):
        part.read_at(0, 49)


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    file, host = open_given(path, (), IoCounter())
    path.write_bytes(CONTENT[:100])
    with pytest.raises(ChangedWhileReading):
        file.read_at(50, 100)
    host.close()


def test_a_host_that_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    file, host = open_given(path, (), IoCounter())
    broken = FileDevice(-1, file.name, file.size, file.identity, IoCounter())
    with pytest.raises(ReadFailed):
        broken.read_at(0, 1)
    host.close()


def test_reads_are_counted_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    counter = IoCounter()
    file, host = open_given(path, (), counter)
    file.read_at(0, 10)
    with counter.stage("outer"):
        file.read_at(0, 20)
        with counter.stage("inner"):
            file.read_at(0, 30)
        file.read_at(0, 40)
    host.close()
    io = counter.result()
    assert (io.reads, io.bytes) == (4, 100)
    assert {name: (stage.reads, stage.bytes) for name, stage in io.stages.items()} == {
        "inner": (1, 30),
        "open": (1, 10),
        "outer": (2, 60),
    }
