"""A disk is a snapshot's delta and not the whole disk.

What it checks
--------------
Whether a VMDK is a delta of another one (a parent content ID, or a sparse format that snapshots use). Hyper-V's
differencing disks are `differencing-disk`.

Why it matters
--------------
A delta holds only what changed since the snapshot. Exported alone it is not a disk, and replication is disturbed by
snapshots that others make.

How to fix
----------
Delete or consolidate the machine's snapshots in vSphere, then export it again. To keep a file, clone it with
`vmkfstools -i delta.vmdk whole.vmdk`.
"""

from __future__ import annotations

import msgspec

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of, known_format_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`formats` are the image formats whose deltas are meant."""

    formats: tuple[str, ...] = ("vmdk",)


def check(machine: MachineFacts, params: Params) -> Result:
    """Ask each image of these formats whether it is a delta."""

    def ask(disk: Disk) -> Result:
        image = known_format_of(disk)
        if image not in params.formats:
            return not_applicable(f"{disk.name} is a {image} image")
        delta = disk.delta.get()
        evidence = disk.delta.evidence or (image_of(disk),)
        if delta is None:
            return passed(f"{disk.name} is a whole disk", *evidence)
        below = ", ".join(parent.hint for parent in disk.parents)
        return failed(f"{disk.name} is a delta: {delta}{f', on {below}' if below else ''}", *evidence)

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="snapshot-present",
    title=title(__doc__),
    scope="machine",
    reads=("disks.format", "disks.delta", "disks.parents", "disks.problems", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
