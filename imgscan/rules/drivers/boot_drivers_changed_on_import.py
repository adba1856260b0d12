"""The import changes which drivers Windows starts with, or keeps some that do not fit the target.

What it checks
--------------
Whether the drivers that the target needs for its disks start with Windows (`Start` 0, and no `StartOverride` that says
otherwise) and have their files. Whether filters of disks, volumes and storage controllers (`UpperFilters`,
`LowerFilters`) are others than Windows' own: the import leaves them, and each one stands between Windows and the new
disks. And whether the file of such a filter, or of a driver that starts with Windows, is missing.

Why it matters
--------------
The importer changes the registry, and adds drivers where they are missing, so that Windows starts from the target's
disks: what starts there is not what was exported. A filter that was made for other hardware, or whose file is not
there, stops Windows with INACCESSIBLE_BOOT_DEVICE (0x7B).

How to fix
----------
For the drivers, nothing has to be done. Uninstall software that put in a filter which the target has no use for (disk
encryption, backup, drivers of a maker's hardware) before the export. Where a filter's file is missing, take its name
out of `UpperFilters` or `LowerFilters`; where a driver's file is missing, install the driver again or remove it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.model.windows import BootDriver
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import listed

_OWN_FILTERS: Final = frozenset(
    ("partmgr", "volsnap", "ehstorclass", "fvevol", "rdyboost", "iorate", "ecache", "crcdisk", "clusdisk", "storflt")
)
"""Filters that come with Windows."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`drivers` are the services of the drivers that the target needs for its disks."""

    drivers: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look for the target's drivers, for filters and for files."""
    drivers = system.boot_drivers.get()
    where: tuple[Evidence, ...] = system.boot_drivers.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    named = {driver.name.lower(): driver for driver in drivers}
    said: list[str] = []
    evidence: list[Evidence] = []
    unread: UnreadFact | None = None
    for name in params.drivers:
        driver = named.get(name.lower())
        said += _lacks(name, driver)
        evidence += driver.evidence if driver is not None else where
    for driver in drivers:
        flaws = _flaws(driver)
        if flaws:
            said += flaws
            evidence += driver.evidence
        elif driver.file == "unread":
            unread = unread or UnreadFact("missing", _not_read(driver), driver.evidence or where)
    if said:
        return failed(listed(said), *(evidence or where))
    if unread is not None:
        raise unread
    return passed(f"the Windows on {system.root} starts with {', '.join(params.drivers)}", *(evidence or where))


def _lacks(name: str, driver: BootDriver | None) -> list[str]:
    if driver is None or driver.start is None:
        return [f"Windows has no driver {name}, which the target's disks need"]
    if driver.start not in {"boot", "unread"}:
        by = " by StartOverride" if driver.configured == "boot" else ""
        return [f"the start type of {name}, which the target's disks need, is {driver.start}{by}"]
    return []


def _not_read(driver: BootDriver) -> str:
    if driver.start == "unread":
        return f"how {driver.name} starts cannot be read"
    return f"whether the file of {driver.name} is there ({driver.path or 'place unknown'}) was not read"


def _flaws(driver: BootDriver) -> list[str]:
    said: list[str] = []
    as_filter = " and ".join(str(each) for each in driver.filters)
    if as_filter and driver.name.lower() not in _OWN_FILTERS:
        said.append(f"{driver.name}, which does not come with Windows, stays {as_filter}")
    if driver.filters and driver.start is None:
        said.append(f"there is no driver {driver.name}, the {as_filter}")
    elif driver.file == "missing":
        what = f"{driver.name}, the {as_filter}," if as_filter else f"{driver.name}, which starts with Windows,"
        said.append(f"the file of {what} is missing: {driver.path}")
    return said


RULE = Rule(
    name="boot-drivers-changed-on-import",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.boot_drivers"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
