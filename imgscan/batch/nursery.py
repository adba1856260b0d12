"""A nursery: a process that has the parsers loaded, parses nothing, and forks a worker for every job.

Loading takes a quarter of a second, a fork a few milliseconds. The supervisor passes the worker's ends of a
conversation over the nursery's control socket; it gets a descriptor of the worker's process, and in the end its exit
status and what it used. Nursery and worker die with their parents.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from typing import Final, NoReturn

import msgspec

from imgscan.batch import protocol
from imgscan.batch.conversation import Conversation, Usage
from imgscan.batch.process import become_worker, settle
from imgscan.batch.sandbox import Limits, die_with_parent

_START, _STARTED, _ENDED = b"G", b"S", b"X"
FORKS: Final = 20
FORK_PAUSE: Final = 0.5
"""How often a fork is tried again when the host has no process left, and the seconds between."""


class Nursery:
    """The supervisor's handle of a nursery, which runs one worker at a time."""

    def __init__(self, limits: Limits, *, required: bool) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.worker: int | None = None
        """A descriptor of the worker's process, while there is one and the kernel gives it."""
        parent = os.getpid()
        self.pid = _fork()
        if self.pid == 0:
            _become_nursery(theirs, limits, parent, required=required)
        theirs.close()

    def start(self, conversation: Conversation) -> None:
        """Have a worker forked for a conversation.

        :raises OSError: the nursery is gone
        """
        ends = [conversation.ends.worker_channel.fileno(), conversation.ends.worker_output]
        protocol.send(self.control, _START, b"", ends)

    def receive(self) -> tuple[int, Usage] | None:
        """Take what the nursery says: the exit status of its worker and what it used; None when it only started one.

        :raises EOFError: the nursery is gone
        """
        received = None
        with contextlib.suppress(ConnectionError):
            received = protocol.receive(self.control)
        if received is None:
            raise EOFError
        message, descriptors = received
        if message.kind == _STARTED:
            self.worker = descriptors[0] if descriptors else None
            return None
        status, cpu, memory = msgspec.msgpack.decode(message.payload, type=tuple[int, float, int])
        self._forget_worker()
        return status, Usage(cpu, memory)

    def kill_worker(self) -> None:
        """End the worker at once; before it is known who it is, with the nursery."""
        if self.worker is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.worker, signal.SIGKILL)

    def _forget_worker(self) -> None:
        if self.worker is not None:
            os.close(self.worker)
            self.worker = None

    def close(self) -> None:
        """End the nursery, and its worker with it; once."""
        self._forget_worker()
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _fork() -> int:
    """Fork; where no process can be had now, a few times more."""
    for _ in range(FORKS):
        with contextlib.suppress(BlockingIOError, MemoryError):
            return os.fork()
        time.sleep(FORK_PAUSE)
    return os.fork()


def _become_nursery(control: socket.socket, limits: Limits, parent: int, *, required: bool) -> NoReturn:
    """Turn the calling process, just forked by `parent`, into a nursery."""
    status = 1
    try:
        die_with_parent(parent)
        settle(os.open(os.devnull, os.O_RDWR), control.fileno())
        from imgscan.batch.worker import preload  # noqa: PLC0415 - the parsers: never loaded by a supervisor

        preload()
        gc.collect()
        gc.freeze()  # else the first collection in every worker copies all of it
        while True:
            received = protocol.receive(control)
            if received is None:
                break
            channel, output = received[1]
            _run_worker(control, channel, output, limits, required=required)
        status = 0
    finally:
        os._exit(status)


def _run_worker(control: socket.socket, channel: int, output: int, limits: Limits, *, required: bool) -> None:
    nursery = os.getpid()
    pid = _fork()
    if pid == 0:
        become_worker(socket.socket(fileno=channel), output, limits, required=required, parent=nursery)
    os.close(channel)
    os.close(output)
    try:
        process = [os.pidfd_open(pid)]
    except OSError:  # Linux before 5.3: the supervisor ends the nursery instead
        process = []
    protocol.send(control, _STARTED, b"", process)
    for descriptor in process:
        os.close(descriptor)
    _, status, used = os.wait4(pid, 0)
    answer = (status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
    protocol.send(control, _ENDED, msgspec.msgpack.encode(answer))
