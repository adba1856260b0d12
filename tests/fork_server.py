"""Batches as processes that are forked from a clean server: SQLite does not survive a fork of a process that used it.

The server is Python's own (multiprocessing's `forkserver`). It has loaded what batches load, and no database.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest import mock

from forked import become
from tools import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["fork_server_modules"])


class Served:
    """A process of the server, with what the tests use of `subprocess.Popen`."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return its status once it has ended: negative is the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve(
    program: Callable[[], object],
    arguments: Sequence[object],
    folder: Path,
    changes: Mapping[str, str],
    stdout: Path,
    stderr: Path,
) -> Served:
    """Run a program in a folder, with changes to the environment; its output is added to files."""
    places = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    given = [str(argument) for argument in arguments]
    for output in (stdout, stderr):  # tests look into them as soon as this returns
        output.touch()
    process = _CONTEXT.Process(target=_run, args=(program, given, folder, dict(changes), stdout, stderr))
    with mock.patch.dict(os.environ, PYTHONPATH=places):  # for the server, which the first one starts
        process.start()
    return Served(process)


def run_served(
    program: Callable[[], object], arguments: Sequence[object], folder: Path, changes: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; return its status and what it wrote."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        status = serve(program, arguments, folder, changes, out, err).wait()
        return subprocess.CompletedProcess(list(map(str, arguments)), status, out.read_text(), err.read_text())


def _run(
    program: Callable[[], object],
    arguments: list[str],
    folder: Path,
    changes: dict[str, str],
    stdout: Path,
    stderr: Path,
) -> None:
    with stdout.open("ab") as out, stderr.open("ab") as err:
        become(program, arguments, folder, changes, out.fileno(), err.fileno())
