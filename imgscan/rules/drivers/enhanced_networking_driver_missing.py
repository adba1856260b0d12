"""The default kernel has no driver for the target's faster network devices.

What it checks
--------------
Whether the drivers are modules of the default kernel, or built into it, by their exact names.

Why it matters
--------------
The importer installs no such drivers on Linux. Without them the machine runs only on instance types that offer an older
network device, or with less throughput there.

How to fix
----------
Install a kernel that has them (`ena` is in Linux 4.9 and later and in newer kernels of the distributions, `ixgbevf` in
all), or the vendor's driver as a module (DKMS), before the export or in the imported machine.
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
    """Look for each driver among the modules and in the kernel."""
    drivers = system.kernel_drivers.get()
    evidence = system.kernel_drivers.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if drivers is None:
        if system.bootloader.get() is None:
            return not_applicable(f"{system.root} has no boot loader's configuration, and no modules", *evidence)
        raise UnreadFact("missing", f"no modules of the default kernel of {system.root} are there", evidence)
    missing = [name for name in params.modules if name not in drivers.modules and name not in (drivers.builtin or ())]
    if missing and drivers.builtin is None:
        detail = f"kernel {drivers.version} has no module {', '.join(missing)}, and no list of what is built in"
        raise UnreadFact("missing", detail, evidence)
    if missing:
        return failed(f"kernel {drivers.version} has no driver {', '.join(missing)}", *evidence)
    return passed(f"kernel {drivers.version} has {', '.join(params.modules)}", *evidence)


RULE = Rule(
    name="enhanced-networking-driver-missing",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.bootloader", "systems.kernel_drivers"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
