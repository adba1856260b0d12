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
from typing import NoReturn

import msgspec

from imgscan.batch import protocol
from imgscan.batch.conversation import Conversation, Usage
from imgscan.batch.process import become_worker, settle
from imgscan.batch.sandbox import Limits, die_with_parent

_START, _STARTED, _ENDED = b"G", b"S", b"X"


class Nursery:
    """The supervisor's handle of a nursery, which runs one worker at a time."""

    def __init__(self, limits: Limits, *, required: bool) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.worker: int | None = None
        """A descriptor of the worker's process, while there is one."""
        self.pid = os.fork()
        if self.pid == 0:
            _become_nursery(theirs, limits, required=required)
        theirs.close()

    def start(self, conversation: Conversation) -> None:
        """Have a worker forked for a conversation.

        :raises OSError: the nursery is gone
        """
        ends = [conversation.worker_channel.fileno(), conversation.worker_output]
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
            self.worker = descriptors[0]
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
        """End the nursery, and its worker with it."""
        self._forget_worker()
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _become_nursery(control: socket.socket, limits: Limits, *, required: bool) -> NoReturn:
    """Turn the calling process, just forked, into a nursery."""
    status = 1
    try:
        die_with_parent()
        nothing = os.open(os.devnull, os.O_RDWR)
        settle(control, nothing)
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
    pid = os.fork()
    if pid == 0:
        become_worker(socket.socket(fileno=channel), output, limits, required=required)
    os.close(channel)
    os.close(output)
    process = os.pidfd_open(pid)
    protocol.send(control, _STARTED, b"", [process])
    os.close(process)
    _, status, used = os.wait4(pid, 0)
    answer = (status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
    protocol.send(control, _ENDED, msgspec.msgpack.encode(answer))
