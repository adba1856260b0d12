"""The system has no driver for the target's faster network devices.

What it checks
--------------
Linux: whether the drivers are modules of the default kernel, or built into it, by their exact names. Windows: whether
there is a service for them with its file, or a package in the driver store, from which Windows installs a driver when
it finds the device: `ena`, and for `ixgbevf` Intel's driver for the virtual function of the 82599 (`vxn65x64.inf`). On
the versions of Windows for which the importer installs the drivers, the question does not arise.

Why it matters
--------------
The importer installs no such drivers on other systems. Without them the machine runs only on instance types that offer
an older network device, or with less throughput there.

How to fix
----------
Linux: install a kernel that has them (`ena` is in Linux 4.9 and later and in newer kernels of the distributions,
`ixgbevf` in all), or the vendor's driver as a module (DKMS). Windows: `pnputil -i -a` with the driver's `.inf`
(Amazon's ENA driver, Intel's network adapter driver). Before the export, or in the imported machine.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.listed_windows import release_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`modules` are the drivers, by the Linux kernel's names for them (`_` for `-`).

    `installed_on` are the versions of Windows (as in lists of systems) on which the importer installs them.
    """

    modules: tuple[str, ...]
    installed_on: tuple[str, ...] = ()


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look for each driver."""
    return _windows(system, params) if system.family == "windows" else _linux(system, params)


def _windows(system: System, params: Params) -> Result:
    if params.installed_on:
        release = release_of(system)
        if release.id in params.installed_on:
            return not_applicable(f"the importer installs the drivers on {release.name}", *release.evidence)
    found = {driver.name: driver for driver in system.network_drivers.get()}
    where = system.network_drivers.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    evidence = tuple(piece for name in params.modules if name in found for piece in found[name].evidence) or where
    states = {name: found[name].state if name in found else "unread" for name in params.modules}
    missing = [name for name, state in states.items() if state in {"absent", "broken"}]
    if missing:
        return failed(f"the Windows on {system.root} has no driver {', '.join(missing)}", *evidence)
    unread = [name for name, state in states.items() if state == "unread"]
    if unread:
        raise UnreadFact("missing", f"whether the file of {', '.join(unread)} is there was not read", evidence)
    said = ", ".join(f"{name} ({state})" for name, state in states.items())
    return passed(f"the Windows on {system.root} has {said}", *evidence)


def _linux(system: System, params: Params) -> Result:
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
    reads=(
        "systems.family",
        "systems.root",
        "systems.bootloader",
        "systems.kernel_drivers",
        "systems.network_drivers",
        "systems.version",
        "systems.product_type",
        "systems.product",
        "systems.edition",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
