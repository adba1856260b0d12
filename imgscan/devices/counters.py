"""Counts every read of a host file, by stage of the scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgscan.model.machine import Io, StageIo


class IoCounter:
    """Reads and bytes in all and by stage; one for each machine scanned."""

    def __init__(self) -> None:
        self._stage = "open"
        self._reads: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is read inside the block under `name`; stages may nest, the inner one counts."""
        outer, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = outer

    def count(self, length: int) -> None:
        """Record one read that returned `length` bytes."""
        self._reads[self._stage] = self._reads.get(self._stage, 0) + 1
        self._bytes[self._stage] = self._bytes.get(self._stage, 0) + length

    def result(self) -> Io:
        """Return the counts so far, stages in alphabetical order."""
        stages = {name: StageIo(self._reads[name], self._bytes[name]) for name in sorted(self._reads)}
        return Io(sum(s.reads for s in stages.values()), sum(s.bytes for s in stages.values()), stages)
