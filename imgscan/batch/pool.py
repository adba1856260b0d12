"""The workers of this machine: a fixed number of places, each with a nursery of its own."""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from typing import Final

from imgscan.batch.backend import Finished, Running, Task
from imgscan.batch.conversation import Conversation, Usage
from imgscan.batch.file_server import FileServer
from imgscan.batch.nursery import Nursery
from imgscan.batch.protocol import unpack_text
from imgscan.batch.sandbox import Limits

_KILLED: Final = 9
"""The exit status of a worker whose nursery was killed: the kernel killed it too."""


class _Place:
    """A place of the pool, with the task that is at work there, and a nursery once there was one."""

    def __init__(self) -> None:
        self.nursery: Nursery | None = None
        self.task: Task | None = None
        self.talk: Conversation | None = None
        self.server: FileServer | None = None
        self.started = 0.0
        self.killed = False

    def check(self, wall: float | None) -> None:
        """Kill the worker when its time is over, or when it did what it may not."""
        talk = self.talk
        if talk is None or self.nursery is None or self.killed:
            return
        if wall is not None and time.monotonic() - self.started > wall:
            talk.stop("timed-out", f"reading it took more than {wall:.0f} s")
        if talk.stopped is not None:
            self.killed = True
            self.nursery.kill_worker()

    def finish(self, status: int, usage: Usage) -> Finished:
        """Return how the task ended, and free the place."""
        task, talk, server = self.task, self.talk, self.server
        if task is None or talk is None or server is None:
            raise RuntimeError("a worker ended that nobody started")
        ended = talk.end(status, usage)
        changed = server.changed()
        server.close()
        self.task = self.talk = self.server = None
        return Finished(task.token, ended, changed, time.monotonic() - self.started)


class LocalPool:
    """`Backend` on this machine. Nurseries are started when there is something to do."""

    def __init__(self, workers: int, limits: Limits, *, required: bool = False) -> None:
        self._limits = limits
        self._required = required
        self._selector = selectors.DefaultSelector()
        self._places = [_Place() for _ in range(workers)]

    @property
    def free(self) -> int:
        """How many tasks can be submitted now."""
        return sum(place.task is None for place in self._places)

    def submit(self, task: Task) -> None:
        """Start a task."""
        place = next(place for place in self._places if place.task is None)
        place.task = task
        place.started = time.monotonic()
        place.killed = False
        paths = [unpack_text(path) for path in task.job.paths]
        place.server = FileServer(task.opener(), paths, self._limits.files)
        place.talk = talk = Conversation(task.job, place.server, self._limits)
        try:
            self._nursery(place).start(talk)
        except OSError:  # it was killed while it had nothing to do
            self._lose_nursery(place)
            self._nursery(place).start(talk)
        talk.start()
        self._selector.register(talk.channel, selectors.EVENT_READ, (place, "channel"))
        self._selector.register(talk.output, selectors.EVENT_READ, (place, "output"))

    def _nursery(self, place: _Place) -> Nursery:
        if place.nursery is None:
            place.nursery = Nursery(self._limits, required=self._required)
            self._selector.register(place.nursery.control, selectors.EVENT_READ, (place, "nursery"))
        return place.nursery

    def _lose_nursery(self, place: _Place) -> None:
        if place.nursery is not None:
            self._forget(place.nursery.control)
            place.nursery.close()
            place.nursery = None

    def wait(self, seconds: float) -> list[Finished]:
        """Wait at most that long, and return what ended."""
        finished: list[Finished] = []
        for key, _ in self._selector.select(seconds):
            place, what = key.data
            if what == "nursery":
                ended = self._hear_nursery(place)
                if ended is not None:
                    finished.append(ended)
            elif place.talk is not None:
                more = place.talk.receive() if what == "channel" else place.talk.hear()
                if not more:
                    self._forget(key.fileobj)
        for place in self._places:
            place.check(self._limits.wall)
        return finished

    def _hear_nursery(self, place: _Place) -> Finished | None:
        said: tuple[int, Usage] | None = None
        try:
            if place.nursery is not None:
                said = place.nursery.receive()
        except EOFError:
            self._lose_nursery(place)
            said = (_KILLED, Usage()) if place.task is not None else None
        if said is None:
            place.started = time.monotonic()  # the worker's own time: that of a nursery's start is none of it
            return None
        if place.talk is not None:
            self._forget(place.talk.channel)
            self._forget(place.talk.output)
        return place.finish(*said)

    def _forget(self, end: object) -> None:
        if end in self._selector.get_map():
            self._selector.unregister(end)  # type: ignore[arg-type] # it is what was registered

    def running(self) -> Sequence[Running]:
        """Return what is at work, by place."""
        now = time.monotonic()
        return [
            Running(place.task.token, place.talk.part(), now - place.started)
            for place in self._places
            if place.task is not None and place.talk is not None
        ]

    def close(self) -> None:
        """End everything that is at work; nothing more can be submitted."""
        for place in self._places:
            self._lose_nursery(place)
            if place.talk is not None:
                self._forget(place.talk.channel)
                self._forget(place.talk.output)
                place.talk.close()
            if place.server is not None:
                place.server.close()
        if self._places:
            self._selector.close()
        self._places = []
