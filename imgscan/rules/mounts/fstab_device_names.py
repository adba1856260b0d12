"""fstab names disks by their device names.

What it checks
--------------
Whether a line of `/etc/fstab`, or a mount unit of the system's owner, names a disk by what the kernel calls it
(`/dev/sda1`, `/dev/xvdf`, `/dev/nvme0n1p2`, `/dev/dm-0`), or by a name after the hardware (`/dev/disk/by-id`,
`/dev/disk/by-path`). Names that the disks themselves carry are fine: UUIDs, labels, logical volumes, MD arrays.
CD-ROM drives and floppies are not meant.

Why it matters
--------------
Disks have other device names on the target, and the hardware is another. The importer puts the UUID in their place
where it finds one, and adds `nofail` where it does not; the volume is then missing without an error.

How to fix
----------
Write `UUID=...` in place of the name; `blkid /dev/sdb1` prints it. For swap partitions `mkswap` gave one, too.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import Mount, System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import READS, each_mount


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask each line how it names its volume."""
    return each_mount(system, _objection, good="the mount table names no disk by its device name")


def _objection(mount: Mount) -> str | None:
    if mount.how == "device-name":
        return "a device name"
    return "a name after the hardware" if mount.how == "hardware-name" else None


RULE = Rule(
    name="fstab-device-names",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
