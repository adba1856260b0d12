"""The importer will write the initramfs anew, to put its drivers in.

What it checks
--------------
Whether the drivers that the imported machine needs for its disks are in the default kernel's initramfs, or built into
that kernel, by their exact names.

Why it matters
--------------
The importer installs drivers in the system or in the initramfs where they are missing. What starts on the target is
then not byte for byte what was exported, and own changes to the initramfs may be lost.

How to fix
----------
Nothing has to be done. To keep the initramfs as it is, put the drivers in before the export (`dracut -f --add-drivers
xen-blkfront`, or its name in `/etc/initramfs-tools/modules` and `update-initramfs -u`).
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`modules` are the drivers, by the kernel's names for them (`_` for `-`)."""

    modules: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look for each driver in the initramfs, then in the kernel."""
    kernel = system.default_kernel.get()
    evidence = system.default_kernel.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if kernel is None:
        if system.bootloader.get() is None:
            return not_applicable(f"{system.root} has no boot loader's configuration and no kernel", *evidence)
        raise UnreadFact("missing", f"no kernel was found on {system.root}", evidence)
    found = system.initramfs.get()
    evidence = (*system.initramfs.evidence, *evidence)
    inside = frozenset(() if found is None else found.modules)
    missing = [name for name in params.modules if name not in inside]
    if missing:
        drivers = system.kernel_drivers.get()
        evidence = (*evidence, *system.kernel_drivers.evidence)
        builtin = None if drivers is None else drivers.builtin
        missing = [name for name in missing if builtin is None or name not in builtin]
        if missing and builtin is None:
            raise UnreadFact("missing", f"what is built into the kernel is not listed: {', '.join(missing)}", evidence)
    if missing and found is not None and (found.is_nested or any(file.flaw for file in found.files)):
        raise UnreadFact("unsupported", f"not all of the initramfs was read: {', '.join(missing)}", evidence)
    if missing:
        return failed(f"the initramfs lacks {', '.join(missing)}, and will be written anew", *evidence)
    return passed(f"the initramfs or the kernel has {', '.join(params.modules)}", *evidence)


RULE = Rule(
    name="initramfs-rebuilt-on-import",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.root",
        "systems.bootloader",
        "systems.default_kernel",
        "systems.initramfs",
        "systems.kernel_drivers",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
