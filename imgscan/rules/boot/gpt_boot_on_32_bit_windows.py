"""A 32-bit Windows boots from a GPT disk.

What it checks
--------------
The architecture of the installed Windows, when the boot disk is GPT. Architectures that may boot from GPT are the
profile's.

Why it matters
--------------
The target lists GPT boot volumes for 64-bit Windows only; a 32-bit Windows on one is not converted and does not boot.

How to fix
----------
Move the system to an MBR disk (back up, convert the table, restore and run `bcdboot`), or upgrade to a 64-bit Windows.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import disk_named, image_of, of_boot_disk, partition_table_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`architectures` may boot from GPT."""

    architectures: tuple[str, ...] = ("x86_64",)


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask the boot disk for its table, then the system for its architecture."""

    def ask(disk: Disk) -> Result:
        if partition_table_of(disk).scheme != "gpt":
            return _not_gpt(disk)
        evidence = disk.partitioning.evidence or (image_of(disk),)
        architecture = system.architecture.get()
        evidence = (*evidence, *system.architecture.evidence)
        if architecture is None:
            raise UnreadFact("missing", f"the Windows on {system.root} does not say its architecture", evidence)
        said = f"the Windows on {system.root} is {architecture}, and the boot disk {disk.name} is GPT"
        return passed(said, *evidence) if architecture in params.architectures else failed(said, *evidence)

    return of_boot_disk(machine, ask)


def decide_without_system(machine: MachineFacts, _params: Params) -> Result | None:
    """Answer for any Windows, when no boot disk is GPT."""
    names = machine.boot.disk.get()
    if any(partition_table_of(disk_named(machine, name)).scheme == "gpt" for name in names):
        return None
    return of_boot_disk(machine, _not_gpt)


def _not_gpt(disk: Disk) -> Result:
    return passed(f"the boot disk {disk.name} is not GPT", *(disk.partitioning.evidence or (image_of(disk),)))


RULE = Rule(
    name="gpt-boot-on-32-bit-windows",
    title=title(__doc__),
    scope="system",
    reads=(
        "boot.disk",
        "disks.partitioning",
        "disks.partition_table",
        "disks.format",
        "disks.files",
        "systems.architecture",
        "systems.root",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
    decide_without_system=decide_without_system,
)
