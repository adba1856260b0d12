"""What a supervisor and its worker say to each other, over a pair of connected sockets.

A message is a kind (one byte), the length of its payload (four bytes, little endian) and the payload; descriptors of
files ride on the first byte of an answer. Everything that a worker says is treated as hostile: sizes are limited, and
what is decoded is checked against its type.

Names are bytes on the wire (`pack_text`): a file's name need not be valid text.
"""

from __future__ import annotations

import _socket as socket  # socket itself makes enumerations of all its constants first: 5 ms of every scan
import array
import select
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from imgscan.errors import ERRORS, ImageError, ImgscanError, InternalFailure, LimitExceeded, UsageError, Why
from imgscan.model.collect import Group

JOB, CLOSED_IN, ASK, ANSWER, LEARNT = b"J", b"C", b"A", b"W", b"L"
RESULT, ERROR, DATA, NOTE = b"R", b"E", b"D", b"N"
"""Kinds of messages: the job; how far the worker is closed in, before it parses anything; a worker asking for files,
and the answer; facts so far; the result or the error that ends the job; a piece of output; a line for the user."""
_HEAD: Final = struct.Struct("<cI")
DESCRIPTORS: Final = 200
"""Descriptors in one message (the kernel takes 253)."""
PART_BYTES: Final = 1024
"""The page that a worker shares with its supervisor: the part that is being read, behind its length (two bytes)."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker shall do: `kind` is the module's name in `imgscan.batch.jobs`.

    `paths` are what the given files are called; a worker cannot open them, it asks for the first, the second, ...
    `left_out` are parts not to read, with why and a sentence; `arguments` are the kind's own; `collect` are
    the costly groups of facts to read.
    """

    kind: str
    paths: tuple[bytes, ...]
    input_format: str | None = None
    left_out: dict[str, tuple[Why, bytes]] = {}
    arguments: dict[str, str | int | bool | None] = {}
    collect: tuple[Group, ...] = ()


class Ask(msgspec.Struct, frozen=True):
    """A worker asks for files: `what` is `given` (`number` says which), `extent` or `parents` (it is the scope)."""

    what: str
    number: int
    name: bytes = b""


class OpenedFile(msgspec.Struct, frozen=True):
    """A file whose descriptor comes with the answer; `scope` stands for the files that it may itself refer to.

    `modified` is in Unix seconds.
    """

    name: bytes
    size: int
    modified: float
    device: int
    inode: int
    scope: int


class ErrorMessage(msgspec.Struct, frozen=True):
    """An `ImgscanError` on the wire; `kind` is `usage`, `internal`, or the why of an image error."""

    kind: str
    message: bytes
    where: bytes = b""
    offset: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """The files that were asked for, in the order of the descriptors, or why there are none."""

    files: tuple[OpenedFile, ...] = ()
    error: ErrorMessage | None = None


def pack_text(text: str) -> bytes:
    """Return any `str` as bytes; also one with lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def unpack_text(data: bytes) -> str:
    """Return what `pack_text` packed; damaged text with replacement characters."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def pack_error(error: Exception) -> ErrorMessage:
    """Return an error as it goes over the wire."""
    if isinstance(error, ImageError):
        return ErrorMessage(error.why, pack_text(error.message), pack_text(error.where), error.offset)
    if isinstance(error, ImgscanError):
        return ErrorMessage("usage", pack_text(error.message), pack_text(error.where))
    if isinstance(error, MemoryError):
        return ErrorMessage("limit", b"it needs more memory than one machine may use")
    return ErrorMessage("internal", pack_text(f"{type(error).__name__}: {error}"))


def unpack_error(message: ErrorMessage) -> ImgscanError:
    """Return the error that a message stands for."""
    text, where = unpack_text(message.message), unpack_text(message.where)
    if message.kind in ERRORS and message.kind != "internal":
        return ERRORS[message.kind](text, where=where, offset=message.offset)
    return UsageError(text, where=where) if message.kind == "usage" else InternalFailure(text, where=where)


class Message(msgspec.Struct, frozen=True):
    """One message as it was received."""

    kind: bytes
    payload: bytes


def send(
    channel: socket.socket, kind: bytes, payload: bytes, descriptors: Sequence[int] = (), *, wait: bool = True
) -> None:
    """Send one message, all of it.

    :raises BlockingIOError: without `wait`, the other side does not read what it is sent
    """
    flags = 0 if wait else socket.MSG_DONTWAIT
    data = memoryview(_HEAD.pack(kind, len(payload)) + payload)
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    sent = channel.sendmsg([data], ancillary, flags)
    while sent < len(data):
        sent += channel.send(data[sent:], flags)


def receive(channel: socket.socket) -> tuple[Message, list[int]] | None:
    """Wait for one message and its descriptors; None when the other side is gone. For the worker, who trusts.

    :raises LimitExceeded: this process may not have as many descriptors
    """
    data, ancillary, flags, _ = channel.recvmsg(_HEAD.size, socket.CMSG_SPACE(4 * DESCRIPTORS))
    descriptors: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.extend(array.array("i", raw[: len(raw) - len(raw) % 4]))
    head = data if len(data) == _HEAD.size else data + _exactly(channel, _HEAD.size - len(data)) if data else b""
    if len(head) != _HEAD.size:
        return None
    kind_byte, length = _HEAD.unpack(head)
    if flags & socket.MSG_CTRUNC:
        raise LimitExceeded("it is made of more files than one process may have open")
    return Message(kind_byte, _exactly(channel, length)), descriptors


def _exactly(channel: socket.socket, length: int) -> bytes:
    pieces: list[bytes] = []
    while length:
        piece = channel.recv(min(length, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def readable(descriptors: Iterable[int], seconds: float | None) -> list[int]:
    """Wait until there is something to read, or an end, at a descriptor, and return at which ones; None waits for ever.

    As `select.select`, which takes no descriptor above 1023: a program may have as many files open.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)]


class TooLarge(Exception):
    """A message is larger than the limit; nothing more of that worker is read."""


class Messages:
    """Takes bytes as they come and yields whole messages; never holds more than one message of `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now.

        :raises TooLarge: one is announced that is larger than allowed
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._buffer)
            if length > self._most:
                raise TooLarge(f"a message of {length} bytes")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield Message(kind, payload)
