"""The seam for where jobs run: this machine's workers (`pool.LocalPool`), later others.

A backend is a dumb carrier. The truth about what was done is the ledger's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from imgscan.batch.conversation import Ended
from imgscan.batch.file_server import Opener
from imgscan.batch.protocol import Job


class Task(msgspec.Struct, frozen=True):
    """A job with a name of the caller's; `opener` makes what opens its files, when it starts."""

    token: object
    job: Job
    opener: Callable[[], Opener]


class Finished(msgspec.Struct, frozen=True):
    """A task that ended; `changed` is the bare name of a file that changed meanwhile, None when none did."""

    token: object
    ended: Ended
    changed: str | None
    seconds: float


class Running(msgspec.Struct, frozen=True):
    """A task at work: what it is reading, and for how many seconds it has been running."""

    token: object
    part: str
    seconds: float


class Backend(Protocol):
    """Runs tasks, a limited number at a time."""

    @property
    def free(self) -> int:
        """How many tasks can be submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Start a task; there is a free place."""
        ...

    def wait(self, seconds: float) -> list[Finished]:
        """Wait at most that long, and return what ended."""
        ...

    def running(self) -> Sequence[Running]:
        """Return what is at work, in a stable order."""
        ...

    def close(self) -> None:
        """End everything that is at work."""
        ...
