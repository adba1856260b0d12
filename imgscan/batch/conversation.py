"""The supervisor's side of one job: answers what the worker asks, and keeps what it says, within limits."""

from __future__ import annotations

import _socket as socket  # see `imgscan.batch.protocol`
import contextlib
import fcntl
import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.batch import protocol
from imgscan.batch.answers import parse_learnt
from imgscan.batch.file_server import FileServer
from imgscan.batch.protocol import ErrorMessage, Job, Messages, TooLarge, readable
from imgscan.batch.sandbox import Level, Limits
from imgscan.errors import ERRORS, ImgscanError, LimitExceeded, Why
from imgscan.model.machine import MachineFacts
from imgscan.model.text import shown

RECEIVED_AT_ONCE: Final = 1 << 18
OUTPUT_KEPT: Final = 400
"""Characters of what a worker printed that are kept for the message."""
NONSENSE: Final = "the worker's answer makes no sense"
NOTES: Final = 100
"""Lines for the user that one worker may send."""
NAMES: Final = {
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGABRT: "an abort",
    signal.SIGBUS: "a bus error",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGILL: "an illegal instruction",
    signal.SIGSYS: "a system call that it may not make",
}
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class Death(msgspec.Struct, frozen=True):
    """How a worker ended without an answer.

    `part` is what it was reading, empty when that is not known; `from_outside` is whether something else killed it.
    """

    why: Why
    detail: str
    part: str
    from_outside: bool = False


class Done(msgspec.Struct, frozen=True):
    """How far the worker was closed in, and what the job's kind returned."""

    level: Level
    result: bytes


class Usage(msgspec.Struct, frozen=True):
    """What a worker used: processor time in seconds, and its largest memory in bytes."""

    cpu: float = 0.0
    memory: int = 0


class Ended(msgspec.Struct, frozen=True):
    """The end of a job: one of `done`, `error` and `death`; `learnt` are the last facts that came, as they came.

    `level` is None when the worker ended before it was closed in: it parsed nothing then.
    """

    done: Done | None
    error: ImgscanError | None
    death: Death | None
    learnt: bytes | None
    usage: Usage
    level: Level | None = None

    def facts_learnt(self) -> MachineFacts | None:
        """Return the last facts, None without any that make sense."""
        if self.learnt is None:
            return None
        try:
            return parse_learnt(self.learnt)
        except (msgspec.MsgspecError, ValueError):
            return None


class Ends(msgspec.Struct, frozen=True):
    """The two ends of what a supervisor and its worker say to each other over; `output` is what the worker prints."""

    channel: socket.socket
    worker_channel: socket.socket
    output: int
    worker_output: int


def make_ends() -> Ends:
    """Return a new pair of ends, each above the standard streams."""
    channel, worker_channel = map(_above_standard, socket.socketpair())
    output, worker_output = map(_raised, os.pipe2(os.O_CLOEXEC))
    os.set_blocking(output, False)
    return Ends(channel, worker_channel, output, worker_output)


class Conversation:
    """One job and its worker. Feed it with `receive` and `hear` when there is something; then `end` it.

    `heard_at` is when output for the `sink` came, on the monotonic clock.
    """

    def __init__(
        self,
        job: Job,
        server: FileServer,
        limits: Limits,
        sink: Callable[[bytes], object] | None = None,
        note: Callable[[str], None] | None = None,
        ends: Ends | None = None,
    ) -> None:
        self.ends = ends or make_ends()
        self.channel, self.output = self.ends.channel, self.ends.output
        page = _raised(os.memfd_create("imgscan-part", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.write(page, bytes(protocol.PART_BYTES))
        # cut by a worker, looking at it would kill this process
        fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._page = mmap.mmap(page, protocol.PART_BYTES)
        self._job = job
        self._page_file = page
        self.server = server
        self.limits = limits
        self.heard_at = 0.0
        self._sink = sink
        self._note = note
        self._messages = Messages(limits.answer)
        self._printed = 0
        self._heard = b""
        self._notes = 0
        self._learnt: bytes | None = None
        self._level: Level | None = None
        self._result: bytes | None = None
        self._error: ImgscanError | None = None
        self.stopped: Death | None = None

    def start(self) -> None:
        """Send the job, and close the worker's ends, which it has by now; a worker that is gone is noticed later."""
        self.ends.worker_channel.close()
        os.close(self.ends.worker_output)
        with contextlib.suppress(OSError):
            protocol.send(self.channel, protocol.JOB, msgspec.msgpack.encode(self._job), [self._page_file])
        os.close(self._page_file)

    @property
    def has_result(self) -> bool:
        """Whether the worker has answered the job: it has no more to say."""
        return self._result is not None and self._level is not None and self.stopped is None

    def part(self) -> str:
        """Return the part that the worker says it is reading; its own words, made harmless."""
        length = int.from_bytes(self._page[:2], "little")
        return shown(protocol.unpack_text(self._page[2 : 2 + min(length, protocol.PART_BYTES - 2)]))

    def receive(self) -> bool:
        """Take what the worker sent; False when it will send no more, or shall not."""
        try:
            data = self.channel.recv(RECEIVED_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            for message in self._messages.feed(data):
                self._take(message)
        except TooLarge as error:
            self.stop("limit", f"the worker sent {error}")
        except msgspec.MsgspecError:
            self.stop("crashed", "the worker sent what makes no sense")
        return self.stopped is None

    def _take(self, message: protocol.Message) -> None:
        if message.kind == protocol.ASK:
            answer, descriptors = self.server.answer(message.payload)
            self._answer(msgspec.msgpack.encode(answer), descriptors)
        elif message.kind == protocol.LEARNT:
            self._learnt = message.payload
        elif message.kind == protocol.RESULT:
            self._result = message.payload
        elif message.kind == protocol.ERROR:
            self._error = protocol.unpack_error(msgspec.msgpack.decode(message.payload, type=ErrorMessage))
        elif message.kind == protocol.DATA:
            if self._sink is not None:
                self.heard_at = time.monotonic()
                self._sink(message.payload)
        elif message.kind == protocol.NOTE:
            self._notes += 1
            if self._notes > NOTES:
                self.stop("limit", f"the worker had more than {NOTES} things to say")
            elif self._note is not None:
                self._note(protocol.unpack_text(message.payload))
        elif message.kind == protocol.CLOSED_IN and self._level is None:
            self._level = msgspec.msgpack.decode(message.payload, type=Level)
        else:
            raise msgspec.DecodeError

    def _answer(self, payload: bytes, descriptors: list[int]) -> None:
        try:
            protocol.send(self.channel, protocol.ANSWER, payload, descriptors, wait=False)
        except BlockingIOError:
            self.stop("crashed", "the worker does not read what it asked for")
        except ConnectionError:
            pass  # it is gone; why, its exit status says
        except OSError as error:
            self.stop("crashed", f"the worker does not take what it asked for: {error.strerror}")

    def hear(self) -> bool:
        """Take what the worker printed; False when it will print no more."""
        try:
            data = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return True
        self._printed += len(data)
        self._heard = (self._heard + data)[-OUTPUT_KEPT:]
        if self._printed > self.limits.output:
            self.stop("limit", f"the worker printed more than {self.limits.output} bytes")
        return bool(data)

    def stop(self, why: Why, detail: str) -> None:
        """Decide that the worker has to end; whoever runs it kills it then."""
        if self.stopped is None:
            self.stopped = Death(why, detail, self.part())

    def end(self, status: int, usage: Usage) -> Ended:
        """Return how the job ended, after the process did; `status` is as `os.wait4` gives it."""
        while self.stopped is None and self._readable() and self.receive():
            pass
        while self.stopped is None and readable([self.output], 0) and self.hear():
            pass
        part = self.part()
        self.close()
        if self.stopped is None and self._error is not None:
            return Ended(None, self._error, None, self._learnt, usage, self._level)
        if self.stopped is None and self._result is not None and self._level is not None:
            return Ended(Done(self._level, self._result), None, None, self._learnt, usage, self._level)
        death = self.stopped or self._death(status, usage, part)
        return Ended(None, None, death, self._learnt, usage, self._level)

    def _readable(self) -> bool:
        return bool(readable([self.channel.fileno()], 0))

    def _death(self, status: int, usage: Usage, part: str) -> Death:
        said = shown(self._heard.decode("utf-8", "replace").strip())
        said = f"; it said: {said}" if said else ""
        if not os.WIFSIGNALED(status):
            return Death("crashed", f"the worker ended without an answer (status {os.WEXITSTATUS(status)}){said}", part)
        number = signal.Signals(os.WTERMSIG(status)) if os.WTERMSIG(status) in set(signal.Signals) else None
        cpu = self.limits.cpu
        if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu is not None and usage.cpu >= cpu):
            return Death("timed-out", f"reading it took more than {cpu} s of processor time", part)
        if "bad_alloc" in said or "MemoryError" in said:
            return Death("limit", "reading it needs more memory than one machine may use", part)
        if number in _FROM_OUTSIDE:
            name = number.name if number is not None else ""
            return Death("crashed", f"the worker was killed from outside ({name})", part, from_outside=True)
        name = NAMES.get(number, f"signal {os.WTERMSIG(status)}") if number is not None else "an unknown signal"
        return Death("crashed", f"the parser died of {name}{said}", part)

    def close(self) -> None:
        """Close what belongs to the conversation; the server's files stay open."""
        self.channel.close()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
        self._page.close()


def _raised(descriptor: int) -> int:
    """Return the descriptor, or a copy above 2: a worker's standard streams would take its place."""
    if descriptor > 2:
        return descriptor
    above = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return above


def _above_standard(end: socket.socket) -> socket.socket:
    return socket.socket(fileno=_raised(end.detach()))


def error_of(ended: Ended) -> ImgscanError | None:
    """Return the error that ended a job that is not to be repeated; None when there is a result."""
    if ended.error is not None:
        return ended.error
    if ended.death is None:
        return None
    kind = ERRORS.get(ended.death.why, LimitExceeded)
    where = ended.death.part
    return kind(ended.death.detail, where=where)
