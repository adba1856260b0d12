"""The worker: the process in which images are parsed. It holds no path, and can open no file.

It imports all it may need, closes itself in, and does one job. Files it asks for, over its channel; the supervisor
applies the host-file policy, opens them and passes the descriptors. Nothing else of `imgscan.batch` loads a parser.
"""

from __future__ import annotations

import _socket as socket  # see `imgscan.batch.protocol`
import functools
import gc
import importlib
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final, Protocol

import msgspec

from imgscan.batch import protocol
from imgscan.batch.kept_modules import KeptModules
from imgscan.batch.protocol import Answer, Ask, Job, OpenedFile, pack_text, unpack_text
from imgscan.batch.sandbox import NOT_CLOSED_IN, Level, Limits, close_in
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.host_files import GivenFiles, HostFiles
from imgscan.errors import LimitExceeded, MissingPart, Why
from imgscan.model.machine import MachineFacts

JOBS: Final = ("inspect", "identify", "ls", "tree", "cat", "stat", "raw", "reg", "serve")
"""The kinds of jobs: modules of `imgscan.batch.jobs`, each with a function ``run(job, context) -> bytes``."""
READERS: Final = ("containers", "partitions", "volumes", "filesystems", "guests", "layouts", "devices", "model")
"""The packages of imgscan whose every module is loaded, or kept in memory, before the worker is closed in."""
OTHERS: Final = (
    *("pytsk3", "lzma", "zlib", "bz2", "hashlib", "unicodedata", "datetime", "binascii", "struct", "uuid", "pyexpat"),
    *("google_crc32c", "lz4.block", "xxhash", "zstandard", "_multibytecodec"),
    *("_codecs_cn", "_codecs_hk", "_codecs_jp", "_codecs_kr", "_codecs_tw"),  # of the encodings of descriptors
)
"""What they load when they need it, or Python does for them: nothing can be loaded when no file can be opened."""
LIBRARIES: Final = (
    *("construct", "pickle", "_compat_pickle", "base64"),
    *("encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32"),
)
"""What they load that is written in Python, and what that loads: only kept in memory."""
USUAL: Final = ("imgscan.batch.jobs.inspect", "imgscan.guests.linux", "imgscan.filesystems.ext_filesystem")
"""What most machines need."""
DATA_BYTES: Final = 256 << 10
GARBAGE: Final = 50_000
"""Objects that may be made before cycles are looked for: facts have none, and a small machine stays below."""


class JobContext(Protocol):
    """What a job works with."""

    given: GivenFiles
    counter: IoCounter
    left_out: dict[str, tuple[Why, str]]

    def part(self, name: str) -> None:
        """Take note of the part that is being read."""
        ...

    def learnt(self, facts: MachineFacts) -> None:
        """Take note of the facts so far."""
        ...

    def write(self, data: bytes) -> None:
        """Write output."""
        ...

    def note(self, text: str) -> None:
        """Tell the user something, in one line beside the output."""
        ...

    def next_request(self) -> bytes | None:
        """Wait for what a served job is asked next; None when nobody will ask any more."""
        ...

    def reply(self, data: bytes) -> None:
        """Answer a request, in one message."""
        ...


def keep_ready() -> None:
    """Import what nearly every job needs, and keep the rest in memory to be imported when it is needed."""
    if preload.cache_info().currsize:  # a worker that a nursery forked has it all
        return
    sys.modules.setdefault("construct.debug", ModuleType("construct.debug"))  # it would load a debugger
    for name in (*OTHERS, *USUAL):  # the job's own module comes with the job, before the worker is closed in
        importlib.import_module(name)
    sys.meta_path.insert(0, KeptModules((f"imgscan.{package}" for package in READERS), _libraries()))


def _libraries() -> tuple[str, ...]:
    from imgscan.containers.vmdk_descriptor import CODECS  # noqa: PLC0415 - a parser: loaded in a worker only

    return (*LIBRARIES, *(f"encodings.{codec}" for codec in CODECS))


@functools.cache
def preload() -> None:
    """Import everything that any job may need."""
    import pkgutil  # noqa: PLC0415 - nurseries only

    for name in (*OTHERS, *_libraries(), *(f"imgscan.batch.jobs.{job}" for job in JOBS)):
        importlib.import_module(name)
    for package in READERS:
        path = importlib.import_module(f"imgscan.{package}").__path__
        for found in pkgutil.walk_packages(path, f"imgscan.{package}."):
            importlib.import_module(found.name)


def job_function(kind: str) -> Callable[[Job, JobContext], bytes]:
    """Return what does a kind of job; the kinds are a fixed list, and their order comes from a supervisor."""
    if kind not in JOBS:
        raise ValueError(kind)
    function: Callable[[Job, JobContext], bytes] = importlib.import_module(f"imgscan.batch.jobs.{kind}").run
    return function


def work(channel: socket.socket, limits: Limits, *, required: bool) -> None:
    """Do one job: the whole life of a worker. The caller ends the process afterwards.

    `required` is whether nothing is parsed unless the worker is closed in fully.
    """
    keep_ready()
    gc.freeze()
    gc.enable()
    gc.set_threshold(GARBAGE)
    received = protocol.receive(channel)
    if received is None:
        return
    message, descriptors = received
    job = msgspec.msgpack.decode(message.payload, type=Job)
    page = mmap.mmap(descriptors[0], protocol.PART_BYTES)
    function = job_function(job.kind)
    level = close_in(limits, channel.fileno())
    protocol.send(channel, protocol.CLOSED_IN, msgspec.msgpack.encode(level))
    try:
        _check_level(level, required=required)
        result = function(job, RemoteContext(channel, job, page))
    except Exception as error:  # noqa: BLE001 - it crosses the channel, and the supervisor raises it
        protocol.send(channel, protocol.ERROR, msgspec.msgpack.encode(protocol.pack_error(error)))
        return
    protocol.send(channel, protocol.RESULT, result)


def _check_level(level: Level, *, required: bool) -> None:
    if required and not level.is_full:
        raise LimitExceeded(NOT_CLOSED_IN.format(level))


class RemoteContext:
    """The context of a job whose files and output are at the other end of a channel."""

    def __init__(self, channel: socket.socket, job: Job, page: mmap.mmap) -> None:
        self._channel = channel
        self._page = page
        self._packed: dict[str, bytes] = {}  # there are as many as the machine has volumes and systems
        self.counter = IoCounter(fingerprint=True)
        self.given: GivenFiles = _RemoteGivenFiles(self.ask, job.paths)
        self.left_out = {name: (why, unpack_text(detail)) for name, (why, detail) in job.left_out.items()}

    def part(self, name: str) -> None:
        """Write the part's name into the page that the supervisor looks at when this process dies."""
        packed = self._packed.get(name)
        if packed is None:
            data = pack_text(name)[: protocol.PART_BYTES - 2]
            packed = self._packed[name] = len(data).to_bytes(2, "little") + data
        self._page[: len(packed)] = packed

    def learnt(self, facts: MachineFacts) -> None:
        """Send the facts so far."""
        protocol.send(self._channel, protocol.LEARNT, msgspec.json.encode(facts))

    def write(self, data: bytes) -> None:
        """Send output."""
        for start in range(0, len(data), DATA_BYTES):
            protocol.send(self._channel, protocol.DATA, data[start : start + DATA_BYTES])

    def reply(self, data: bytes) -> None:
        """Send an answer to a request."""
        protocol.send(self._channel, protocol.DATA, data)

    def note(self, text: str) -> None:
        """Send a line for the user."""
        protocol.send(self._channel, protocol.NOTE, pack_text(text))

    def next_request(self) -> bytes | None:
        """Wait for a request."""
        received = protocol.receive(self._channel)
        return None if received is None else received[0].payload

    def ask(self, ask: Ask) -> list[tuple[OpenedFile, int]]:
        """Ask for files and return them with their descriptors; raises what the supervisor answers."""
        protocol.send(self._channel, protocol.ASK, msgspec.msgpack.encode(ask))
        received = protocol.receive(self._channel)
        if received is None:
            os._exit(1)  # the supervisor is gone, and with it everything that this process is for
        message, descriptors = received
        answer = msgspec.msgpack.decode(message.payload, type=Answer)
        if answer.error is not None:
            raise protocol.unpack_error(answer.error)
        return list(zip(answer.files, descriptors, strict=True))


_Asker = Callable[[Ask], list[tuple[OpenedFile, int]]]


class _RemoteGivenFiles:
    """`GivenFiles` that are opened by the supervisor."""

    def __init__(self, ask: _Asker, paths: Sequence[bytes]) -> None:
        self._ask = ask
        self._numbers = {unpack_text(path): number for number, path in reversed(list(enumerate(paths)))}

    def open(self, path: str, counter: IoCounter) -> tuple[FileDevice, HostFiles]:
        """Ask for a given file."""
        ((opened, descriptor),) = self._ask(Ask("given", self._numbers[path]))
        seen: dict[tuple[FileIdentity, str], FileDevice] = {}
        host = RemoteHostFiles(self._ask, opened.scope, counter, seen)
        return host.keep(opened, descriptor), host


class RemoteHostFiles:
    """`HostFiles` that are opened by the supervisor: a scope number stands for the folder, which no worker knows."""

    def __init__(
        self, ask: _Asker, scope: int, counter: IoCounter, seen: dict[tuple[FileIdentity, str], FileDevice]
    ) -> None:
        self._ask = ask
        self._scope = scope
        self._counter = counter
        self._seen = seen

    def extent(self, name: str) -> FileDevice:
        """Ask for a file of the image's own folder by its bare name."""
        found = self._ask(Ask("extent", self._scope, pack_text(name)))
        if len(found) != 1:
            raise MissingPart("there is no such file beside the image", where=name)
        return self.keep(*found[0])

    def parents(self, hint: str) -> list[tuple[FileDevice, HostFiles]]:
        """Ask for the candidates for a parent."""
        return [
            (self.keep(opened, descriptor), RemoteHostFiles(self._ask, opened.scope, self._counter, self._seen))
            for opened, descriptor in self._ask(Ask("parents", self._scope, pack_text(hint)))
        ]

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened through this object, the given one included."""
        return frozenset(identity for identity, _ in self._seen)

    def keep(self, opened: OpenedFile, descriptor: int) -> FileDevice:
        """Return the file of a descriptor; one that is open already under that name is not kept twice."""
        identity, name = FileIdentity(opened.device, opened.inode), unpack_text(opened.name)
        before = self._seen.get((identity, name))
        if before is not None:
            os.close(descriptor)
            return before
        device = FileDevice(descriptor, name, opened.size, identity, self._counter, opened.modified)
        self._seen[identity, name] = device
        return device
