"""What the kinds of jobs answer, and what a served disk is asked."""

from __future__ import annotations

from functools import cache

import msgspec

from imgscan.model.disk import ImageFacts
from imgscan.model.machine import MachineFacts


class Inspection(msgspec.Struct, frozen=True):
    """The facts, and what a supervisor needs beside them.

    `fingerprints` are hashes of the structures that opening the images read, by the files' bare names as `IoCounter`
    keeps them (escaped where they are no text), `failed_reads` how many
    reads the host could not do: with any, the facts may be others next time. `failures` are bugs of imgscan's own that
    were contained, each in one line.
    """

    facts: MachineFacts
    fingerprints: dict[str, str]
    failed_reads: int
    failures: tuple[str, ...]


@cache
def inspection_decoder() -> msgspec.json.Decoder[Inspection]:
    """Return what decodes inspections; building it takes as long as reading a small machine's disks."""
    return msgspec.json.Decoder(Inspection)


def parse_inspection(data: bytes) -> Inspection:
    """Return what a worker answered, its text made fit to show: an image may have taken the worker over.

    :raises ValueError: it is no such answer
    """
    return inspection_decoder().decode(_harmless(data))


def parse_learnt(data: bytes) -> MachineFacts:
    """Return the facts that a worker sent before it died; else as `parse_inspection`."""
    return msgspec.json.decode(_harmless(data), type=MachineFacts)


def _harmless(data: bytes) -> bytes:
    from imgscan.reports.json import harmless  # noqa: PLC0415 - start-up time: a worker answers without it

    return harmless(data)


class Served(msgspec.Struct, frozen=True):
    """What a served disk is, sent once before anything is asked; sizes in bytes."""

    name: str
    size: int
    sector_size: int
    facts: ImageFacts


class Read(msgspec.Struct, frozen=True):
    """A request to a served disk: `length` bytes at `offset`."""

    offset: int
    length: int
