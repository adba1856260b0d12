"""The boot disk is larger than the target allows.

What it checks
--------------
The virtual size of the boot disk, uncompressed, against the profile's limit. A disk of exactly the limit passes.

Why it matters
--------------
The target boots from an MBR, whose 32-bit sector numbers end at 2 TiB; a larger boot disk is refused.

How to fix
----------
Shrink the boot disk below the limit, or move the system to a smaller disk and keep the large one for data. Note that
a virtual disk cannot be shrunk by its hypervisor's dialog alone: shrink the partitions first.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of, of_boot_disk


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`max_bytes` is the largest size that the target takes."""

    max_bytes: int


def check(machine: MachineFacts, params: Params) -> Result:
    """Compare the boot disk's size with the limit."""

    def ask(disk: Disk) -> Result:
        size = disk.virtual_size
        if size is None or size < 0:
            raise UnreadFact("missing", f"the size of {disk.name} is not known", (image_of(disk),))
        end = AtOffset(disk.name, size, 0, "end of the virtual disk")
        if size > params.max_bytes:
            over = size - params.max_bytes
            return failed(f"{disk.name} has {size} bytes, {over} more than the {params.max_bytes} allowed", end)
        return passed(f"{disk.name} has {size} bytes, at most {params.max_bytes} are allowed", end)

    return of_boot_disk(machine, ask)


RULE = Rule(
    name="boot-disk-too-large",
    title=title(__doc__),
    scope="machine",
    reads=("boot.disk", "disks.virtual_size", "disks.format", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
