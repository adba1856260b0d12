"""Reading one machine in a worker: what commands and `import imgscan` use.

The caller's process loads no parser. What a worker dies of is contained: it is read again with the failing part left
out, once, and what was learnt before it is kept.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from imgscan.batch import protocol
from imgscan.batch.answers import Read, Served, inspection_decoder, parse_inspection
from imgscan.batch.conversation import NONSENSE, Conversation, Death, Ended, error_of
from imgscan.batch.file_server import FileServer
from imgscan.batch.process import Worker, run_job
from imgscan.batch.protocol import ErrorMessage, Job, pack_text
from imgscan.batch.recovery import LeftOut, cut_short, without_failing_part
from imgscan.batch.sandbox import Level, Limits
from imgscan.devices.device import check_range
from imgscan.devices.file import FileIdentity
from imgscan.devices.host_files import LocalGivenFiles
from imgscan.errors import ImgscanError, ParserCrashed
from imgscan.model.collect import USUAL, Group
from imgscan.model.disk import Disk, ImageFacts
from imgscan.model.machine import MachineFacts

if TYPE_CHECKING:
    from imgscan.batch.in_process import OpenDisk
    from imgscan.model.profile import Profile
    from imgscan.model.report import Report

SERVED_AT_ONCE = 4 << 20
"""Bytes that a served disk sends in one message."""
KILLED_AGAIN = 3
"""How often a worker that something else killed is started again."""


class ReadOptions(msgspec.Struct, frozen=True):
    """How to read images.

    `search` are further folders for parents; `input_format` overrides the detection. Without `isolated` they are
    parsed in this process (for finding faults, and for tests of the parsers themselves). `required` is whether a
    machine may only be read when the worker is closed in fully. `collect` are the costly groups of facts to read.
    """

    search: tuple[Path, ...] = ()
    input_format: str | None = None
    isolated: bool = True
    required: bool = False
    collect: frozenset[Group] = USUAL


class Inspected(msgspec.Struct, frozen=True):
    """The facts of one machine and what is known beside them.

    `failures` are bugs of imgscan's own that were contained; `images` are the host files that were opened, and
    `referred` where the files would lie that an image names: no output may take either's place.
    """

    facts: MachineFacts
    failures: tuple[str, ...]
    level: Level
    images: frozenset[FileIdentity]
    referred: tuple[Path, ...]


def inspect(
    paths: Sequence[str | Path],
    options: ReadOptions | None = None,
    limits: Limits | None = None,
    meanwhile: Sequence[Callable[[], object]] = (),
) -> Inspected:
    """Read the facts of one machine in a worker of its own; `meanwhile` is done while it works, as in `run_job`.

    :raises UsageError: the paths do not make a machine (no path, the same file twice, a sidecar instead of disks)
    :raises ImageError: a path cannot be opened at all
    """
    options = options or ReadOptions()
    names = [str(path) for path in paths]
    limits = limits or Limits()
    left_out: LeftOut = {}
    tasks: tuple[Callable[[], object], ...] = (*meanwhile, inspection_decoder)
    killed = 0
    while True:
        job = make_job("inspect", names, options.input_format, left_out, collect=options.collect)
        with LocalGivenFiles(names, options.search) as files:
            ended = _run(job, files, limits, options, meanwhile=() if left_out or killed else tasks)
            images = files.identities()
        if ended.error is not None:
            raise ended.error
        death = ended.death
        if ended.done is not None:
            try:
                answer = parse_inspection(ended.done.result)
            except (msgspec.MsgspecError, ValueError):
                death = Death("crashed", NONSENSE, "")
            else:
                referred = referred_paths(answer.facts.disks, names)
                return Inspected(answer.facts, answer.failures, ended.done.level, images, referred)
        if death is None:  # one of the three is always there
            raise ParserCrashed("the worker ended without an answer")
        if death.from_outside and killed < KILLED_AGAIN:
            killed += 1
            continue
        again = None if left_out else without_failing_part(death)
        if again is None:
            facts = cut_short(ended.facts_learnt(), names, death)
            return Inspected(facts, (), ended.level or Level(), images, referred_paths(facts.disks, names))
        left_out = again


def make_job(
    kind: str,
    paths: Sequence[str],
    input_format: str | None = None,
    left_out: LeftOut | None = None,
    arguments: dict[str, str | int | bool | None] | None = None,
    collect: Collection[Group] = (),
) -> Job:
    """Return a job as it goes to a worker."""
    return Job(
        kind=kind,
        paths=tuple(map(pack_text, paths)),
        input_format=input_format,
        left_out={part: (why, pack_text(detail)) for part, (why, detail) in (left_out or {}).items()},
        arguments=arguments or {},
        collect=tuple(sorted(collect)),
    )


def referred_paths(disks: Sequence[Disk], paths: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the paths at which an output would stand in for an extent or parent that an image names."""
    names = {file.name for disk in disks for file in disk.files}
    names |= {parent.hint.replace("\\", "/").rsplit("/", 1)[-1] for disk in disks for parent in disk.parents}
    folders = {Path(path).resolve().parent for path in paths}
    return tuple(
        folder / name for folder in folders for name in names if name not in {"", ".", ".."} and "\0" not in name
    )


def look(
    kind: str,
    paths: Sequence[str | Path],
    arguments: dict[str, str | int | bool | None],
    sink: Callable[[bytes], object],
    note: Callable[[str], None] | None = None,
    options: ReadOptions | None = None,
) -> bytes:
    """Do a job whose output goes to `sink` as it comes (`ls`, `cat`, `stat`, `raw`), and return its answer.

    :raises ImgscanError: what was asked for is not there, or could not be read
    """
    options = options or ReadOptions()
    names = [str(path) for path in paths]
    # copying a whole disk takes the time it takes: the time limit is for silence
    limits = Limits(cpu=None) if kind in {"cat", "raw"} else Limits()
    with LocalGivenFiles(names, options.search) as files:
        job = make_job(kind, names, options.input_format, None, arguments)
        return answer_of(_run(job, files, limits, options, sink, note))


def _run(
    job: Job,
    files: LocalGivenFiles,
    limits: Limits,
    options: ReadOptions,
    sink: Callable[[bytes], object] | None = None,
    note: Callable[[str], None] | None = None,
    meanwhile: Sequence[Callable[[], object]] = (),
) -> Ended:
    if options.isolated:
        return run_job(job, files, limits, sink=sink, note=note, required=options.required, meanwhile=meanwhile)
    for task in meanwhile:
        task()
    from imgscan.batch.in_process import run_here  # noqa: PLC0415 - the parsers: only when they are asked for here

    return run_here(job, files, sink, note)


def answer_of(ended: Ended) -> bytes:
    """Return what a job answered.

    :raises ImgscanError: it ended with an error, or its worker died
    """
    error = error_of(ended)
    if error is not None:
        raise error
    return b"" if ended.done is None else ended.done.result


def inspect_machine(paths: Sequence[str | Path], options: ReadOptions | None = None) -> MachineFacts:
    """Read the facts of one machine; raises as `inspect`."""
    return inspect(paths, options).facts


def scan_machine(
    paths: Sequence[str | Path], profiles: Sequence[Profile], options: ReadOptions | None = None
) -> Report:
    """Read the disks of one machine once and judge them for each profile; raises as `inspect`."""
    from imgscan.judge import report_on  # noqa: PLC0415 - start-up time

    return report_on([inspect(paths, options).facts], profiles)


class ServedDisk:
    """One virtual disk as a `BlockDevice` whose bytes a worker reads; `facts` is what its container says.

    Not to be shared between threads, unlike a disk of this process.
    """

    def __init__(self, path: str, options: ReadOptions) -> None:
        self._files = LocalGivenFiles([path], options.search)
        self._answer: bytes | None = None
        self._lost: ImgscanError | None = None
        limits = Limits(cpu=None)  # it lives as long as the caller wants; the time limit is for one answer
        server = FileServer(self._files, [path], limits.files)
        talk = Conversation(make_job("serve", [path], options.input_format), server, limits, self._take)
        self._worker = Worker(talk, required=options.required)
        try:
            served = msgspec.json.decode(self._next_answer(), type=Served)
        except BaseException:  # Ctrl-C too: nothing is left open, and it goes on
            self.close()
            raise
        self.name = served.name
        self.size = served.size
        self.sector_size = served.sector_size
        self.facts: ImageFacts = served.facts

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        end = offset + length
        return b"".join(self._piece(at, min(SERVED_AT_ONCE, end - at)) for at in range(offset, end, SERVED_AT_ONCE))

    def _piece(self, offset: int, length: int) -> bytes:
        request = msgspec.msgpack.encode(Read(offset, length))
        talk = self._worker.conversation
        talk.heard_at = time.monotonic()
        with contextlib.suppress(OSError):  # it is gone: waiting for the answer says why
            protocol.send(talk.channel, protocol.ASK, request)
        answer = self._next_answer()
        if answer[:1] == b"\0" and len(answer) == length + 1:
            return answer[1:]
        try:
            error = protocol.unpack_error(msgspec.msgpack.decode(answer[1:], type=ErrorMessage))
        except msgspec.MsgspecError as garbage:
            raise ParserCrashed("the worker sent what makes no sense", where=self.name) from garbage
        raise error

    def _take(self, data: bytes) -> None:
        self._answer = data

    def _next_answer(self) -> bytes:
        self._answer = None
        while self._answer is None:
            if self._worker.ended or not self._worker.listen():
                raise self._death()
        return self._answer

    def _death(self) -> ImgscanError:
        """Return why there is no answer, now and from now on."""
        if self._lost is None:
            self._lost = error_of(self._worker.wait()) or ParserCrashed("the worker ended")
        return self._lost

    def close(self) -> None:
        """End the worker and close the files; reading afterwards is a programming error."""
        if not self._worker.ended:
            self._worker.kill()
            self._worker.wait()
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_disk(path: str | Path, options: ReadOptions | None = None) -> ServedDisk | OpenDisk:
    """Open one virtual disk for reading by position; not `isolated`, it is many times faster.

    :raises UsageError: there is no such file
    :raises ImageError: the file cannot be opened, or nothing of its content can be read
    """
    options = options or ReadOptions()
    if options.isolated:
        return ServedDisk(str(path), options)
    from imgscan.batch.in_process import open_here  # noqa: PLC0415 - the parsers: only when they are asked for here

    return open_here(path, options.search, options.input_format)
