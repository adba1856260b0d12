"""A disk is a Hyper-V differencing disk and not the whole disk.

What it checks
--------------
Whether a VHD or VHDX is of the differencing kind, as checkpoints make them (`.avhd`, `.avhdx`).

Why it matters
--------------
A differencing disk holds only what differs from its parent. The importer reads it as damaged, or not at all.

How to fix
----------
Delete the machine's checkpoints in Hyper-V Manager and let it merge them, or merge the file with `Merge-VHD`, or
write a whole disk with `Convert-VHD`; then export again.
"""

from __future__ import annotations

import msgspec

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of, known_format_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`formats` are the image formats whose differencing disks are meant."""

    formats: tuple[str, ...] = ("vhd", "vhdx")


def check(machine: MachineFacts, params: Params) -> Result:
    """Ask each image of these formats whether it has a parent."""

    def ask(disk: Disk) -> Result:
        image = known_format_of(disk)
        if image not in params.formats:
            return not_applicable(f"{disk.name} is a {image} image")
        delta = disk.delta.get()
        evidence = disk.delta.evidence or (image_of(disk),)
        if delta is None:
            return passed(f"{disk.name} is a whole disk", *evidence)
        below = ", ".join(parent.hint for parent in disk.parents)
        return failed(f"{disk.name} is a differencing disk: {delta}{f', on {below}' if below else ''}", *evidence)

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="differencing-disk",
    title=title(__doc__),
    scope="machine",
    reads=("disks.format", "disks.delta", "disks.parents", "disks.problems", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
