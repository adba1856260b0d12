"""Shares for tests of grouping: what would be found and identified, without files; and shares on disk."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from imgscan.batch.discovery import discover, needs_identification
from imgscan.batch.grouping import Mode, group
from imgscan.batch.identify import identify_file
from imgscan.batch.names import last_component
from imgscan.batch.share import FileStamp, FoundFile, Identified, PathProblem, Plan
from imgscan.batch.source import LocalSource
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.errors import ImageError

VMX, VBOX, OVF, MANIFEST = "a VMX machine file", "a VirtualBox machine file", "an OVF descriptor", "an OVF manifest"
VMCX, VMSD = "a Hyper-V machine file (.vmcx or .vmrs)", "a VMware snapshot list (.vmsd)"
HYPERV_XML, LIBVIRT = "a Hyper-V machine file", "a libvirt machine file"
MIB = 1 << 20

ZEROS = Identified(why="unsupported", detail="the file begins with zeros")
TEXT = Identified(why="unsupported", detail="this is no disk image that imgscan knows")
ISO = Identified(what="an ISO 9660 image", why="unsupported", detail="this is an ISO 9660 image; give disks")
UNREADABLE = Identified(why="io-error", detail="reading failed: Input/output error")


def image(kind: str, extents: tuple[str, ...] = (), parent: str | tuple[str, ...] = ()) -> Identified:
    hints = (parent,) if isinstance(parent, str) else parent
    return Identified(format=kind, extents=extents, parents=tuple(last_component(hint) for hint in hints))


def sidecar(what: str, *disks: str) -> Identified:
    return Identified(sidecar=what, sidecar_disks=disks, what=what, why="unsupported", detail=f"this is {what}")


def descriptor(*extents: str, parent: str = "") -> Identified:
    return image("vmdk", extents, parent or ())


Tree = Mapping[str, Identified | str | None]
"""Paths, and what each file is: a format, an `Identified`, or None for an empty file."""


def plan_of(
    tree: Tree, mode: Mode = "auto", *, shuffle: int | None = None, sizes: Mapping[str, int] | None = None
) -> Plan:
    """Group a share. A file's size is 1 MiB, and 500 bytes for a descriptor that names extents, unless `sizes` says."""
    identified = {path: image(what) if isinstance(what, str) else what for path, what in tree.items()}
    files = []
    for number, (path, what) in enumerate(identified.items()):
        size = 0 if what is None else 500 if what.extents else MIB
        files.append(FoundFile(path, FileStamp((sizes or {}).get(path, size), 1_700_000_000, number + 1, 1)))
    pairs = [(path, what) for path, what in identified.items() if what is not None]
    if shuffle is not None:
        dice = random.Random(shuffle)
        dice.shuffle(files)
        dice.shuffle(pairs)
    return group(files, dict(pairs), mode)


def machines(tree: Tree, mode: Mode = "auto") -> dict[str, list[str]]:
    """Return each machine's name and its disks."""
    plan = plan_of(tree, mode)
    assert_accounted(tree, plan)
    return {machine.name: list(machine.disks) for machine in plan.machines}


def assert_accounted(tree: Tree, plan: Plan) -> None:
    """Every file is in a machine, or told once; no two machines have one name; and the order of input is no matter."""
    in_machines = {path for machine in plan.machines for path in machine.files}
    told = [problem.path for problem in (*plan.others, *plan.problems)]
    assert len(told) == len(set(told))
    assert in_machines | set(told) == set(tree)
    assert not in_machines & set(told)
    names = [machine.name for machine in plan.machines]
    assert len(names) == len(set(names))
    for machine in plan.machines:
        assert machine.disks
        assert set(machine.disks) <= set(machine.files)
        assert machine.reason.isprintable()


def plan_share(root: Path, mode: Mode = "auto") -> Plan:
    """Walk, identify and group a share on disk, in this process."""
    files: list[FoundFile] = []
    problems: list[PathProblem] = []
    identified: dict[str, Identified] = {}
    with LocalSource(root) as source:
        for found in discover(source):
            if isinstance(found, PathProblem):
                problems.append(found)
                continue
            files.append(found)
            if needs_identification(found):
                identified[found.path] = _identified(source, found.path)
    return group(files, identified, mode, problems)


def _identified(source: LocalSource, path: str) -> Identified:
    try:
        opened = source.open_file(path)
    except ImageError as error:
        return Identified(why=error.why, detail=error.message)
    identity = FileIdentity(opened.stamp.device, opened.stamp.inode)
    file = FileDevice(opened.descriptor, path.rpartition("/")[2], opened.stamp.size, identity, IoCounter())
    try:
        return identify_file(file)
    finally:
        file.close()
