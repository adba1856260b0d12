"""Reading one machine in a worker: what commands and `import imgscan` use.

The caller's process loads no parser. What a worker dies of is contained: it is read again with the failing part left
out, once, and what was learnt before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from imgscan.batch import protocol
from imgscan.batch.answers import Inspection, Read, Served
from imgscan.batch.conversation import Conversation, Ended, error_of
from imgscan.batch.file_server import FileServer
from imgscan.batch.process import Worker, run_job
from imgscan.batch.protocol import ErrorMessage, Job, pack_text
from imgscan.batch.recovery import LeftOut, cut_short, without_failing_part
from imgscan.batch.sandbox import Level, Limits
from imgscan.devices.device import check_range
from imgscan.devices.file import FileIdentity
from imgscan.devices.host_files import LocalGivenFiles
from imgscan.errors import ImageError, ParserCrashed
from imgscan.judge import report_on
from imgscan.model.disk import Disk, ImageFacts
from imgscan.model.machine import MachineFacts
from imgscan.model.profile import Profile
from imgscan.model.report import Report

if TYPE_CHECKING:
    from imgscan.scan import OpenDisk

KILLED_AGAIN = 3
"""How often a worker that something else killed is started again."""


class Inspected(NamedTuple):
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
    *,
    search: Sequence[Path] = (),
    input_format: str | None = None,
    limits: Limits | None = None,
    required: bool = False,
) -> Inspected:
    """Read the facts of one machine in a worker of its own.

    `required` is whether a machine may only be read when the worker is closed in fully.

    :raises UsageError: the paths do not make a machine (no path, the same file twice, a sidecar instead of disks)
    :raises ImageError: a path cannot be opened at all
    """
    names = [str(path) for path in paths]
    limits = limits or Limits()
    left_out: LeftOut = {}
    killed = 0
    while True:
        job = make_job("inspect", names, input_format, left_out)
        with LocalGivenFiles(names, search) as files:
            ended, _ = run_job(job, files, limits, required=required)
            images = files.identities()
        if ended.error is not None:
            raise ended.error
        if ended.done is not None:
            answer = msgspec.json.decode(ended.done.result, type=Inspection)
            return Inspected(
                answer.facts, answer.failures, ended.done.level, images, referred_paths(answer.facts.disks, names)
            )
        death = ended.death
        if death is None:  # one of the three is always there
            raise ParserCrashed("the worker ended without an answer")
        if death.from_outside and killed < KILLED_AGAIN:
            killed += 1
            continue
        again = None if left_out else without_failing_part(death)
        if again is None:
            facts = cut_short(ended.learnt, names, death)
            return Inspected(facts, (), Level(), images, referred_paths(facts.disks, names))
        left_out = again


def make_job(
    kind: str,
    paths: Sequence[str],
    input_format: str | None = None,
    left_out: LeftOut | None = None,
    arguments: dict[str, str | int | bool | None] | None = None,
) -> Job:
    """Return a job as it goes to a worker."""
    return Job(
        kind=kind,
        paths=tuple(map(pack_text, paths)),
        input_format=input_format,
        left_out={part: (why, pack_text(detail)) for part, (why, detail) in (left_out or {}).items()},
        arguments=arguments or {},
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
    sink: Callable[[bytes], None],
    *,
    note: Callable[[str], None] | None = None,
    search: Sequence[Path] = (),
    input_format: str | None = None,
) -> bytes:
    """Do a job whose output goes to `sink` as it comes (`ls`, `cat`, `stat`, `raw`), and return its answer.

    :raises ImgscanError: what was asked for is not there, or could not be read
    """
    names = [str(path) for path in paths]
    # copying a whole disk takes the time it takes: only memory and messages are limited
    limits = Limits(cpu=None, wall=None)
    with LocalGivenFiles(names, search) as files:
        ended, _ = run_job(make_job(kind, names, input_format, None, arguments), files, limits, sink=sink, note=note)
    return answer_of(ended)


def answer_of(ended: Ended) -> bytes:
    """Return what a job answered.

    :raises ImgscanError: it ended with an error, or its worker died
    """
    error = error_of(ended)
    if error is not None:
        raise error
    return b"" if ended.done is None else ended.done.result


def inspect_machine(
    paths: Sequence[str | Path], *, search: Sequence[Path] = (), input_format: str | None = None, isolated: bool = True
) -> MachineFacts:
    """Read the facts of one machine; without `isolated` in this process. Raises as `inspect`."""
    if isolated:
        return inspect(paths, search=search, input_format=input_format).facts
    from imgscan import scan  # noqa: PLC0415 - the parsers: only when they are asked for in this process

    return scan.inspect_machine(paths, scan.ScanOptions(tuple(search), input_format))


def scan_machine(
    paths: Sequence[str | Path],
    profiles: Sequence[Profile],
    *,
    search: Sequence[Path] = (),
    input_format: str | None = None,
    isolated: bool = True,
) -> Report:
    """Read the disks of one machine once and judge them for each profile. Raises as `inspect`."""
    facts = inspect_machine(paths, search=search, input_format=input_format, isolated=isolated)
    return report_on([facts], profiles)


class ServedDisk:
    """One virtual disk as a `BlockDevice` whose bytes a worker reads; `facts` is what its container says.

    Not to be shared between threads, unlike a disk of this process.
    """

    def __init__(self, path: str, search: Sequence[Path], input_format: str | None) -> None:
        self._files = LocalGivenFiles([path], search)
        limits = Limits(cpu=None, wall=None)
        server = FileServer(self._files, [path])
        talk = Conversation(make_job("serve", [path], input_format), server, limits)
        self._worker = Worker(talk, required=False)
        try:
            served = msgspec.json.decode(self._next_answer(), type=Served)
        except BaseException:
            self.close()
            raise
        self.name = served.name
        self.size = served.size
        self.sector_size = served.sector_size
        self.facts: ImageFacts = served.facts

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        request = msgspec.msgpack.encode(Read(offset, length))
        protocol.send(self._worker.conversation.channel, protocol.ASK, request)
        answer = self._next_answer()
        if answer[:1] == b"\0" and len(answer) == length + 1:
            return answer[1:]
        raise protocol.unpack_error(msgspec.msgpack.decode(answer[1:], type=ErrorMessage))

    def _next_answer(self) -> bytes:
        talk = self._worker.conversation
        talk.last_answer = None
        while talk.last_answer is None:
            if not talk.wait_and_receive():
                self._worker.kill()
                error = error_of(self._worker.wait())
                raise error or ImageError("the worker ended")
        return talk.last_answer

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


def open_disk(
    path: str | Path, *, search: Sequence[Path] = (), input_format: str | None = None, isolated: bool = True
) -> ServedDisk | OpenDisk:
    """Open one virtual disk for reading by position; without `isolated` in this process, which is many times faster.

    :raises UsageError: there is no such file
    :raises ImageError: the file cannot be opened, or nothing of its content can be read
    """
    if isolated:
        return ServedDisk(str(path), search, input_format)
    from imgscan import scan  # noqa: PLC0415 - the parsers: only when they are asked for in this process

    return scan.open_disk(path, scan.ScanOptions(tuple(search), input_format))
