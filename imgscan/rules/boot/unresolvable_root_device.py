"""The default boot entry names a root device that is no volume of the machine.

What it checks
--------------
The last `root=` of the default kernel's command line, resolved over all disks that were given: UUID, label, partition's
UUID or label, logical volume, array, or a device name. A name after the hardware (`/dev/disk/by-id`, `by-path`), one
that several volumes answer to, and a command line without `root=` leave the question open.

Why it matters
--------------
The kernel waits for a device that never comes, and the machine stops before the system starts.

How to fix
----------
Give the disk that holds the root volume too. Where none is missing, correct `root=` (in `/etc/default/grub` or the
menu; `blkid` prints the UUID), write the menu anew, and start the machine once before it is exported again.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look at what root= means."""
    kernel = system.default_kernel.get()
    evidence = system.default_kernel.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if kernel is None or kernel.arguments is None:
        if system.bootloader.get() is None:
            return not_applicable(f"no boot menu starts a kernel on {system.root}", *evidence)
        raise UnreadFact("missing", f"no entry of the boot menu starts a kernel on {system.root}", evidence)
    evidence = (*kernel.evidence, *evidence)
    root = kernel.root
    if root is None:
        raise UnreadFact("missing", "the default entry has no root=", evidence)
    if root.volume is not None:
        return passed(f"the default entry's root {root.source} is {root.volume}", *evidence)
    if root.candidates:
        names = ", ".join(root.candidates)
        raise UnreadFact("missing", f"the default entry's root {root.source} may be each of {names}", evidence)
    if not root.is_understood:
        raise UnreadFact("unsupported", f"what the default entry's root {root.source} means is not on disks", evidence)
    return failed(f"the default entry's root {root.source} is no volume of the given disks", *evidence)


RULE = Rule(
    name="unresolvable-root-device",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.default_kernel", "systems.bootloader"),
    remedy=how_to_fix(__doc__),
    check=check,
)
