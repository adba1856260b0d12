"""The walk over a share: order, what is left out, what cannot be looked at; and the patterns and dates of filters."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from unprivileged import as_nobody

from imgscan.batch import discovery
from imgscan.batch.discovery import Filters, discover, needs_identification, newer_than
from imgscan.batch.globs import Globs
from imgscan.batch.share import FileStamp, FoundFile, PathProblem
from imgscan.batch.source import Entry, Listing, LocalSource, OpenedFile
from imgscan.devices.file import FileIdentity
from imgscan.errors import ImageError, MissingPart, UsageError


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_bytes(b"x")


def walk(root: Path, filters: Filters | None = None) -> tuple[list[str], list[PathProblem]]:
    with LocalSource(root) as source:
        found = list(discover(source, filters))
    files = [one.path for one in found if isinstance(one, FoundFile)]
    return files, [one for one in found if isinstance(one, PathProblem)]


def files(root: Path, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    found, problems = walk(root, Filters(include, exclude))
    assert problems == []
    return found


def told(root: Path) -> list[tuple[str, str]]:
    return [(problem.path, problem.why) for problem in walk(root)[1]]


# ---- order and stamps


def test_natural_order_files_before_subfolders(tmp_path: Path) -> None:
    make(tmp_path, "web10/disk.img", "web9/disk.img", "Web1/disk10.img", "Web1/disk9.img", "Web1/a/x", "b", "A", "c")
    assert files(tmp_path) == [
        *("A", "b", "c", "Web1/disk9.img", "Web1/disk10.img", "Web1/a/x"),
        *("web9/disk.img", "web10/disk.img"),
    ]


def test_the_host_s_order_is_no_matter(tmp_path: Path) -> None:
    make(tmp_path, *(f"f{n % 7}/d{n}.img" for n in range(60)))

    class Backwards(LocalSource):
        def list_folder(self, path: str) -> Listing:
            listing = super().list_folder(path)
            return msgspec.structs.replace(
                listing, entries=sorted(listing.entries, key=lambda entry: entry.name, reverse=True)
            )

    with LocalSource(tmp_path) as source, Backwards(tmp_path) as other:
        assert list(discover(source)) == list(discover(other))


def test_stamps_are_the_files_own(tmp_path: Path) -> None:
    make(tmp_path, "a/disk.img")
    os.utime(tmp_path / "a" / "disk.img", ns=(1, 1_700_000_000_123_456_789))
    with LocalSource(tmp_path) as source:
        (found,) = discover(source)
    info = (tmp_path / "a" / "disk.img").stat()
    assert found == FoundFile("a/disk.img", FileStamp(1, 1_700_000_000_123_456_789, info.st_ino, info.st_dev))


def test_all_that_is_not_empty_is_identified() -> None:
    assert not needs_identification(FoundFile("x.vmdk", FileStamp(0, 0, 1, 1)))
    assert needs_identification(FoundFile("notes", FileStamp(1, 0, 1, 1)))


# ---- what is told and not followed


def test_links_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "a/disk.img")
    (tmp_path / "a" / "loop").symlink_to("..")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "etc").symlink_to("/etc")
    (tmp_path / "a" / "out").symlink_to("/nowhere")
    (tmp_path / "web.vmdk").symlink_to("a/disk.img")
    found, problems = walk(tmp_path)
    assert found == ["a/disk.img"]
    assert [(problem.path, problem.why) for problem in problems] == [
        ("web.vmdk", "not-collected"),
        ("a", "not-collected"),
    ]
    assert problems[1].detail == "symbolic links in this folder, not followed: etc, loop, out and 1 more"


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.vmdk")
    assert told(tmp_path) == [("pipe.vmdk", "not-collected")]


def test_folders_of_storage_systems_are_left_out_and_told(tmp_path: Path) -> None:
    special = [
        ".snapshot",
        "~snapshot",
        ".zfs",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        ".Trash-1000",
    ]
    make(tmp_path, "web/disk.img", "snapshot/disk.img", *(f"web/{name}/hourly.0/disk.img" for name in special))
    found, problems = walk(tmp_path)
    assert found == ["snapshot/disk.img", "web/disk.img"]
    assert sorted(problem.path for problem in problems) == sorted(f"web/{name}" for name in special)
    assert {problem.why for problem in problems} == {"not-collected"}
    found, problems = walk(tmp_path, Filters(special_folders=True))
    assert len(found) == 2 + len(special)
    assert problems == []
    assert files(tmp_path / "web" / ".snapshot") == ["hourly.0/disk.img"]


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    share = tmp_path / "share"
    make(share, "a/disk.img", "shut/disk.img", "z/disk.img")
    (share / "shut").chmod(0)
    try:
        with LocalSource(share) as source, as_nobody():
            found = list(discover(source))
    finally:
        (share / "shut").chmod(0o755)
    assert [one.path for one in found] == ["a/disk.img", "shut", "z/disk.img"]
    assert isinstance(found[1], PathProblem)
    assert found[1].why == "denied"
    assert found[1].detail.startswith("the folder was not looked at: ")


class Folders:
    """A source in memory: folders by path, each with its number and entries, or the error that listing it raises."""

    def __init__(self, folders: dict[str, tuple[int, list[Entry]] | ImageError]) -> None:
        self.folders = folders

    def list_folder(self, path: str) -> Listing:
        found = self.folders[path]
        if isinstance(found, ImageError):
            raise found
        return Listing(FileIdentity(1, found[0]), found[1], [("lost.img", MissingPart("it is not there any more"))])

    def stat(self, path: str) -> FileStamp:
        raise NotImplementedError

    def open_file(self, path: str) -> OpenedFile:
        raise NotImplementedError

    def open_folder(self, path: str) -> int:
        raise NotImplementedError


def entry(name: str) -> Entry:
    return Entry(name, "file", FileStamp(1, 1, 1, 1)) if "." in name else Entry(name, "folder", None)


def test_a_folder_that_is_met_again(tmp_path: Path) -> None:
    del tmp_path
    source = Folders(
        {
            ".": (1, [entry("a"), entry("b")]),
            "a": (2, [entry("x.img"), entry("loop")]),
            "a/loop": (1, [entry("a")]),
            "b": (2, [entry("x.img")]),
        }
    )
    found = [(one.path, isinstance(one, FoundFile)) for one in discover(source) if "lost" not in one.path]
    assert found == [("a/x.img", True), ("a/loop", False), ("b", False)]


def test_what_vanishes_during_the_walk(tmp_path: Path) -> None:
    del tmp_path
    source = Folders({".": (0, [entry("gone"), entry("x.img")]), "gone": MissingPart("it is not there any more")})
    found = list(discover(source))
    problems = [(one.path, one.why) for one in found if isinstance(one, PathProblem)]
    assert problems == [("lost.img", "missing"), ("gone", "missing")]
    assert sum(isinstance(one, FoundFile) for one in found) == 1


class Endless(LocalSource):
    """Every folder holds a file and a further folder."""

    listed = 0

    def list_folder(self, path: str) -> Listing:
        del path
        self.listed += 1
        return Listing(FileIdentity(1, self.listed), [entry("x.img"), entry("sub")], [])


def test_depth_and_count_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Endless(tmp_path) as source:
        found = list(discover(source))
        assert sum(isinstance(one, FoundFile) for one in found) == discovery.FOLDER_DEPTH + 1
        assert [(one.why, one.path.count("/")) for one in found if isinstance(one, PathProblem)] == [
            ("limit", discovery.FOLDER_DEPTH)
        ]
        monkeypatch.setattr(discovery, "FILES", 7)
        *found, last = discover(source)
        assert len(found) == 7
        assert isinstance(last, PathProblem)
        assert last.why == "limit"


def test_hostile_names_are_found(tmp_path: Path) -> None:
    names = [
        "a\nb.img",
        "\x1b[31m.img",
        "x" * 251 + ".img",
        "caf\udce9.img",
        " .img",
        "-rf.img",
        "*.img",
        "..img",
        "\\.img",
    ]
    make(tmp_path, *names)
    assert sorted(files(tmp_path)) == sorted(names)


def test_a_deep_path_is_no_matter(tmp_path: Path) -> None:
    """A path longer than the host takes at once (4096 bytes) is opened name by name."""
    name = "n" * 200
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(40):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("disk.img", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    assert files(tmp_path) == ["/".join([name] * 40 + ["disk.img"])]
    subprocess.run(["rm", "-rf", tmp_path / name], check=True)


# ---- include, exclude


TREE = ("a/web.vmdk", "a/web.iso", "a/old/web.vmdk", "b/db.vhdx", "b/old/x/db.vhdx", "top.vmdk", "c d/1.img")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make(tmp_path, *TREE)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("*.vmdk", {"a/web.vmdk", "a/old/web.vmdk", "top.vmdk"}),
        ("/*.vmdk", {"top.vmdk"}),
        ("*/*.vmdk", {"a/web.vmdk"}),
        ("a/*", {"a/web.vmdk", "a/web.iso", "a/old/web.vmdk"}),
        ("a/**", {"a/web.vmdk", "a/web.iso", "a/old/web.vmdk"}),
        ("old", {"a/old/web.vmdk", "b/old/x/db.vhdx"}),
        ("old/", {"a/old/web.vmdk", "b/old/x/db.vhdx"}),
        ("/old", set()),
        ("**/old/**", {"a/old/web.vmdk", "b/old/x/db.vhdx"}),
        ("**/old/*.vmdk", {"a/old/web.vmdk"}),
        ("b/**/db.vhdx", {"b/db.vhdx", "b/old/x/db.vhdx"}),
        ("**/x/**/*.vhdx", {"b/old/x/db.vhdx"}),
        ("?/web.*", {"a/web.vmdk", "a/web.iso"}),
        ("[ab]/old", {"a/old/web.vmdk", "b/old/x/db.vhdx"}),
        ("[!a]/old", {"b/old/x/db.vhdx"}),
        ("c d", {"c d/1.img"}),
        ("web.vmdk/", set()),
        ("*.VMDK", set()),
        ("**", set(TREE)),
        ("**/**/top.vmdk", {"top.vmdk"}),
    ],
)
def test_patterns(tree: Path, pattern: str, matched: set[str]) -> None:
    assert set(files(tree, include=(pattern,))) == matched
    assert set(files(tree, exclude=(pattern,))) == set(TREE) - matched


def test_patterns_together(tree: Path) -> None:
    assert files(tree, include=("a", "top.*"), exclude=("old", "*.iso")) == ["top.vmdk", "a/web.vmdk"]


def test_folders_in_which_nothing_can_match_are_not_listed(tree: Path) -> None:
    listed: list[str] = []

    class Watched(LocalSource):
        def list_folder(self, path: str) -> Listing:
            listed.append(path)
            return super().list_folder(path)

    with Watched(tree) as source:
        list(discover(source, Filters(include=("a/*.vmdk",))))
        assert listed == [".", "a"]
        listed.clear()
        list(discover(source, Filters(exclude=("b", "old"))))
        assert listed == [".", "a", "c d"]


@pytest.mark.parametrize("pattern", ["", "/", "a//b", "../x", "a/./b", "x\0"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        Globs([pattern])


def test_many_stars_cost_little() -> None:
    globs = Globs(["/".join(["**", "a*a*a*a*a*b"] * 20)])
    start = time.process_time()
    states = globs.start
    for _ in range(100):
        states = globs.step(states, "a" * 255, folder=True).below
    assert time.process_time() - start < 5


# ---- newer than


NOW = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 1_700_000_000 - 5400),
        ("12h", 1_700_000_000 - 43_200),
        ("7d", 1_700_000_000 - 604_800),
        ("2w", 1_700_000_000 - 1_209_600),
        ("2023-11-14", 1_699_920_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20+01:00", 1_699_996_400),
        ("1969-12-31", -86_400),
    ],
)
def test_moments(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert newer_than(text, NOW) == seconds * 1_000_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "7y", "yesterday", "2023-13-01", "14.11.2023", "\u0667d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="neither a duration"):
        newer_than(text, NOW)


# ---- the supervisor and speed


def test_no_parser_is_loaded() -> None:
    modules = "discovery, grouping, source, share, globs, names, chains, sidecar_machines, name_patterns, plan_text"
    code = (
        f"import sys; from imgscan.batch import {modules}\n"
        "print([m for m in sys.modules if m.startswith(('imgscan.containers', 'imgscan.layouts', 'imgscan.partitions', "
        "'imgscan.filesystems', 'imgscan.guests', 'imgscan.scan', 'construct', 'pytsk3'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_large_share_is_walked_quickly(tmp_path: Path) -> None:
    for folder in range(4):
        (tmp_path / f"f{folder}").mkdir()
        for number in range(250):
            os.close(os.open(tmp_path / f"f{folder}" / f"disk{number}.vmdk", os.O_CREAT | os.O_WRONLY))
    with LocalSource(tmp_path) as source:
        start = time.process_time()
        assert sum(1 for _ in discover(source)) == 1000
        spent = time.process_time() - start
    assert spent < 1000 / 7500  # measured: 60,000 files a second
