"""Files below a root: opened component by component, never through a link, every failure told as what it means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unprivileged import as_nobody

from imgscan.batch import source as source_module
from imgscan.batch.source import Entry, LocalSource
from imgscan.devices.file import FileIdentity
from imgscan.errors import AccessRefused, LimitExceeded, MissingPart, ReadFailed, UsageError


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    share = tmp_path / "share"
    (share / "a" / "b").mkdir(parents=True)
    (share / "a" / "b" / "disk.img").write_bytes(b"content")
    (share / "a" / "link").symlink_to(tmp_path / "outside")
    (share / "a" / "disk-link").symlink_to("b/disk.img")
    os.mkfifo(share / "a" / "pipe")
    return share


def test_a_listing_says_what_each_name_is(root: Path) -> None:
    with LocalSource(root) as source:
        listing = source.list_folder("a")
        kinds = {entry.name: entry.kind for entry in listing.entries}
        assert kinds == {"b": "folder", "link": "link", "disk-link": "link", "pipe": "other"}
        info = (root / "a").stat()
        assert listing.identity == FileIdentity(info.st_dev, info.st_ino)
        assert listing.lost == []
        (entry,) = source.list_folder("a/b").entries
        assert entry == Entry("disk.img", "file", source.stat("a/b/disk.img"))
        file = (root / "a" / "b" / "disk.img").stat()
        assert entry.stamp is not None
        assert (entry.stamp.size, entry.stamp.mtime_ns) == (7, file.st_mtime_ns)
        assert (entry.stamp.inode, entry.stamp.device) == (file.st_ino, file.st_dev)


def test_a_file_is_opened_and_stamped(root: Path) -> None:
    with LocalSource(root) as source:
        opened = source.open_file("a/b/disk.img")
        assert os.read(opened.descriptor, 10) == b"content"
        assert opened.stamp == source.stat("a/b/disk.img")
        os.close(opened.descriptor)


def test_a_folder_s_handle_is_the_caller_s(root: Path) -> None:
    with LocalSource(root) as source:
        for path in (".", "a", "a/b"):
            handle = source.open_folder(path)
            assert os.path.samestat(os.fstat(handle), (root / path).stat())
            os.close(handle)


@pytest.mark.parametrize("path", ["a/link/secret", "a/disk-link", "a/pipe", "a/b", "a/link"])
def test_links_and_what_is_no_regular_file_are_not_opened(root: Path, path: str) -> None:
    before = descriptors()
    with LocalSource(root) as source:
        for use in (source.open_file, source.stat):
            with pytest.raises((AccessRefused, MissingPart)):
                use(path)
        assert descriptors() == before + 1
    assert descriptors() == before


@pytest.mark.parametrize(
    "path", ["../outside/secret", "a/../../outside/secret", "/etc/passwd", "", "a//b", "a/\0", ".."]
)
def test_paths_that_are_none_below_the_root(root: Path, path: str) -> None:
    with LocalSource(root) as source:
        with pytest.raises(AccessRefused):
            source.open_file(path)
        with pytest.raises(AccessRefused):
            source.open_folder(path)


def test_a_link_that_is_put_in_a_folder_s_place_leads_nowhere(root: Path) -> None:
    with LocalSource(root) as source:
        source.list_folder("a/b")
        (root / "a" / "b").rename(root / "a" / "c")
        (root / "a" / "b").symlink_to(root.parent / "outside")
        with pytest.raises(MissingPart):
            source.list_folder("a/b")
        with pytest.raises(MissingPart):
            source.open_file("a/b/secret")


def test_the_root_is_the_folder_and_not_its_name(root: Path) -> None:
    with LocalSource(root) as source:
        root.rename(root.with_name("elsewhere"))
        root.mkdir()
        assert source.list_folder("a/b").entries[0].name == "disk.img"


def test_what_is_gone_is_told_so(root: Path) -> None:
    with LocalSource(root) as source:
        for use in (source.open_file, source.stat, source.list_folder, source.open_folder):
            with pytest.raises(MissingPart):
                use("a/gone")


def test_what_may_not_be_read_is_told_so(root: Path) -> None:
    with LocalSource(root) as source:
        (root / "a" / "b" / "disk.img").chmod(0)
        with as_nobody(), pytest.raises(AccessRefused, match="Permission denied"):
            source.open_file("a/b/disk.img")
        (root / "a" / "b").chmod(0)
        try:
            with as_nobody():
                for use in (source.list_folder, source.open_folder):
                    with pytest.raises(AccessRefused, match="Permission denied"):
                        use("a/b")
        finally:
            (root / "a" / "b").chmod(0o755)


def test_a_folder_that_may_be_listed_and_not_entered(root: Path) -> None:
    with LocalSource(root) as source:
        (root / "a" / "b").chmod(0o444)
        try:
            with as_nobody():
                listing = source.list_folder("a/b")
        finally:
            (root / "a" / "b").chmod(0o755)
        assert [(name, error.why) for name, error in listing.lost] == [("disk.img", "denied")]


def test_a_folder_with_more_names_than_the_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "FOLDER_ENTRIES", 3)
    with LocalSource(root) as source, pytest.raises(LimitExceeded):
        source.list_folder("a")


def test_names_that_are_not_valid_text(root: Path) -> None:
    raw = os.fsencode(root) + b"/caf\xe9.img"
    with open(raw, "wb") as file:  # noqa: PTH123 - a name in bytes
        file.write(b"x")
    with LocalSource(root) as source:
        names = [entry.name for entry in source.list_folder(".").entries]
        assert "caf\udce9.img" in names
        assert source.stat("caf\udce9.img").size == 1
        with pytest.raises(AccessRefused, match="no file can have that name"):
            source.stat("\ud800")


def test_names_are_utf_8_whatever_the_locale(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "\N{LATIN SMALL LETTER E WITH ACUTE}.img").write_bytes(b"")
    monkeypatch.setattr(source_module, "_NAMES_ARE_UTF8", False)
    with LocalSource(root) as source:
        names = [entry.name for entry in source.list_folder(".").entries]
        assert "\N{LATIN SMALL LETTER E WITH ACUTE}.img" in names


def test_a_root_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "shut").mkdir(mode=0)
    for name in ("gone", "file", "nul\0"):
        with pytest.raises(UsageError):
            LocalSource(tmp_path / name)
    with LocalSource(tmp_path / "link") as source:
        assert len(source.list_folder(".").entries) == 3


def test_a_closed_source_opens_nothing(root: Path) -> None:
    source = LocalSource(root)
    source.close()
    source.close()
    with pytest.raises((ReadFailed, AccessRefused, MissingPart)):
        source.list_folder(".")
