"""Counts every read of a host file, by stage of the scan, and can keep a fingerprint of the structures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imgscan.model.machine import Io, StageIo

if TYPE_CHECKING:
    import hashlib

FINGERPRINT_STAGES = frozenset({"containers", "partitions"})
"""Stages whose reads make up the fingerprint: headers, tables and descriptors, no file of the guest."""


def _sha256() -> hashlib._Hash:
    import hashlib  # noqa: PLC0415 - start-up time: a single scan keeps no fingerprint

    return hashlib.sha256()


class IoCounter:
    """Reads and bytes in all and by stage; one for each machine scanned.

    `failed` counts reads that the host could not do. With `fingerprint`, what opening the images read is hashed.
    """

    def __init__(self, *, fingerprint: bool = False) -> None:
        self._stage = "open"
        self._reads: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._hash = _sha256() if fingerprint else None
        self.failed = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is read inside the block under `name`; stages may nest, the inner one counts."""
        outer, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = outer

    def count(self, offset: int, data: bytes) -> None:
        """Record one read that returned `data`."""
        self._reads[self._stage] = self._reads.get(self._stage, 0) + 1
        self._bytes[self._stage] = self._bytes.get(self._stage, 0) + len(data)
        if self._hash is not None and self._stage in FINGERPRINT_STAGES:
            self._hash.update(b"%d %d\n" % (offset, len(data)))
            self._hash.update(data)

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 over offset, length and bytes of every read that opening the images did; None when not kept."""
        return None if self._hash is None else self._hash.hexdigest()

    def result(self) -> Io:
        """Return the counts so far, stages in alphabetical order."""
        stages = {name: StageIo(self._reads[name], self._bytes[name]) for name in sorted(self._reads)}
        return Io(sum(s.reads for s in stages.values()), sum(s.bytes for s in stages.values()), stages)
