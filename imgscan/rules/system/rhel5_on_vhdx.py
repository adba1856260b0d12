"""A Red Hat Enterprise Linux 5 is on VHDX.

What it checks
--------------
Whether the installed Linux is Red Hat Enterprise Linux 5 in any minor release, and a disk of the machine is a VHDX.
CentOS 5 and Oracle Linux 5 are not meant.

Why it matters
--------------
The target does not take this combination, although it takes each alone.

How to fix
----------
Convert the disks to VHD (`Convert-VHD -VHDType Dynamic disk.vhdx disk.vhd`) and migrate those.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import format_of, image_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The release `id` `major` is not taken on disks of `format`."""

    id: str = "rhel"
    major: str = "5"
    format: str = "vhdx"


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Look for a disk of that format, then ask which release the system is."""
    found, unread = _disks_of_format(machine, params)
    if not found and unread is None:
        return _no_such_disk(machine, params)
    name = system.id.get()
    of_system = system.id.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    evidence = (*of_system, *(image_of(disk) for disk in found))
    if name is None:
        raise UnreadFact("missing", f"the system on {system.root} does not say which one it is", evidence)
    if name != params.id:
        return passed(f"the system on {system.root} is {name}, not {params.id}", *evidence)
    version = system.version.get()
    evidence = (*evidence, *system.version.evidence)
    if version is None:
        raise UnreadFact("missing", f"the {name} on {system.root} does not say its version", evidence)
    if version.split(".")[0] != params.major:
        return passed(f"the system on {system.root} is {name} {version}, not {params.id} {params.major}", *evidence)
    if not found and unread is not None:
        raise unread
    return failed(
        f"{name} {version} on {system.root}: {', '.join(d.name for d in found)} is {params.format}", *evidence
    )


def decide_without_system(machine: MachineFacts, params: Params) -> Result | None:
    """Pass whatever the system is, when no disk is of that format."""
    found, unread = _disks_of_format(machine, params)
    return None if found or unread is not None else _no_such_disk(machine, params)


def _disks_of_format(machine: MachineFacts, params: Params) -> tuple[list[Disk], UnreadFact | None]:
    """Return the disks of that format, and why the format of another is not known."""
    found: list[Disk] = []
    unread: UnreadFact | None = None
    for disk in machine.disks:
        try:
            if format_of(disk) == params.format:
                found.append(disk)
        except UnreadFact as signal:
            unread = unread or signal
    return found, unread


def _no_such_disk(machine: MachineFacts, params: Params) -> Result:
    return passed(f"no disk is a {params.format} image", *(image_of(disk) for disk in machine.disks))


RULE = Rule(
    name="rhel5-on-vhdx",
    title=title(__doc__),
    scope="system",
    reads=("disks.format", "disks.problems", "disks.files", "systems.id", "systems.version", "systems.root"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
    decide_without_system=decide_without_system,
)
