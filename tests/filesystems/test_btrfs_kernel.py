"""Btrfs filled by the kernel, and read by both: every profile, compression, checksum and node size. Needs root."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from btrfs_images import seen, seen_by_kernel
from filesystem_images import open_file
from tools import require_tool

from imgscan.filesystems.btrfs import open_btrfs

pytestmark = pytest.mark.long


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextmanager
def mounted(images: Sequence[Path], point: Path, options: str = "") -> Iterator[Path]:
    """Mount the devices; skipped where that is not possible, which in CI it must be."""
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("mounting needs root")
    point.mkdir(exist_ok=True)
    loops = [run("losetup", "-f", "--show", image) for image in images]
    try:
        run("btrfs", "device", "scan", *loops)
        words = [word for word in (options, *(f"device={loop}" for loop in loops)) if word]
        run("mount", "-t", "btrfs", "-o", ",".join(words), loops[0], point)
        try:
            yield point
        finally:
            run("umount", point)
    finally:
        run("losetup", "-d", *loops)
        run("btrfs", "device", "scan", "--forget")


def fill(top: Path) -> None:
    """Put in what is hard to read."""
    dice = random.Random(9)
    for name in ("many", "small", "refs", "/".join(f"level{n}" for n in range(60))):
        (top / name).mkdir(parents=True)
    for number in range(2000):
        (top / "many" / f"name-{number}").write_bytes(b"%d" % number)
    for size in (0, 1, 100, 2000, 2048, 2049, 4095, 4096, 4097, 131071, 131072, 131073, 500_000):
        (top / "small" / f"text{size}").write_bytes((b"%d abc " % size * size)[:size])
        (top / "small" / f"random{size}").write_bytes(dice.randbytes(size))
    (top / "large").write_bytes(dice.randbytes(6 << 20) + b"compressible text " * 300_000)
    run("cp", "--reflink=always", top / "large", top / "refs" / "clone")
    with (top / "fragmented").open("wb") as file:
        for number in range(500):
            os.pwrite(file.fileno(), dice.randbytes(4096), dice.randrange(2000) * 4096)
            if number % 20 == 0:
                os.fsync(file.fileno())
    with (top / "sparse").open("wb") as file:
        os.pwrite(file.fileno(), b"x" * 5000, 123_456)
        os.pwrite(file.fileno(), b"y" * 5000, 60 << 20)
        file.truncate(5 << 30 if os.environ.get("CI") == "true" else 64 << 20)
    with (top / "preallocated").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
        os.pwrite(file.fileno(), b"z" * 9000, 77_777)
    (top / ("n" * 255)).write_text("long name")
    (top / "long-link").symlink_to("t" * 3000)
    for number in range(100):
        os.link(top / "small" / "text100", top / "refs" / f"{number}{'l' * 200}")
    os.mkfifo(top / "small" / "fifo")
    run("btrfs", "subvolume", "create", top / "nested")
    (top / "nested" / "file").write_text("before")
    run("btrfs", "subvolume", "snapshot", top, top / "snapshot")
    run("btrfs", "subvolume", "snapshot", "-r", top / "nested", top / "read-only")
    (top / "nested" / "file").write_text("after")


CASES = [
    (1, "", ()),
    (1, "compress-force=zlib", ()),
    (1, "compress-force=lzo", ("--csum", "xxhash")),
    (1, "compress-force=zstd:9", ("-n", "65536")),
    (1, "nodatasum", ("-n", "4096", "-O", "^no-holes", "-R", "^free-space-tree")),
    (1, "", ("--mixed", "-n", "4096")),
    (1, "", ("-d", "dup", "-m", "dup", "--csum", "sha256")),
    (2, "", ("-d", "raid0", "-m", "raid1")),
    (2, "compress=zstd", ("-d", "raid1", "-m", "raid1", "--csum", "blake2")),
    (3, "", ("-d", "single", "-m", "raid1c3")),
    (4, "", ("-d", "raid1c4", "-m", "raid1c4")),
    (4, "", ("-d", "raid10", "-m", "raid10")),
    (3, "", ("-d", "raid5", "-m", "raid5")),
    (4, "", ("-d", "raid6", "-m", "raid6")),
]


@pytest.mark.parametrize(
    ("count", "mount", "options"), CASES, ids=[" ".join((*o, m)) or "default" for _, m, o in CASES]
)
def test_both_read_the_same(tmp_path: Path, count: int, mount: str, options: tuple[str, ...]) -> None:
    images = [tmp_path / f"{number}.img" for number in range(count)]
    for number, image in enumerate(images):
        with image.open("wb") as file:
            file.truncate((700 + 50 * number) << 20)
    run(require_tool("mkfs.btrfs"), "-q", "-f", *options, *images)
    with mounted(images, tmp_path / "mnt", mount) as top:
        fill(top)
    copies = [image.with_suffix(".copy") for image in images]
    for image, copy in zip(images, copies, strict=True):
        run("cp", "--sparse=always", image, copy)
    filesystem = open_btrfs([open_file(copy)[0] for copy in reversed(copies)], "disk0")
    with mounted(images, tmp_path / "mnt") as top:
        info = os.statvfs(top)
        free = filesystem.free()
        assert (free.bytes, free.available) == (info.f_bfree * info.f_frsize, info.f_bavail * info.f_frsize)
        assert seen(filesystem) == seen_by_kernel(top)
    if any(option in {"raid1", "raid1c4", "raid10"} for option in options) and "raid0" not in options:
        without = open_btrfs([open_file(copy)[0] for copy in copies[1:]], "disk0")
        assert seen(without) == seen(filesystem)
