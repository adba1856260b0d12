"""One worker process of the calling process, and what runs one job in it.

A process with one thread forks; one with several (a program that uses imgscan) starts a fresh interpreter, since a
fork would copy locks that other threads hold.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from imgscan.batch.conversation import Conversation, Ended, Usage
from imgscan.batch.file_server import FileServer, Opener
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.sandbox import Limits

_STARTED_AS: Final = "IMGSCAN_WORKER"
"""Environment variable of a fresh interpreter: its channel, its limits."""


class Worker:
    """A running worker of this process, with the job it does."""

    def __init__(self, conversation: Conversation, *, required: bool) -> None:
        self.conversation = conversation
        self._started = time.monotonic()
        alone = _threads() == 1
        self.ended = False
        self.pid = _fork(conversation, required=required) if alone else _spawn(conversation, required=required)
        conversation.start()

    def wait(self) -> Ended:
        """Answer the worker until it ends; a limit that it exceeds, and an exception here, end it."""
        talk = self.conversation
        try:
            open_ends = {talk.channel.fileno(): talk.receive, talk.output: talk.hear}
            while open_ends and talk.stopped is None:
                timeout = self._time_left()
                ready, _, _ = select.select(list(open_ends), [], [], timeout)
                if not ready and timeout is not None and self._time_left() == 0:
                    talk.stop("timed-out", f"reading it took more than {talk.limits.wall:.0f} s")
                for end in ready:
                    if not open_ends[end]():
                        del open_ends[end]
            if talk.stopped is not None:
                self.kill()
        except BaseException:
            self.kill()
            os.wait4(self.pid, 0)
            self.ended = True
            talk.close()
            raise
        _, status, used = os.wait4(self.pid, 0)
        self.ended = True
        return talk.end(status, Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _time_left(self) -> float | None:
        wall = self.conversation.limits.wall
        return None if wall is None else max(0.0, self._started + wall - time.monotonic())


def run_job(
    job: Job,
    opener: Opener,
    limits: Limits,
    *,
    sink: Callable[[bytes], object] | None = None,
    note: Callable[[str], None] | None = None,
    required: bool = False,
) -> tuple[Ended, FileServer]:
    """Do one job in a worker of its own, and wait for it; output goes to `sink`, lines for the user to `note`."""
    server = FileServer(opener, [unpack_text(path) for path in job.paths])
    ended = Worker(Conversation(job, server, limits, sink, note), required=required).wait()
    return ended, server


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _fork(conversation: Conversation, *, required: bool) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        become_worker(conversation.worker_channel, conversation.worker_output, conversation.limits, required=required)
    return pid


def become_worker(channel: socket.socket, output: int, limits: Limits, *, required: bool) -> NoReturn:
    """Turn the calling process, just forked, into a worker: it does its job and ends here."""
    status = 1
    try:
        settle(channel, output)
        from imgscan.batch.worker import work  # noqa: PLC0415 - the parsers: never loaded by a supervisor

        work(channel, limits, required=required)
        status = 0
    except Exception as error:  # noqa: BLE001 - it is printed for the supervisor, who says what became of the job
        os.write(2, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def settle(channel: socket.socket, output: int) -> None:
    """Let go of what a fork inherited: signal handlers, standard streams, all descriptors but the channel.

    Ctrl-C is the supervisor's business, who ends its children.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN if number in {signal.SIGINT, signal.SIGPIPE} else signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    kept = channel.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 20)


def _spawn(conversation: Conversation, *, required: bool) -> int:
    channel, output = conversation.worker_channel.fileno(), conversation.worker_output
    settings = msgspec.json.encode((channel, output, conversation.limits, required)).decode()
    os.set_inheritable(channel, True)
    os.set_inheritable(output, True)
    command = [sys.executable, "-P", "-m", "imgscan.batch.process"]
    path = os.pathsep.join(part for part in sys.path if part)
    return os.posix_spawn(sys.executable, command, {**os.environ, _STARTED_AS: settings, "PYTHONPATH": path})


def main() -> NoReturn:
    """Be the worker that `_spawn` started."""
    settings = os.environ.pop(_STARTED_AS, "")
    if not settings:
        sys.exit("imgscan.batch.process is started by imgscan itself")
    channel, output, limits, required = msgspec.json.decode(settings, type=tuple[int, int, Limits, bool])
    become_worker(socket.socket(fileno=channel), output, limits, required=required)


if __name__ == "__main__":
    main()
