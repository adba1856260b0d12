"""The host-file policy by itself: what the user gives, what an image names."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import LocalHostFiles, open_given
from imgscan.errors import AccessRefused, MissingPart, ReadFailed, UsageError


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_given_path_may_be_a_link_and_its_folder_is_the_file_s(tmp_path: Path) -> None:
    real, shown = tmp_path / "real", tmp_path / "shown"
    real.mkdir()
    shown.mkdir()
    (real / "disk.img").write_bytes(b"disk")
    (real / "extent").write_bytes(b"extent")
    (shown / "extent").write_bytes(b"another")
    (shown / "link").symlink_to(real / "disk.img")
    file, host = open_given(shown / "link", (), IoCounter())
    assert (file.name, file.size, file.read_at(0, 4)) == ("disk.img", 4, b"disk")
    assert host.extent("extent").read_at(0, 6) == b"extent"
    host.close()


@pytest.mark.parametrize("name", ["", "gone", "file/below", "loop", "nul\0", "x" * 300, "pipe"])
def test_given_paths_that_are_no_image(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = descriptors()
    with pytest.raises(UsageError):
        open_given(tmp_path / name, (), IoCounter())
    with pytest.raises(UsageError):
        open_given(Path("/dev/null"), (), IoCounter())
    assert descriptors() == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\\b", "nul\0", "../x"])
def test_extents_are_bare_names(tmp_path: Path, name: str) -> None:
    host = LocalHostFiles(tmp_path, (), IoCounter())
    with pytest.raises(AccessRefused):
        host.extent(name)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    host = LocalHostFiles(tmp_path, (), IoCounter())
    for name in ("\ud800", "x" * 100_000):
        with pytest.raises(AccessRefused) as caught:
            host.extent(name)
        assert len(str(caught.value)) < 1000
    with pytest.raises(MissingPart):
        host.extent("caf\udce9")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    host = LocalHostFiles(tmp_path / "gone", (tmp_path / "gone too",), IoCounter())
    with pytest.raises(MissingPart):
        host.extent("x")
    assert host.parents("x") == []


def test_a_file_is_opened_once_and_closed_once(tmp_path: Path) -> None:
    (tmp_path / "extent").write_bytes(b"extent")
    host = LocalHostFiles(tmp_path, (), IoCounter())
    before = descriptors()
    first = host.extent("extent")
    assert host.extent("extent") is first
    assert host.parents("extent")[0][0] is first
    assert descriptors() == before + 1
    assert host.identities() == {first.identity}
    host.close()
    host.close()
    assert descriptors() == before


def test_refusals_leave_nothing_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    host = LocalHostFiles(tmp_path, (), IoCounter())
    before = descriptors()
    for name in ("pipe", "link", "gone"):
        with pytest.raises((AccessRefused, MissingPart)):
            host.extent(name)
    assert descriptors() == before


def test_a_closed_file_never_reads_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"two")
    file, host = open_given(tmp_path / "one", (), IoCounter())
    host.close()
    _, other = open_given(tmp_path / "two", (), IoCounter())
    with pytest.raises(ReadFailed):
        file.read_at(0, 3)
    other.close()


def test_too_many_open_files_is_the_host_s_trouble(tmp_path: Path) -> None:
    (tmp_path / "extent").write_bytes(b"")
    host = LocalHostFiles(tmp_path, (), IoCounter())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    fillers = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        with pytest.raises(ReadFailed, match="open files"):
            host.extent("extent")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
