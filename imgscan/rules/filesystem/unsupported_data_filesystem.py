"""A data volume has a filesystem that the target does not list for this system.

What it checks
--------------
The filesystem type of every volume but the systems' own roots, against the profile's list for the system's family.
Swap, members of volume groups and arrays, encrypted volumes (which have a rule of their own), EFI system partitions
and empty volumes hold no data filesystem. A disk that could not be read may hold any.

Why it matters
--------------
The volume is copied, and the importer neither checks nor adapts it; the imported system may not be able to use it.

How to fix
----------
If the volume holds data that the machine needs, move it to a listed filesystem, or migrate it by another way and
leave its disk out of the export. Otherwise nothing has to be done.
"""

from __future__ import annotations

from functools import partial

import msgspec

from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, over, passed
from imgscan.model.system import System
from imgscan.model.volume import Volume
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import EFI_SYSTEM_PARTITION

NO_DATA = (
    "swap",
    "swsuspend",
    "LVM2_member",
    "linux_raid_member",
    "ddf_raid_member",
    "isw_raid_member",
    "crypto_LUKS",
    "BitLocker",
)
"""Content that is no filesystem, by libblkid's names."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`filesystems` are the types listed for this family of systems; `no_data` are contents that are none."""

    filesystems: tuple[str, ...]
    no_data: tuple[str, ...] = NO_DATA


def check(machine: MachineFacts, _system: System, params: Params) -> Result:
    """Ask every volume that is no system's root."""
    roots = {system.root for system in machine.systems}
    efi = {
        partition.name
        for disk in machine.disks
        if disk.partition_table is not None
        for partition in disk.partition_table.partitions
        if partition.type.lower() in EFI_SYSTEM_PARTITION
    }

    def ask(volume: Volume) -> Result:
        signature = volume.signature
        if signature.unread == "encrypted":
            return not_applicable(f"{volume.name} is encrypted")
        content = signature.get()
        if content is None or content in params.no_data or (volume.name in efi and content == "vfat"):
            return not_applicable(f"{volume.name} holds {content or 'nothing known'}")
        evidence = signature.evidence or (AtOffset(volume.name, 0, 0, "filesystem signature"),)
        if content in params.filesystems:
            return passed(f"{volume.name} is {content}", *evidence)
        return failed(f"{volume.name} is {content}, not one of {', '.join(params.filesystems)}", *evidence)

    def ask_unread(disk: Disk) -> Result:
        if disk.partitioning.unread != "encrypted":
            disk.partitioning.get()
        return not_applicable(f"{disk.name} is encrypted")

    questions = [partial(ask, volume) for volume in machine.volumes if volume.name not in roots]
    questions += [partial(ask_unread, disk) for disk in machine.disks if not disk.partitioning.is_known]
    return over(questions, lambda question: question(), none="there are no data volumes")


RULE = Rule(
    name="unsupported-data-filesystem",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "volumes.signature", "disks.partitioning", "disks.partition_table"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
