"""The system's root is on another disk than the one that boots.

What it checks
--------------
On which disks the root volume lies, through logical volumes and arrays, against the boot disk. A root that only
partly lies on the boot disk fails too. When the boot menu's own entries name a root that is no volume of the given
disks, or several, the answer is unknown, and so it is for a Linux whose boot menu or mount table could not be read.

Why it matters
--------------
The imported machine may number its disks differently, and the importer looks for the system on the boot disk: it
might not find the root, or not boot.

How to fix
----------
Move the root volume to the boot disk (`pvmove` for LVM, else copy it and correct `/etc/fstab` and the loader's
configuration), or install the boot loader on the disk that holds the root and boot from that one.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.disk import Disk
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import of_boot_disk


def check(machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Compare the disks below the root with the boot disk."""
    below = sorted(machine.disks_below(system.root))

    def ask(disk: Disk) -> Result:
        if not below:
            raise UnreadFact("missing", f"the facts do not say on which disk {system.root} lies")
        evidence = (AtOffset(system.root, 0, 0, "root volume"), *machine.boot.disk.evidence, *_references(system))
        if below != [disk.name]:
            where = ", ".join(below)
            return failed(f"the root {system.root} is on {where}, and the boot disk is {disk.name}", *evidence)
        if system.family == "linux":
            _require_references(system)
        return passed(f"the root {system.root} is on the boot disk {disk.name}", *evidence)

    return of_boot_disk(machine, ask)


def _require_references(system: System) -> None:
    """Make sure that the loader starts this root and no other one.

    :raises UnreadFact: what it starts was not read, or is none of the given disks' volumes
    """
    system.mounts.get()  # a /boot of its own may hold another menu
    for reference in system.references.get():
        if reference.role == "root" and reference.volume is None:
            raise UnreadFact(
                "missing",
                f"the boot loader starts the root {reference.source}, and no single volume of the given disks is it",
                reference.evidence,
            )


def _references(system: System) -> tuple[Evidence, ...]:
    """Return where the loader's configuration and the mount table name the root, as far as they were read."""
    references = system.references.get() if system.references.is_known else ()
    mounts = system.mounts.get() if system.mounts.is_known else ()
    return (
        *(piece for reference in references if reference.role == "root" for piece in reference.evidence),
        *(piece for mount in mounts if mount.point == "/" for piece in mount.evidence),
    )


RULE = Rule(
    name="root-not-on-boot-disk",
    title=title(__doc__),
    scope="system",
    reads=("boot.disk", "systems.family", "systems.root", "systems.references", "systems.mounts", "volumes.on"),
    remedy=how_to_fix(__doc__),
    check=check,
)
