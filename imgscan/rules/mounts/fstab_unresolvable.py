"""fstab mounts a volume that is on none of the given disks.

What it checks
--------------
Whether each line of `/etc/fstab`, and each mount unit that starts, leads to exactly one volume of the machine, by UUID,
label, partition, logical volume, array or device name, over all disks that were given. Network filesystems, memory and
files of the guest have no volume. Lines with `noauto` or `nofail` are named and do not fail; CD-ROM drives and floppies
are left out. Names after the hardware (`/dev/disk/by-path`) stand on no disk: they are open, and so is every name while
a volume could not be looked at.

Why it matters
--------------
A system waits for what its fstab mounts, and stops in emergency mode when it does not come. The importer adds `nofail`
to lines for which it finds no volume: the machine then starts without that data.

How to fix
----------
Export the missing disk with the others, or remove the line, or add `nofail` when the machine may start without it.
Volumes with the same UUID or label, as cloned disks have, need new ones (`tune2fs -U random`, `xfs_admin -U generate`).
"""

from __future__ import annotations

from typing import Any

from imgscan.errors import UnreadFact
from imgscan.model.fact import Fact
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import Mount, System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import READS, each_mount, listed, place_of

_WITHOUT_VOLUME = frozenset({"network", "file", "virtual", "removable"})


def check(machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask each line for its volume."""
    optional = [
        place_of(mount)
        for fact in (system.mounts, system.mount_units)
        if fact.is_known
        for mount in fact.get()
        if _is_lost(mount) and (mount.may_fail or not mount.at_boot)
    ]
    good = "each line of the mount table that the system waits for leads to a volume"
    if optional:
        good += f" (not waited for, and not there: {listed(optional, ', ')})"
    return each_mount(system, lambda mount: _objection(machine, mount), good=good)


def _is_lost(mount: Mount) -> bool:
    return mount.volume is None and mount.flaw is None and mount.how not in _WITHOUT_VOLUME


def _objection(machine: MachineFacts, mount: Mount) -> str | None:
    if not _is_lost(mount) or mount.may_fail or not mount.at_boot:
        return None
    if mount.candidates:
        return f"several volumes answer to that name: {', '.join(mount.candidates)}"
    if mount.how == "hardware-name" or mount.source.startswith("/dev/dm-"):
        raise UnreadFact("missing", f"{place_of(mount)}: no disk says what that name means", mount.evidence)
    _ask_all_volumes(machine, mount)
    return "no volume of the given disks is that, and neither nofail nor noauto is set"


def _ask_all_volumes(machine: MachineFacts, mount: Mount) -> None:
    """Signal that the volume may be one that could not be looked at."""
    about = f"{place_of(mount)}: it may be on"
    for disk in machine.disks:
        if not disk.partitioning.is_known:
            raise _unread(disk.partitioning, f"{about} {disk.name}", mount)
    inside = {name for volume in machine.volumes if volume.kind == "encrypted" for name in volume.on}
    for volume in machine.volumes:
        if not volume.signature.is_known:
            raise _unread(volume.signature, f"{about} {volume.name}", mount)
        if volume.content in {"crypto_LUKS", "BitLocker"} and volume.name not in inside:
            raise UnreadFact("encrypted", f"{about} {volume.name}, which is encrypted", mount.evidence)


def _unread(fact: Fact[Any], about: str, mount: Mount) -> UnreadFact:
    """Return the signal of an unread fact with what was asked for before it."""
    try:
        fact.get()
    except UnreadFact as signal:
        return UnreadFact(signal.why, f"{about}: {signal.detail}", (*mount.evidence, *signal.evidence))
    return UnreadFact("internal", about)


RULE = Rule(
    name="fstab-unresolvable",
    title=title(__doc__),
    scope="system",
    reads=(*READS, "disks.partitioning", "volumes.signature", "volumes.content", "volumes.kind", "volumes.on"),
    remedy=how_to_fix(__doc__),
    check=check,
)
