"""What `ls`, `cat` and `stat` share: finding the place in the guest that WHERE names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from imgscan import scan
from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ERRORS, ImageError, UnsupportedFormat, UsageError
from imgscan.scan import OpenMachine, ScanOptions


@contextmanager
def guest_place(arguments: Sequence[str], system: int | None, options: ScanOptions) -> Iterator[tuple[GuestTree, str]]:
    """Open the machine and yield the tree and the path that the last argument names.

    WHERE is `/path` in the mount tree of an installed system, or `VOLUME:/path` on one volume.

    :raises UsageError: WHERE is missing or names no volume or system there is
    :raises ImageError: what it names cannot be read
    """
    if len(arguments) < 2:
        raise UsageError("give the disk images, and last the place in the guest: /etc/fstab or disk0/p1:/etc/fstab")
    *paths, where = arguments
    volume, colon, path = where.partition(":/")
    if not where.startswith("/") and not colon:
        raise UsageError("not a place in a guest; give /path, or VOLUME:/path", where=where)
    with scan.open_machine(paths, options) as machine:
        if where.startswith("/"):
            yield _system_tree(machine, system), where
        else:
            yield _volume_tree(machine, volume), "/" + path


def _system_tree(machine: OpenMachine, system: int | None) -> GuestTree:
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
    return machine.trees[system or 0]


def _volume_tree(machine: OpenMachine, volume: str) -> GuestTree:
    if volume in machine.filesystems:
        return GuestTree({"/": machine.filesystems[volume]})
    for known in machine.facts.volumes:
        if known.name == volume:
            holds = known.content or "nothing known"
            why = f": {known.readable.detail}" if known.readable is not None and not known.readable.is_known else ""
            unread = known.readable.unread if known.readable is not None else "unsupported"
            raise ERRORS.get(str(unread), UnsupportedFormat)(f"{volume} holds {holds} and cannot be listed{why}")
    names = ", ".join(sorted(machine.filesystems)) or "none"
    raise UsageError(f"there is no volume {volume!r}; readable ones: {names}")
