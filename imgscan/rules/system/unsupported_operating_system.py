"""The installed system is not one that the target takes.

What it checks
--------------
Of a Linux: the distribution, its release and, where the target's list has them, service pack and variant, as the
system's own files say (`/etc/os-release`, or the release file that older distributions have). Point releases count: of
some distributions the list has the first ones of a major release only. A system that tells no more than its major
release is left open where the list has a part of it.

Of a Windows: which one it is by version number, build and product type in the registry (names there are not relied on:
Windows 11 calls itself Windows 10), its edition, service pack, 32 or 64 bits, and whether it is a Nano Server. N and K
editions count as the edition without the letter, evaluation copies as what they evaluate.

Why it matters
--------------
The importer knows how to change the systems of its list, and ends at others.

How to fix
----------
Where a later release of the same system is listed, upgrade to it (Windows: install the service pack, or change the
edition with `DISM /Set-Edition`) and export again. A system that is newer than the list needs another importer, or its
workload moves to a machine with a listed system.
"""

from __future__ import annotations

import msgspec

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.listed_systems import ListedLinux, find_listed
from imgscan.rules.listed_windows import ListedWindows, find_listed_windows


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`systems` is the target's list of Linux systems, `windows` that of Windows."""

    systems: tuple[ListedLinux, ...] = ()
    windows: tuple[ListedWindows, ...] = ()


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look the system up in the list."""
    if system.family == "windows":
        listed = find_listed_windows(system, params.windows)
        if not listed.why_not:
            return passed(f"{listed.said} on {system.root} is on the list", *listed.evidence)
        return failed(f"{listed.said} on {system.root} is not on the list: {listed.why_not}", *listed.evidence)
    found = find_listed(system, params.systems)
    if found.lines:
        return passed(f"{found.said} on {system.root} is on the list", *found.evidence)
    return failed(f"{found.said} on {system.root} is not on the list: {found.why_not}", *found.evidence)


RULE = Rule(
    name="unsupported-operating-system",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.id",
        "systems.version",
        "systems.product",
        "systems.service_pack",
        "systems.variant",
        "systems.root",
        "systems.family",
        "systems.product_type",
        "systems.edition",
        "systems.installation_type",
        "systems.architecture",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
