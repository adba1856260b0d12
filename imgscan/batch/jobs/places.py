"""What the commands that look into a guest share: finding the place, or the system, that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgscan import scan
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.worker import JobContext
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.subvolumes import split_path
from imgscan.errors import ERRORS, ImageError, UnsupportedFormat, UsageError
from imgscan.model.system import System
from imgscan.model.volume import whole_names
from imgscan.scan import OpenMachine, ScanOptions


@contextmanager
def guest_place(job: Job, context: JobContext) -> Iterator[tuple[GuestTree, str]]:
    """Open the machine and yield the tree and the path that the last argument names.

    WHERE is `/path` in the mount tree of an installed system, or `VOLUME:/path` on one volume, where Btrfs may begin
    with a subvolume: `VOLUME:/subvol:@home/path`.

    :raises UsageError: WHERE is missing or names no volume or system there is
    :raises ImageError: what it names cannot be read
    """
    where = str(job.arguments["where"])
    volume, colon, path = where.partition(":/")
    if not where.startswith("/") and not colon:
        raise UsageError("not a place in a guest; give /path, or VOLUME:/path", where=where)
    with _machine(job, context) as machine:
        if where.startswith("/"):
            yield machine.trees[_system_number(machine, job.arguments.get("system"))], where
        else:
            yield _volume_tree(machine, volume, "/" + path)


@contextmanager
def guest_system(job: Job, context: JobContext) -> Iterator[tuple[GuestTree, System]]:
    """Open the machine and yield the files and the facts of an installed system: the one with that number, or the only.

    :raises UsageError: there is none, or several and no number
    """
    with _machine(job, context) as machine:
        number = _system_number(machine, job.arguments.get("system"))
        yield machine.trees[number], machine.facts.systems[number]


@contextmanager
def _machine(job: Job, context: JobContext) -> Iterator[OpenMachine]:
    options = ScanOptions(input_format=job.input_format, left_out=context.left_out)
    paths = [unpack_text(path) for path in job.paths]
    with scan.open_machine(paths, options, given=context.given, watch=context, counter=context.counter) as machine:
        yield machine


def _system_number(machine: OpenMachine, wanted: str | int | None) -> int:
    system = wanted if isinstance(wanted, int) else None
    roots = [f"{index} ({one.family}, root on {one.root})" for index, one in enumerate(machine.facts.systems)]
    volumes = ", ".join(sorted(machine.filesystems)) or "none"
    if not roots and not machine.facts.systems_searched.is_known:
        lost = machine.facts.systems_searched
        raise ERRORS.get(str(lost.unread), ImageError)(f"no installed system was found: {lost.detail}")
    if not roots:
        raise UsageError(f"no installed system was found; name the volume as in VOLUME:/path (readable: {volumes})")
    if system is None and len(roots) > 1:
        raise UsageError(f"there are several systems; choose one with --system: {', '.join(roots)}")
    if system is not None and not 0 <= system < len(roots):
        raise UsageError(f"there is no system {system}; there is: {', '.join(roots)}")
    return system or 0


def _volume_tree(machine: OpenMachine, volume: str, path: str) -> tuple[GuestTree, str]:
    volume = whole_names(machine.facts.volumes).get(volume, volume)
    if volume in machine.filesystems:
        root, rest = split_path(machine.filesystems[volume], path)
        return GuestTree({"/": root}), rest
    for known in machine.facts.volumes:
        if known.name == volume:
            holds = known.content or "nothing known"
            why = f": {known.readable.detail}" if known.readable is not None and not known.readable.is_known else ""
            unread = known.readable.unread if known.readable is not None else "unsupported"
            raise ERRORS.get(str(unread), UnsupportedFormat)(f"{volume} holds {holds} and cannot be listed{why}")
    names = ", ".join(sorted(machine.filesystems)) or "none"
    raise UsageError(f"there is no volume {volume!r}; readable ones: {names}")
