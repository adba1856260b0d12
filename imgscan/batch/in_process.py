"""A job without a worker: in the calling process, for finding faults and for tests of the parsers themselves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from imgscan.batch.conversation import Done, Ended, Usage
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.sandbox import Level
from imgscan.batch.worker import job_function
from imgscan.devices.counters import IoCounter
from imgscan.devices.host_files import GivenFiles, LocalGivenFiles
from imgscan.errors import ImgscanError, Why
from imgscan.model.machine import MachineFacts
from imgscan.scan import OpenDisk, ScanOptions, open_disk

__all__ = ["LocalContext", "OpenDisk", "open_here", "run_here"]


class LocalContext:
    """The context of a job that runs in the calling process."""

    def __init__(
        self,
        job: Job,
        given: LocalGivenFiles,
        sink: Callable[[bytes], object] | None,
        note: Callable[[str], None] | None,
    ) -> None:
        self.given: GivenFiles = given
        self.counter = IoCounter(fingerprint=True)
        self.left_out: dict[str, tuple[Why, str]] = {
            part: (why, unpack_text(detail)) for part, (why, detail) in job.left_out.items()
        }
        self._sink = sink
        self._note = note

    def part(self, name: str) -> None:
        """Nobody watches."""

    def learnt(self, facts: MachineFacts) -> None:
        """Nobody watches."""

    def write(self, data: bytes) -> None:
        """Write output."""
        if self._sink is not None:
            self._sink(data)

    def note(self, text: str) -> None:
        """Tell the user something."""
        if self._note is not None:
            self._note(text)

    def next_request(self) -> NoReturn:
        """Nobody asks."""
        raise NotImplementedError

    def reply(self, data: bytes) -> NoReturn:
        """Nobody asks."""
        raise NotImplementedError


def run_here(
    job: Job,
    given: LocalGivenFiles,
    sink: Callable[[bytes], object] | None,
    note: Callable[[str], None] | None,
) -> Ended:
    """Do a job in the calling process; bugs of imgscan's own are raised as they are."""
    gc.enable()
    try:
        result = job_function(job.kind)(job, LocalContext(job, given, sink, note))
    except ImgscanError as error:
        return Ended(None, error, None, None, Usage())
    return Ended(Done(Level(), result), None, None, None, Usage())


def open_here(path: str | Path, search: Sequence[Path], input_format: str | None) -> OpenDisk:
    """Open one virtual disk in the calling process; raises as `imgscan.open_disk`."""
    return open_disk(path, ScanOptions(tuple(search), input_format))
