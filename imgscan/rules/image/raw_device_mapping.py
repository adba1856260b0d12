"""A disk is a raw device mapping.

What it checks
--------------
Whether a VMDK descriptor maps a physical device or LUN (`vmfsRDM`, `vmfsRDMP`, `fullDevice`, `partitionedDevice` and
their like) and holds no data of its own. Such a device is never opened.

Why it matters
--------------
The disk's data is on the storage array and not in the export.

How to fix
----------
Turn the mapping into a virtual disk (in vSphere: a cold Storage vMotion that changes the disk format, or
`vmkfstools -i mapping.vmdk whole.vmdk`), then export again.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each image whether it maps a device."""

    def ask(disk: Disk) -> Result:
        name = disk.device_mapping.get()
        evidence = disk.device_mapping.evidence or (image_of(disk),)
        if name is not None:
            return failed(f"{disk.name} maps a physical device: {name}", *evidence)
        return passed(f"{disk.name} holds its own data", *evidence)

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="raw-device-mapping",
    title=title(__doc__),
    scope="machine",
    reads=("disks.device_mapping", "disks.format", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
