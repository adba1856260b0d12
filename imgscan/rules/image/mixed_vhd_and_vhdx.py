"""Some disks of the machine are VHD and others VHDX.

What it checks
--------------
The formats of all disks that were given together, told by content. A disk whose format could not be told makes the
answer unknown unless both formats were found already.

Why it matters
--------------
The target does not take a machine whose disks are of both formats.

How to fix
----------
Convert all disks to one format with `Convert-VHD`: VHDX for a generation 2 machine, else either.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import format_of, image_of


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Compare the formats of all disks."""
    found: dict[str, list[Disk]] = {"vhd": [], "vhdx": []}
    unread: UnreadFact | None = None
    for disk in machine.disks:
        try:
            image = format_of(disk)
        except UnreadFact as signal:
            unread = unread or signal
            continue
        if image in found:
            found[image].append(disk)
    evidence = tuple(image_of(disk) for disks in found.values() for disk in disks)
    said = "; ".join(f"{name}: {', '.join(d.name for d in disks)}" for name, disks in found.items() if disks)
    if all(found.values()):
        return failed(f"the machine has disks of both formats: {said}", *evidence)
    if unread is not None and len(machine.disks) > 1:
        raise unread
    if not said:
        return not_applicable("no disk is a VHD or VHDX")
    return passed(f"one format only: {said}", *evidence)


RULE = Rule(
    name="mixed-vhd-and-vhdx",
    title=title(__doc__),
    scope="machine",
    reads=("disks.format", "disks.problems", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
