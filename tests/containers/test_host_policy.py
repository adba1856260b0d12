"""No name in an image opens anything but a regular file of its own folder or a search folder: seen by an audit hook."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from image_opening import device_in, opened_image, problem_kinds, watched_opens
from qcow2_images import Qcow2

from imgscan.errors import ImageError

ONE = bytes(range(256)) * 16


def overlay(folder: Path, backing: bytes, backing_format: bytes | None = b"raw") -> Path:
    path = folder / "overlay.qcow2"
    path.write_bytes(Qcow2(40 * 4096, {2: ONE}, backing=backing, backing_format=backing_format).build())
    return path


def opened_by(path: Path) -> tuple[set[str], list[str]]:
    """Return which paths reading an image opens, and its problems' kinds."""
    with watched_opens() as paths, opened_image(path) as image:
        device = device_in(image)
        assert device.read_at(2 * 4096, 4096) == ONE
        try:
            device.read_at(0, 4096)
        except ImageError:
            pass
        else:
            assert not image.facts.parents or image.facts.parents[0].file
        kinds = problem_kinds(image)
    return set(paths), kinds


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"/etc/passwd", "missing"),
        (b"../../../../etc/passwd", "missing"),
        (b"..\\..\\etc\\passwd", "missing"),
        (b"file:/etc/passwd", "missing"),
        (b"\\\\server\\share\\passwd", "missing"),
        (b"..", "missing"),
        (b".", "missing"),
        (b"folder/", "missing"),
        (b"folder\\..", "missing"),
        (b"base\0.img", "missing"),
        (b"\0", "missing"),
        (b"x" * 1000, "refused"),
        (b"\xff\xfe\x80", "missing"),
        ("\u202enot there".encode(), "missing"),
        (b"/proc/self/mem", "missing"),
        (b"/dev/zero", "missing"),
        (b"-", "missing"),
        (b"~root", "missing"),
        (b"$HOME", "missing"),
        (b"*", "missing"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: bytes, kind: str) -> None:
    path = overlay(tmp_path, name)
    paths, kinds = opened_by(path)
    assert kinds == ([kind] if name != b"\0" else [])
    assert paths <= {str(path), str(tmp_path)}


@pytest.mark.parametrize("what", ["link", "dangling", "folder", "pipe", "socket", "unreadable", "device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "base"
    if what in {"link", "dangling"}:
        (tmp_path / "real").write_bytes(bytes(4096))
        target.symlink_to("real" if what == "link" else "nowhere")
    elif what == "folder":
        target.mkdir()
    elif what == "pipe":
        os.mkfifo(target)
    elif what == "socket":
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("base")
    elif what == "unreadable":
        target.write_bytes(bytes(4096))
        target.chmod(0)
        if os.access(target, os.R_OK):
            pytest.skip("root may read everything")
    else:
        try:
            os.mknod(target, 0o20666, os.makedev(1, 5))
        except OSError:
            pytest.skip("devices cannot be made here")
    path = overlay(tmp_path, b"base")
    paths, kinds = opened_by(path)
    assert kinds == ["refused"]
    if what != "unreadable":
        assert paths == {str(path), str(tmp_path)}


def test_a_file_of_the_folder_is_opened_by_its_bare_name_alone(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(bytes(4096))
    path = overlay(tmp_path, b"/elsewhere/base")
    paths, kinds = opened_by(path)
    assert kinds == []
    assert paths == {str(path), str(tmp_path), "base"}


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    name = b"caf\xe9.img"
    (tmp_path / os.fsdecode(name)).write_bytes(bytes(4096))
    path = overlay(tmp_path, name)
    with opened_image(path) as image:
        assert problem_kinds(image) == []
        assert image.facts.parents[0].hint == "caf\\xe9.img"


def test_a_long_name_is_cut_in_messages(tmp_path: Path) -> None:
    with opened_image(overlay(tmp_path, b"x" * 1000)) as image:
        assert all(len(problem.detail) < 1500 for problem in image.facts.problems)


def test_a_name_that_is_refused_in_one_folder_is_found_in_another(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "base").mkdir()
    (other / "base").write_bytes(ONE.ljust(40 * 4096, b"\0"))
    with opened_image(overlay(tmp_path, b"base"), search=(other,)) as image:
        assert problem_kinds(image) == []
        assert device_in(image).read_at(0, 4096) == ONE


def test_a_parent_finds_its_own_files_where_it_lies_itself(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "middle").write_bytes(Qcow2(40 * 4096, backing=b"base", backing_format=b"raw").build())
    (other / "base").write_bytes(ONE)
    (tmp_path / "base").write_bytes(ONE[::-1])
    with opened_image(overlay(tmp_path, b"middle", b"qcow2"), search=(other,)) as image:
        assert device_in(image).read_at(0, 4096) == ONE
