"""Which files are one machine. Pure: from paths, and from what was identified, to a `Plan`.

1. Extents, parents and companions go below the disk that they belong to (`chains`). What nothing lies on is a disk. A
   parent that several disks share (linked clones) is in the `files` of each, and no machine: its content is seen in
   each of theirs. It is one only when a sidecar names it as a disk.
2. ``auto``: sidecars group the disks that they name (`sidecar_machines`); the other disks of a folder are grouped by
   their names (`name_patterns`), and what is left is a machine each. A disk that only sidecars of other folders name
   stays with those of its folder as well: what one customer uploads takes no machine of another out of the results.
   ``file``: each disk is a machine. ``folder``: all disks of one folder are a machine.

Every image is in a machine or told as one of the `others`. A file whose name says that it is an image, and whose
content does not (empty, cut, zeros, unreadable), is a disk like any other: its scan says what is wrong. Logs, states
and the like are not in `files`, so that they do not make a machine look changed.

**Names.** A machine is called like its first sidecar, or its first disk without the mark of a snapshot, with the folder
and without the ending: `customer/web01/web01`. Where Hyper-V called the sidecar by a GUID, it is the disk's name in the
folder of the machine (`exports/web01/web01`); with ``folder``, it is the folder's path. Machines that would have the
same name (`web.vmdk` and `web.vhdx`) are all called by the whole name of that file instead. So a name does not depend
on other machines, but for one that would have the same name.

The result depends on nothing but the arguments, and not on their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from imgscan.batch.chains import (
    UNTOLD,
    Shared,
    ShareFile,
    chain_of,
    files_below,
    link,
    read_files,
)
from imgscan.batch.name_patterns import NamedDisk, find_series, plain_stem
from imgscan.batch.names import join, natural_path_key, split, stem
from imgscan.batch.share import FileStamp, FoundFile, Identified, PathProblem, Plan, PlannedMachine
from imgscan.batch.sidecar_machines import (
    MAIN_SUFFIXES,
    Described,
    DescribedMachine,
    describe,
    is_at_home,
    is_exact,
    machine_folder,
    resolved,
)
from imgscan.errors import UsageError, Why
from imgscan.model.text import shown

Mode = Literal["auto", "file", "folder"]
MODES: tuple[Mode, ...] = get_args(Mode)
NAMED = 4
"""Names that a reason lists."""
_GUID_NAME = re.compile(r"\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)


class _Machine(msgspec.Struct):
    """A machine before it has a name: `name` is what it would be called, `whole_name` what it can always be called."""

    disks: list[ShareFile]
    more: list[ShareFile]
    name: str
    whole_name: str
    reason: str
    missing: tuple[str, ...] = ()


def group(
    files: Iterable[FoundFile],
    identified: Mapping[str, Identified],
    mode: Mode = "auto",
    problems: Iterable[PathProblem] = (),
) -> Plan:
    """Return the plan for the files that were found, and for what was identified of them, by path.

    A file that is not empty and not in `identified` was not looked at. `problems` are those of discovery. Added to them
    are what could not be identified, and descriptions of machines of which no disk is here. What was left out on
    purpose (`not-collected`) is told with the `others`.

    :raises UsageError: there is no such mode
    """
    if mode not in MODES:
        raise UsageError(f"{shown(str(mode))!r} is no way to group; there are {', '.join(MODES)}")
    all_files, folders = read_files(files, identified)
    tops = link(all_files, folders)
    if mode == "folder":
        described = Described([], [])
        machines = _by_folder(tops, all_files)
    elif mode == "file":
        described = Described([], [])
        machines = [_single(top, "each disk is a machine, as asked") for top in tops]
    else:
        described = describe(all_files, folders)
        machines = _automatic(tops, described)
    return _plan(machines, all_files, described, problems)


def only_newer(plan: Plan, stamps: Mapping[str, FileStamp], since_ns: int) -> Plan:
    """Return the plan with those machines only of which one file was written at or after `since_ns` (since 1970).

    The files of the others are told as `not-collected`.
    """
    others = list(plan.others)
    kept = [
        machine
        for machine in plan.machines
        if any(path in stamps and stamps[path].mtime_ns >= since_ns for path in machine.files)
    ]
    told = {path for machine in kept for path in machine.files}
    for machine in plan.machines:
        detail = f"no file of its machine is as new as asked; it belongs to {shown(machine.name)}"
        left_out = [path for path in machine.files if path not in told]
        told.update(left_out)
        others += [PathProblem(path, "not-collected", detail) for path in left_out]
    return Plan(machines=tuple(kept), others=_sorted(others), problems=plan.problems)


# ---- machines


def _automatic(tops: Sequence[ShareFile], described: Described) -> list[_Machine]:
    machines_of: dict[ShareFile, int] = {}
    taken: set[ShareFile] = set()
    from_elsewhere: dict[ShareFile, ShareFile] = {}
    for machine in described.machines:
        for disk in machine.disks:
            machines_of[disk] = machines_of.get(disk, 0) + 1
        for disk in (*machine.disks, *machine.older):
            if any(is_at_home(sidecar, disk) for sidecar in machine.sidecars):
                taken.add(disk)
            else:
                from_elsewhere.setdefault(disk, machine.sidecars[0])
    result = [_described(machine, machines_of) for machine in described.machines]
    by_folder: dict[str, list[ShareFile]] = {}
    with_others: set[str] = set()
    for top in tops:
        if top in taken:
            with_others.add(top.folder)
        else:
            by_folder.setdefault(top.folder, []).append(top)
    for folder, disks in by_folder.items():
        result += _by_names(folder, disks, alone=folder not in with_others)
    for own in result[len(described.machines) :]:
        namers = dict.fromkeys(from_elsewhere[disk].path for disk in own.disks if disk in from_elsewhere)
        if namers:
            own.reason += f"; {_list(list(namers))}, of another folder, names it too"
    return result


def _described(machine: DescribedMachine, machines_of: Mapping[ShareFile, int]) -> _Machine:
    first = machine.sidecars[0]
    what = first.identified.sidecar or "a sidecar"
    disks = "this disk" if len(machine.disks) == 1 else f"these {len(machine.disks)} disks"
    reason = f"{shown(first.name)} ({what}) names {disks}"
    if len(machine.sidecars) > 1:
        reason += f"; so do its further descriptions: {_names(machine.sidecars[1:])}"
    if machine.missing:
        verb = "is" if len(machine.missing) == 1 else "are"
        reason += f"; {_list(list(machine.missing))}, which it names too, {verb} not here"
    shared = [disk for disk in machine.disks if machines_of[disk] > 1]
    if shared:
        reason += f"; another sidecar names {_names(shared)} too"
    if machine.older:
        reason += f"; older states of its snapshots are no disks: {_names(machine.older)}"
    reason += _flaws(machine.disks)
    more = [*machine.sidecars, *machine.companions, *machine.older]
    there = {disk.path for disk in machine.disks}
    lost = tuple(
        f"{path} (a second one)" if path in there else path
        for path in (resolved(first.folder, name) or split(name)[1] for name in machine.lost)
    )
    return _Machine(machine.disks, more, _sidecar_name(first, machine.disks[0]), first.path, reason, lost)


def _sidecar_name(sidecar: ShareFile, disk: ShareFile) -> str:
    bare = stem(sidecar.name, also=MAIN_SUFFIXES)
    if not _GUID_NAME.fullmatch(bare):
        return join(machine_folder(sidecar.folder), bare)
    return join(machine_folder(sidecar.folder), _disk_stem(disk))


def _by_names(folder: str, disks: Sequence[ShareFile], *, alone: bool) -> list[_Machine]:
    roots = [chain_of(disk)[-1] for disk in disks]
    uses: dict[ShareFile, int] = {}
    for root in roots:
        uses[root] = uses.get(root, 0) + 1
    named = []
    for disk, root in zip(disks, roots, strict=True):
        known_by = disk if uses[root] > 1 else root
        named.append(NamedDisk(_disk_stem(known_by), disk.family, root))
    series = find_series(named, _last_name(machine_folder(folder)), alone=alone)
    result: list[_Machine] = []
    doubts: dict[int, str] = {}
    grouped: set[int] = set()
    for found in series:
        members = [disks[place] for place in found.members]
        if found.together:
            grouped.update(found.members)
            result.append(_together(members, found.why))
            continue
        names = _names(members)
        for place in found.members:
            doubts.setdefault(place, f"{names} are named alike and taken for machines of their own: {found.why}")
    for place, disk in enumerate(disks):
        if place not in grouped:
            why = doubts.get(place, "no sidecar names it, and no other disk of its folder belongs to it by name")
            result.append(_single(disk, why))
    return result


def _last_name(folder: str) -> str:
    return "" if folder == "." else split(folder)[1]


def _together(disks: list[ShareFile], why: str) -> _Machine:
    first = disks[0]
    reason = f"{_names(disks)} are disks of one machine by their names: {why}{_flaws(disks)}"
    return _Machine(disks, [], join(machine_folder(first.folder), _disk_stem(first)), first.path, reason)


def _single(disk: ShareFile, why: str) -> _Machine:
    name = join(machine_folder(disk.folder), _disk_stem(disk))
    return _Machine([disk], [], name, disk.path, why + _flaws([disk]))


def _by_folder(tops: Sequence[ShareFile], files: Sequence[ShareFile]) -> list[_Machine]:
    by_folder: dict[str, list[ShareFile]] = {}
    for top in tops:
        by_folder.setdefault(top.folder, []).append(top)
    sidecars: dict[str, list[ShareFile]] = {}
    for file in files:
        if file.kind == "sidecar":
            sidecars.setdefault(file.folder, []).append(file)
    result = []
    for folder, disks in by_folder.items():
        reason = f"all disks of one folder are a machine, as asked{_flaws(disks)}"
        first = disks[0]
        name = join(folder, _disk_stem(first)) if folder == "." else folder
        result.append(_Machine(disks, sidecars.get(folder, []), name, first.path, reason))
    return result


def _disk_stem(disk: ShareFile) -> str:
    is_delta = bool(disk.identified.parents) or disk.name.lower().endswith((".avhdx", ".avhd"))
    return plain_stem(stem(disk.name), delta=is_delta)


def _flaws(disks: Sequence[ShareFile]) -> str:
    """Return what is to be said of disks that are not what their names say, or whose parents are not here."""
    said = ""
    suspects = [disk for disk in disks if disk.kind == "suspect"]
    if suspects:
        what = suspects[0].identified.detail or "it is none that imgscan knows"
        verb = "is an image" if len(suspects) == 1 else "are images"
        said += f"; {_names(suspects)} {verb} by name only: {shown(what)}"
    missing = [image.parent_missing for disk in disks for image in chain_of(disk) if image.parent_missing]
    if missing:
        said += f"; the parent {_list(missing)} is not here"
    return said


def _names(files: Sequence[ShareFile]) -> str:
    return _list([file.name for file in files])


def _list(names: Sequence[str]) -> str:
    listed = [shown(name) for name in names[:NAMED]]
    if len(names) > NAMED:
        return f"{', '.join(listed)} and {len(names) - NAMED} more"
    return " and ".join((", ".join(listed[:-1]), listed[-1])) if len(listed) > 1 else listed[0]


# ---- the plan


def _plan(
    machines: Sequence[_Machine], files: Sequence[ShareFile], described: Described, problems: Iterable[PathProblem]
) -> Plan:
    names = _unique_names(machines)
    shared = Shared()
    planned: list[PlannedMachine] = []
    accounted: set[ShareFile] = set()
    for machine in sorted(machines, key=lambda machine: machine.disks[0].number):
        belonging = set(machine.more)
        for disk in [*machine.disks, *(file for file in machine.more if file.kind in {"image", "suspect"})]:
            belonging.update(files_below(disk, shared))
        accounted |= belonging
        planned.append(
            PlannedMachine(
                name=names[id(machine)],
                disks=tuple(disk.path for disk in machine.disks),
                files=tuple(file.path for file in sorted(belonging, key=lambda file: file.number)),
                reason=machine.reason,
                missing=machine.missing,
            )
        )
    unused = {sidecar: (why, is_missing) for sidecar, why, is_missing in described.unused}
    others: list[PathProblem] = []
    lost: list[PathProblem] = []
    for problem in problems:
        (others if problem.why == "not-collected" else lost).append(problem)
    for file in files:
        if file in accounted:
            continue
        told = _other(file, unused.get(file))
        untold = told.why in UNTOLD and file.kind == "other" and file.identified.what is None
        is_lost_machine = told.why == "missing" and is_exact(file)
        (lost if untold or is_lost_machine else others).append(told)
    planned.sort(key=lambda machine: natural_path_key(machine.name))
    return Plan(machines=tuple(planned), others=_sorted(others), problems=_sorted(lost))


def _other(file: ShareFile, unused: tuple[str, bool] | None) -> PathProblem:
    what = file.identified
    if file.kind == "image":
        return PathProblem(file.path, "limit", "it lies below others in a chain that is longer than imgscan follows")
    if what.sidecar is not None:
        said, is_missing = unused or ("it is not asked for disks when machines are grouped in another way", False)
        why: Why = "missing" if is_missing else "not-collected"
        return PathProblem(file.path, why, f"{what.sidecar}; {shown(said)}")
    return PathProblem(file.path, what.why or "unsupported", what.detail or "this is no disk image that imgscan knows")


def _sorted(problems: Iterable[PathProblem]) -> tuple[PathProblem, ...]:
    return tuple(sorted(problems, key=lambda problem: (natural_path_key(problem.path), problem.why, problem.detail)))


def _unique_names(machines: Sequence[_Machine]) -> dict[int, str]:
    """Return each machine's name; those that would have the same one are called by their whole names.

    A whole name can be what another machine is called: then that one is called by its whole name too, and so on. Whole
    names are paths of files, and no two machines have the same.
    """
    names = {id(machine): machine.name for machine in machines}
    whole = {id(machine): machine.whole_name for machine in machines}
    while True:
        users: dict[str, list[int]] = {}
        for number, name in names.items():
            users.setdefault(name, []).append(number)
        again = [n for same in users.values() if len(same) > 1 for n in same if names[n] != whole[n]]
        if not again:
            return names
        for number in again:
            names[number] = whole[number]
