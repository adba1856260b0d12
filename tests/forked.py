"""The `imgscan` command as a process that is forked from the test's, where the start of an interpreter is no point.

An interpreter that starts and loads the command takes ten times as long as what most tests let it do. What only a
fresh one shows (streams that are closed, hash seeds, what is loaded when) starts one.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn


def run_forked(
    program: Callable[[], object], arguments: Sequence[object], folder: Path, changes: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; return its status and what it wrote."""
    given = [str(argument) for argument in arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the other threads of a test's process hold no lock
            pid = os.fork()
        if pid == 0:
            signal.alarm(300)  # a program that hangs ends, with its test
            become(program, given, folder, changes or {}, out.fileno(), err.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(given, status, out.read(), err.read())


def become(
    program: Callable[[], object],
    arguments: Sequence[object],
    folder: Path,
    changes: Mapping[str, str],
    stdout: int,
    stderr: int,
) -> NoReturn:
    """Be a process as if an interpreter had started in it: nothing of the test's own is left open or in force."""
    status = 70
    try:
        gc.freeze()  # what the test left behind is not cleaned up here: its descriptors are others' now
        faulthandler.disable()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        sys.unraisablehook, sys.excepthook = sys.__unraisablehook__, sys.__excepthook__
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        os.chdir(folder)
        os.environ.update(changes)
        time.tzset()
        sys.argv = ["imgscan", *map(str, arguments)]
        program()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a test
        traceback.print_exc()
        status = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                status = 120
        os._exit(status)
