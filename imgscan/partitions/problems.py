"""Problems that any partition table can have, and how an unreadable piece of one is worded."""

from __future__ import annotations

from collections.abc import Sequence

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError, Why
from imgscan.model.disk import Partition, Problem, ProblemKind
from imgscan.model.evidence import AtOffset

MOST_OF_ONE_CODE = 16
"""Problems of one code that are listed; a hostile table could have thousands."""

_KINDS: dict[Why, ProblemKind] = {
    "truncated": "truncated",
    "missing": "missing",
    "denied": "refused",
    "unsupported": "unsupported",
    "encrypted": "encrypted",
    "changed": "changed",
    "io-error": "io-error",
    "limit": "unsupported",
}


def cannot_read(code: str, what: str, error: ImageError, *evidence: AtOffset) -> Problem:
    """Return the problem that `what` could not be read."""
    return Problem(code, _KINDS.get(error.why, "damage"), f"{what} could not be read: {error}", evidence)


def beyond_end(partitions: Sequence[Partition], evidence: Sequence[AtOffset], device: BlockDevice) -> list[Problem]:
    """Return a problem for each partition that reaches beyond the end of the disk; `evidence` is by partition."""
    return [
        Problem(
            "partition-beyond-end",
            "damage",
            f"{partition.name} ends at byte {partition.start + partition.size}, "
            f"beyond the end of the disk at {device.size}",
            (where,),
        )
        for partition, where in zip(partitions, evidence, strict=True)
        if partition.start + partition.size > device.size
    ]


def overlaps(partitions: Sequence[Partition], evidence: Sequence[AtOffset]) -> list[Problem]:
    """Return a problem for each partition that begins inside one before it; `evidence` is by partition."""
    found = []
    by_start = sorted(zip(partitions, evidence, strict=True), key=lambda pair: (pair[0].start, pair[0].number))
    longest: tuple[Partition, AtOffset] | None = None
    for partition, where in by_start:
        if longest is not None and partition.size and partition.start < longest[0].start + longest[0].size:
            shared = min(longest[0].start + longest[0].size, partition.start + partition.size) - partition.start
            found.append(
                Problem(
                    "partitions-overlap",
                    "damage",
                    f"{longest[0].name} and {partition.name} share {shared} bytes from byte {partition.start}",
                    (longest[1], where),
                )
            )
        if longest is None or partition.start + partition.size > longest[0].start + longest[0].size:
            longest = (partition, where)
    return found


def capped(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems with at most `MOST_OF_ONE_CODE` of each code, and one line for those left out."""
    kept: list[Problem] = []
    counts: dict[str, int] = {}
    last: dict[str, Problem] = {}
    for problem in problems:
        counts[problem.code] = counts.get(problem.code, 0) + 1
        last[problem.code] = problem
        if counts[problem.code] <= MOST_OF_ONE_CODE:
            kept.append(problem)
    for code, count in counts.items():
        if count > MOST_OF_ONE_CODE:
            kept.append(Problem(code, last[code].kind, f"and {count - MOST_OF_ONE_CODE} more of this kind"))
    return tuple(kept)
