"""What discovery finds on a share, and the machines that grouping makes of it: plain values without I/O.

Paths are relative to the share's root, with `/`, as `str` decoded from UTF-8 with `surrogateescape`.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import Why


class FileStamp(msgspec.Struct, frozen=True):
    """What tells an unchanged file without reading it; `size` in bytes, `mtime_ns` in nanoseconds since 1970."""

    size: int
    mtime_ns: int
    inode: int
    device: int


class FoundFile(msgspec.Struct, frozen=True):
    """A regular file under the root."""

    path: str
    stamp: FileStamp


class PathProblem(msgspec.Struct, frozen=True):
    """A path that could not be looked at, or was left out; never fatal. `detail` is one sentence for the user."""

    path: str
    why: Why
    detail: str


class Identified(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file's content says it is (made by a worker, from `containers.identify`).

    `format` is a container format's name, None when it is no disk image that imgscan reads; `why` and `detail` then
    say what it is or why it could not be told; `what` then names what it was recognised as ("a zip archive"), None when
    it was not. `extents` make up the same disk, `parents` are what may lie below it. `sidecar` says what a machine's
    description is ("an OVF descriptor"), `sidecar_disks` are the disks that it names. All names are bare (of parents
    the last component is left) but for sidecars' disks (see `containers.sidecars.Sidecar`), and fit to be shown:
    `imgscan.batch.chains` and `sidecar_machines` find the files again.
    """

    format: str | None = None
    what: str | None = None
    extents: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    sidecar: str | None = None
    sidecar_disks: tuple[str, ...] = ()
    why: Why | None = None
    detail: str | None = None


class PlannedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine to scan.

    `name` is unique on the share, and stable: it depends on no other machine. `disks` are the paths to scan, in
    their order; `files` all paths that belong to the machine (disks, extents, parents, sidecars), sorted. `reason`
    says in one sentence why these files are one machine. `missing` are disks that its description names and that are
    not there, by the paths where they would be: without them the machine is not known as a whole.
    """

    name: str
    disks: tuple[str, ...]
    files: tuple[str, ...]
    reason: str
    missing: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All machines of a share, sorted by name; `others` are the files that are none of any machine, and what they are.

    What was left out on purpose is there too (`not-collected`). `problems` are paths that could not be looked at.
    """

    machines: tuple[PlannedMachine, ...]
    others: tuple[PathProblem, ...]
    problems: tuple[PathProblem, ...]
