"""Foreign tools and optional data for tests: skipped when missing on a developer's machine, an error in CI."""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
SHARED_DATA = ROOT.parent / "shared" / "data"


def require_tool(name: str) -> str:
    """Return the path of a foreign tool; skip the test without it, and fail in CI, where the scripts install it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    return found if found is not None else _missing(name)


def require_file(path: Path) -> bytes:
    """Return what a file of a foreign tool's package holds; skip the test without it, and fail in CI.

    Call it in a test or fixture, never while a module is imported: that would end the whole run.
    """
    return path.read_bytes() if path.is_file() else _missing(str(path))


def _missing(name: str) -> NoReturn:
    message = f"{name} is not installed; scripts/install_tools installs what the tests use"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def requires_tool(*names: str) -> pytest.MarkDecorator:
    """Mark a test that needs foreign tools."""
    missing = [n for n in names if shutil.which(n, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None]
    in_ci = os.environ.get("CI") == "true"
    return pytest.mark.skipif(bool(missing) and not in_ci, reason=f"needs {', '.join(missing)}: scripts/install_tools")


@contextmanager
def soon(seconds: float = 30.0) -> Iterator[None]:
    """Fail when the block takes more processor time: a hundredth of it is usual, so that a busy machine is no failure.

    For what would take minutes or never end; what a thing costs is counted in reads and bytes.
    """
    started = time.process_time()
    yield
    took = time.process_time() - started
    assert took < seconds, f"{took:.1f} s"


PIECE_BYTES = 1 << 16
_ZEROS = bytes(PIECE_BYTES)


def pieces(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the pieces of a file that are not zeros, at multiples of 64 KiB: offset and data; holes are not read.

    The first is the one in which `start` lies.

    Images are mostly holes: to read, copy or hash all of each takes more time than to scan it.
    """
    with path.open("rb", buffering=0) as file:
        size, offset = os.fstat(file.fileno()).st_size, start
        while offset < size:
            try:
                offset = os.lseek(file.fileno(), offset, os.SEEK_DATA) // PIECE_BYTES * PIECE_BYTES
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return  # a hole up to the end
            data = os.pread(file.fileno(), PIECE_BYTES, offset)
            if data != _ZEROS[: len(data)]:
                yield offset, data
            offset += PIECE_BYTES


def copy_image(source: Path, target: Path) -> Path:
    """Copy an image, its zeros as holes; return the copy."""
    with target.open("wb", buffering=0) as file:
        file.truncate(source.stat().st_size)
        for offset, data in pieces(source):
            os.pwrite(file.fileno(), data, offset)
    return target


def image_digest(path: Path) -> str:
    """Return a digest of a file's size and content; a hole and zeros are the same."""
    digest = hashlib.sha256(b"%d" % path.stat().st_size)
    for offset, data in pieces(path):
        digest.update(b"%d:" % offset + data)
    return digest.hexdigest()


def shared_data(name: str) -> bytes:
    """Return a decompressed file of the optional data folder beside the checkout; skip without it."""
    path = SHARED_DATA / name
    if not path.is_file():
        pytest.skip(f"optional data {name} is not here")
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
