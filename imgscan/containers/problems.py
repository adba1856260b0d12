"""Errors as problems of an image, and back."""

from __future__ import annotations

import msgspec

from imgscan.errors import (
    AccessRefused,
    ChangedWhileReading,
    CorruptStructure,
    EncryptedData,
    ImageError,
    MissingPart,
    ParserCrashed,
    ParserFailed,
    ReadFailed,
    TookTooLong,
    TruncatedRead,
    UnsupportedFormat,
    Why,
)
from imgscan.model.disk import ImageFacts, Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown

_KINDS: dict[Why, ProblemKind] = {
    "corrupt": "damage",
    "truncated": "truncated",
    "missing": "missing",
    "denied": "refused",
    "unsupported": "unsupported",
    "limit": "unsupported",
    "encrypted": "encrypted",
    "io-error": "io-error",
    "changed": "changed",
    "timed-out": "timed-out",
    "crashed": "crashed",
    "internal": "internal",
}
_ERRORS: dict[ProblemKind, type[ImageError]] = {
    "damage": CorruptStructure,
    "truncated": TruncatedRead,
    "missing": MissingPart,
    "refused": AccessRefused,
    "unsupported": UnsupportedFormat,
    "encrypted": EncryptedData,
    "io-error": ReadFailed,
    "changed": ChangedWhileReading,
    "timed-out": TookTooLong,
    "crashed": ParserCrashed,
    "internal": ParserFailed,
}


def problem_of(error: ImageError, code: str | None = None) -> Problem:
    """Return the problem that an error is; `code` is ``image-<why>`` unless given."""
    evidence = (AtOffset(shown(error.where), error.offset),) if error.where and error.offset is not None else ()
    return Problem(code or f"image-{error.why}", _KINDS[error.why], shown(error.message), evidence)


def error_of(facts: ImageFacts, where: str) -> ImageError:
    """Return the error that says why an image without a device cannot be read."""
    for problem in facts.problems:
        if problem.kind in _ERRORS:
            return _ERRORS[problem.kind](problem.detail, where=where)
    return UnsupportedFormat("it cannot be read", where=where)


def problems_of_parent(facts: ImageFacts) -> tuple[Problem, ...]:
    """Return the problems of an image as those of its child: each says whose it is; a grandparent's already does."""
    name = facts.files[0].name
    own = {name, ""}
    return tuple(
        msgspec.structs.replace(problem, detail=f"{name}: {problem.detail.removeprefix(f'{name}: ')}")
        if {getattr(piece, "where", "") for piece in problem.evidence} <= own
        else problem
        for problem in facts.problems
    )
