"""XFS: kept images that the kernel filled, against what it read of them; new ones by mkfs.xfs, against a folder.

The long tests fill filesystems through the kernel here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from filesystem_images import open_file, run
from tools import requires_tool
from xfs_images import Listing, kept, kept_facts, listing, listing_of_folder, opened

from imgscan.filesystems.signatures import identify
from imgscan.model.volume import Free

MIB = 1 << 20


def names_of(where: Listing) -> set[str]:
    return set(where)


@pytest.fixture(scope="module", params=["xfs-v5", "xfs-v4", "xfs-new"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(name, tmp_path_factory.mktemp("kept"))


def test_kept_images_as_the_kernel_read_them(name: str, image: Path) -> None:
    expected = kept_facts(name)["files"]
    found = listing(opened(open_file(image)[0]))
    assert names_of(found) == names_of(expected)
    assert {path: (facts, found[path]) for path, facts in expected.items() if found[path] != facts} == {}


def test_free_space_as_statfs_counts_it(name: str, image: Path) -> None:
    filesystem = opened(open_file(image)[0])
    size, inodes = kept_facts(name)["statfs"]
    assert filesystem.free() == Free(size, size, inodes)
    assert filesystem.condition() == "clean"


def test_type_label_and_uuid_as_blkid_says(name: str, image: Path) -> None:
    said = dict(line.split("=", 1) for line in kept_facts(name)["blkid"].splitlines())
    signature = identify(open_file(image)[0])
    assert (signature.content, signature.label, signature.uuid) == (said["TYPE"], said["LABEL"], said["UUID"])


def test_a_log_that_was_not_replayed_is_said(tmp_path: Path) -> None:
    filesystem = opened(open_file(kept("xfs-dirty", tmp_path))[0])
    assert filesystem.condition() == "log not replayed"
    found = listing(filesystem)
    expected = kept_facts("xfs-dirty")["files"]
    assert {path: found[path] for path in expected} == expected  # what was written before is there
    size, inodes = kept_facts("xfs-dirty")["statfs"]  # after the replay
    assert abs(filesystem.free().bytes - size) < 2 * MIB
    assert abs((filesystem.free().inodes or 0) - inodes) < 1000


MKFS = {
    "default": (),
    "v4": ("-m", "crc=0"),
    "v4 without file types": ("-m", "crc=0", "-n", "ftype=0"),
    "v4 ignoring case": ("-m", "crc=0", "-n", "version=ci"),
    "no bigtime": ("-m", "bigtime=0"),
    "many extents": ("-i", "nrext64=1"),
    "few extents": ("-i", "nrext64=0"),
    "sparse inodes": ("-i", "sparse=1"),
    "no sparse inodes": ("-i", "sparse=0"),
    "reverse mapping": ("-m", "rmapbt=1"),
    "nothing optional": ("-m", "reflink=0,finobt=0,rmapbt=0"),
    "directory blocks of 64 KiB": ("-n", "size=64k"),
    "blocks of 1 KiB": ("-b", "size=1k"),
    "blocks of 64 KiB": ("-b", "size=64k"),
    "v4 in blocks of 512 bytes": ("-m", "crc=0", "-b", "size=512"),
    "inodes of 2 KiB": ("-i", "size=2048"),
    "v4 with inodes of 256 bytes": ("-m", "crc=0", "-i", "size=256"),
    "sectors of 4 KiB": ("-s", "size=4096"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_bytes(b"ID=debian\n")
    (root / "etc" / ("n" * 255)).write_bytes(b"longest name")
    (root / "etc" / "empty").write_bytes(b"")
    for name, count in (("none", 0), ("few", 3), ("block", 40), ("leaf", 200), ("many", 700)):
        (root / name).mkdir()
        for number in range(count):
            (root / name / f"a-file-of-number-{number}.conf").write_bytes(b"%d" % number)
    below = root
    for number in range(25):
        below /= f"level-{number}"
        below.mkdir()
    (below / "deep").write_bytes(b"deep")
    (root / "large").write_bytes(b"".join(number.to_bytes(4, "big") for number in range(300_000)))
    (root / "link").symlink_to("etc/os-release")
    return root


def prototype(folder: Path, depth: int = 1) -> str:
    """Return a folder as mkfs.xfs's prototype file describes it."""
    lines = []
    for entry in sorted(folder.iterdir()):
        line = f"{' ' * depth}{entry.name} "
        if entry.is_symlink():
            lines.append(f"{line}l--777 0 0 {entry.readlink()}\n")
        elif entry.is_dir():
            lines.append(f"{line}d--755 0 0\n{prototype(entry, depth + 1)}")
        else:
            lines.append(f"{line}---{entry.stat().st_mode & 0o777:o} 0 0 {entry}\n")
    return "".join(lines) + f"{' ' * (depth - 1)}$\n"


def made(tree: Path, image: Path, *options: str, extra: str = "", size: int = 96) -> Path:
    """Make an XFS with the content of a folder, without a mount."""
    (image.parent / "prototype").write_text(f"/\n0 0\nd--755 0 0\n{extra}{prototype(tree)}")
    with image.open("wb") as file:
        file.truncate(size * MIB)
    run("mkfs.xfs", "--unsupported", "-q", "-f", *options, "-p", str(image.parent / "prototype"), str(image))
    return image


@requires_tool("mkfs.xfs", "blkid")
@pytest.mark.parametrize("variant", MKFS)
def test_made_by_mkfs(tree: Path, tmp_path: Path, variant: str) -> None:
    extra = " device c--600 0 0 1 3\n fifo p--644 0 0\n"
    image = made(
        tree,
        tmp_path / "x.img",
        *MKFS[variant],
        "-L",
        "made here",
        extra=extra,
        size=1024 if "64 KiB" in variant else 96,
    )
    filesystem = opened(open_file(image)[0])
    found = listing(filesystem, every=10)
    expected = listing_of_folder(tree)
    assert names_of(found) == names_of(expected) | {"/device", "/fifo"}
    assert (found["/device"][0], found["/fifo"][0]) == ("device", "fifo")
    for path, (kind, size, mode, *_, value) in expected.items():
        assert (found[path][0], found[path][1], found[path][-1]) == (kind, size, value), path
        assert kind != "file" or found[path][2] == mode
    assert filesystem.condition() == "clean"
    assert filesystem.case_sensitive == (variant != "v4 ignoring case")
    assert (filesystem.lookup(filesystem.root, "ETC") is None) == filesystem.case_sensitive
    said = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", str(image)).splitlines())
    signature = identify(open_file(image)[0])
    assert (signature.content, signature.label, signature.uuid) == (said["TYPE"], "made here", said["UUID"])
