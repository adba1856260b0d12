"""One worker process of the calling process, and what runs one job in it.

A process with one thread forks; one with several (a program that uses imgscan) starts a fresh interpreter, since a
fork would copy locks that other threads hold.
"""

from __future__ import annotations

import _socket as socket  # see `imgscan.batch.protocol`
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn

import msgspec

from imgscan.batch.conversation import Conversation, Ended, Ends, Usage, make_ends
from imgscan.batch.file_server import FileServer, Opener
from imgscan.batch.protocol import Job, readable, unpack_text
from imgscan.batch.sandbox import Limits, die_with, die_with_parent

_STARTED_AS: Final = "IMGSCAN_WORKER"
"""Environment variable of a fresh interpreter: its `_Settings`."""


class _Settings(msgspec.Struct, frozen=True):
    """What a fresh interpreter is told: three descriptors, and how to work."""

    channel: int
    output: int
    lifeline: int
    limits: Limits
    required: bool


class _Ahead(msgspec.Struct, frozen=True):
    """A worker that waits for the first job, if that has these limits."""

    pid: int
    ends: Ends
    limits: Limits


_ahead: list[_Ahead] = []
_leaving: list[int] = []
"""Both are empty in a program that uses imgscan: only a command starts a worker ahead, and lets one leave."""


def start_ahead() -> None:
    """Fork a worker for the first job that has the usual limits: it loads the parsers while this process goes on.

    Without such a job it ends with this process.
    """
    with contextlib.suppress(OSError):  # whoever needs a worker says what the host lacks
        ends, limits = make_ends(), Limits()
        _ahead.append(_Ahead(_fork(ends, limits, required=False), ends, limits))


def _taken_ahead(limits: Limits, *, required: bool) -> _Ahead | None:
    """Return the worker that waits, once, when it was started in the way that this job wants."""
    return _ahead.pop() if _ahead and _ahead[0].limits == limits and not required else None


def end_workers() -> None:
    """End what a command leaves: a worker that got no job, and those that have answered; they are reaped."""
    for ahead in _ahead:
        os.kill(ahead.pid, signal.SIGKILL)
        _leaving.append(ahead.pid)
    _ahead.clear()
    for pid in _leaving:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    _leaving.clear()


class Worker:
    """A running worker of this process, with the job it does; `pid` is that of one that was forked ahead."""

    def __init__(self, conversation: Conversation, *, required: bool, pid: int | None = None) -> None:
        self.conversation = conversation
        self.ended = False
        self._is_of_command = pid is not None
        self._lifeline = -1
        conversation.heard_at = time.monotonic()
        ends = conversation.ends
        if pid is not None:
            self.pid = pid
        elif _threads() == 1:
            self.pid = _fork(ends, conversation.limits, required=required)
        else:
            self.pid = self._spawn(required=required)
        conversation.start()
        self._ends: dict[int, Callable[[], bool]] = {
            conversation.channel.fileno(): conversation.receive,
            conversation.output: conversation.hear,
        }

    def wait(self) -> Ended:
        """Answer the worker until it ends; a limit that it exceeds, and an exception here, end it."""
        try:
            while not (self._is_of_command and self.conversation.has_result) and self.listen():
                pass
            may_leave = self._is_of_command and self.conversation.has_result
            status, usage = self._leave() if may_leave else self._reap()
        except BaseException:  # Ctrl-C too: no worker is left behind, and it goes on
            self.abandon()
            raise
        self._close()
        return self.conversation.end(status, usage)

    def abandon(self) -> None:
        """End the process, unless it has ended, and wait until it is gone."""
        if not self.ended:
            self.kill()
            with contextlib.suppress(ChildProcessError):
                os.wait4(self.pid, 0)
            self._close()
            self.conversation.close()

    def listen(self) -> bool:
        """Wait for something that the worker says, and take it; False when it will say no more, or shall not."""
        talk = self.conversation
        if not self._ends or talk.stopped is not None:
            return False
        for end in readable(self._ends, self._time_left()):
            if not self._ends[end]():
                del self._ends[end]
        self._check_time()
        return True

    def says_something(self) -> bool:
        """Whether there is something to take from the worker now."""
        return bool(readable(self._ends, 0))

    def kill(self) -> None:
        """End the process at once."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _leave(self) -> tuple[int, Usage]:
        """Let a process go whose work is done, to be reaped at the end: its memory takes a while to go."""
        self.kill()
        _leaving.append(self.pid)
        return 0, Usage()

    def _reap(self) -> tuple[int, Usage]:
        """Wait until the process is gone; closing both its ends does not save it from the time limit."""
        pause = 0.001
        while True:
            if self.conversation.stopped is not None:
                self.kill()
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                return status, Usage(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
            time.sleep(pause)
            pause = min(0.05, pause * 2)
            self._check_time()

    def _check_time(self) -> None:
        if self._time_left() == 0:
            wall = self.conversation.limits.wall
            self.conversation.stop("timed-out", f"reading it took more than {wall:.0f} s")

    def _time_left(self) -> float | None:
        """Return the seconds until the time limit; it counts from the start, or from the last output that came."""
        wall = self.conversation.limits.wall
        return None if wall is None else max(0.0, self.conversation.heard_at + wall - time.monotonic())

    def _close(self) -> None:
        self.ended = True
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _spawn(self, *, required: bool) -> int:
        """Start a fresh interpreter; what it inherits goes by the numbers it has there, no other child gets it."""
        talk = self.conversation
        lifeline, self._lifeline = os.pipe2(os.O_CLOEXEC)
        inherited = (talk.ends.worker_channel.fileno(), talk.ends.worker_output, lifeline)
        first = max(inherited) + 1
        numbers = range(first, first + len(inherited))
        channel, output, told = numbers
        settings = msgspec.json.encode(_Settings(channel, output, told, talk.limits, required)).decode()
        command = [sys.executable, "-P", "-m", "imgscan.batch.process"]
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)  # noqa: PTH109 - it may be gone
        actions = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in zip(inherited, numbers, strict=True)]
        environment = {**os.environ, _STARTED_AS: settings, "PYTHONPATH": path}
        try:
            return os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        finally:
            os.close(lifeline)


def _fork(ends: Ends, limits: Limits, *, required: bool) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the caller may have closed it
            stream.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        become_worker(ends.worker_channel, ends.worker_output, limits, parent=parent, required=required)
    return pid


def run_job(
    job: Job,
    opener: Opener,
    limits: Limits,
    *,
    sink: Callable[[bytes], object] | None = None,
    note: Callable[[str], None] | None = None,
    required: bool = False,
    meanwhile: Sequence[Callable[[], object]] = (),
) -> Ended:
    """Do one job in a worker of its own, and wait for it; output goes to `sink`, lines for the user to `note`.

    `meanwhile` is done while the worker works; between its tasks, which should be short, the worker gets what it asks
    for.
    """
    server = FileServer(opener, [unpack_text(path) for path in job.paths], limits.files)
    worker: Worker | None = None
    try:
        with _no_interrupt():
            ahead = _taken_ahead(limits, required=required)
            ends, pid = (make_ends(), None) if ahead is None else (ahead.ends, ahead.pid)
            worker = Worker(Conversation(job, server, limits, sink, note, ends), required=required, pid=pid)
        for task in meanwhile:
            while worker.says_something() and worker.listen():
                pass
            with _no_interrupt():
                task()
        return worker.wait()
    except BaseException:  # Ctrl-C too: no worker is left behind, and it goes on
        if worker is not None:
            worker.abandon()
        raise


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let Ctrl-C wait: raised inside a callback of Python's own, at a fork or an import, it would be lost."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - start-up time


def become_worker(
    channel: socket.socket,
    output: int,
    limits: Limits,
    *,
    required: bool,
    parent: int | None = None,
    lifeline: int | None = None,
) -> NoReturn:
    """Turn the calling process, just started, into a worker: it does its job and ends here.

    It shall end with `parent`, the process that forked it, or with the other end of the pipe `lifeline`.
    """
    status = 1
    try:
        if parent is not None:
            die_with_parent(parent)
        settle(output, channel.fileno(), *(() if lifeline is None else (lifeline,)))
        if lifeline is not None:
            die_with(lifeline)
        from imgscan.batch.worker import work  # noqa: PLC0415 - the parsers: never loaded by a supervisor

        work(channel, limits, required=required)
        status = 0
    except Exception as error:  # noqa: BLE001 - it is printed for the supervisor, who says what became of the job
        os.write(2, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def settle(output: int, *kept: int) -> None:
    """Let go of what a process inherited: signal handlers, standard streams, all descriptors but those `kept`.

    Ctrl-C is the supervisor's business, who ends its children.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN if number in {signal.SIGINT, signal.SIGPIPE} else signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, 1 << 20)


def main() -> NoReturn:
    """Be the worker that `_spawn` started."""
    settings = os.environ.pop(_STARTED_AS, "")
    if not settings:
        sys.exit("imgscan.batch.process is started by imgscan itself")
    told = msgspec.json.decode(settings, type=_Settings)
    channel = socket.socket(fileno=told.channel)
    become_worker(channel, told.output, told.limits, required=told.required, lifeline=told.lifeline)


if __name__ == "__main__":
    main()
