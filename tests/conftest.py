"""What every test may use: `from tools import ...` works from any test folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> None:
    """Let the commands that tests start hear Ctrl-C, also when the tests themselves run in a shell's background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _workers_are_forked() -> Iterator[None]:
    """Let commands that run within a test fork their workers, as the program does.

    The thread that pytest-xdist adds waits for its next order and holds no lock; a fresh interpreter for every scan,
    which is what a program with threads gets (tests/batch/test_processes.py), takes half a second each. They
    have all modules from here: each would load them anew.
    """
    from imgscan.batch import process, worker

    worker.preload()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_threads", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _core_images_are_unpacked_once() -> Iterator[None]:
    """Keep the last of GRUB's core images: to unpack the same one each time is half of a scan of a small disk."""
    from imgscan.guests import grub_core

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grub_core, "_unpack", lru_cache(8)(grub_core._unpack))
        yield
