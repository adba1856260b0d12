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
        self._hashes: dict[str, hashlib._Hash] | None = {} if fingerprint else None
        self.failed = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is read inside the block under `name`; stages may nest, the inner one counts."""
        outer, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = outer

    def count(self, name: str, offset: int, data: bytes) -> None:
        """Record one read of the file `name` (its bare name) that returned `data`."""
        self._reads[self._stage] = self._reads.get(self._stage, 0) + 1
        self._bytes[self._stage] = self._bytes.get(self._stage, 0) + len(data)
        if self._hashes is not None and self._stage in FINGERPRINT_STAGES:
            if name not in self._hashes:
                self._hashes[name] = _sha256()
            self._hashes[name].update(b"%d %d\n" % (offset, len(data)))
            self._hashes[name].update(data)

    def fingerprints(self) -> dict[str, str]:
        """Return for each file SHA-256 over offset, length and bytes of the reads that opening the images did."""
        return {name: found.hexdigest() for name, found in sorted((self._hashes or {}).items())}

    def result(self) -> Io:
        """Return the counts so far, stages in alphabetical order."""
        stages = {name: StageIo(self._reads[name], self._bytes[name]) for name in sorted(self._reads)}
        return Io(sum(s.reads for s in stages.values()), sum(s.bytes for s in stages.values()), stages)
