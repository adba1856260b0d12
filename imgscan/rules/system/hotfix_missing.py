"""A hotfix that the target asks for is not installed.

What it checks
--------------
Whether the updates of the target's list are installed, on the versions of Windows that they are made for: the one about
a hardware clock in UTC only where `RealTimeIsUniversal` is set. Where an update is not installed and a monthly rollup
is, which may hold it, the question stays open.

Why it matters
--------------
Without them the clock of an imported Windows cannot be set, or a change of daylight saving time uses up its processor.

How to fix
----------
Install the update (from the Microsoft Update Catalog, by its number), or the latest monthly rollup, before the export.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


class Hotfix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hotfix for Windows of some version numbers, with `universal_clock` only where the clock runs in UTC."""

    name: str
    versions: tuple[str, ...]
    universal_clock: bool = False

    def __str__(self) -> str:
        """Return the hotfix in one phrase."""
        return f"{self.name} (Windows {', '.join(self.versions)}{', clock in UTC' if self.universal_clock else ''})"


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hotfixes` are those that are asked for."""

    hotfixes: tuple[Hotfix, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask for each hotfix that is meant for this Windows."""
    version = system.version.get()
    evidence: tuple[Evidence, ...] = system.version.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if version is None:
        raise UnreadFact("missing", f"the Windows on {system.root} does not say its version", evidence)
    kernel = ".".join(version.split(".")[:2])
    meant = [hotfix for hotfix in params.hotfixes if kernel in hotfix.versions]
    if not meant:
        return not_applicable(f"no hotfix of the list is for Windows {kernel}", *evidence)
    if any(hotfix.universal_clock for hotfix in meant) and not system.universal_clock.get():
        meant = [hotfix for hotfix in meant if not hotfix.universal_clock]
        evidence = (*evidence, *system.universal_clock.evidence)
    if not meant:
        return passed(f"the hardware clock of the Windows on {system.root} does not run in UTC", *evidence)
    states = {update.name: update.state for update in system.updates.get()}
    evidence = (*evidence, *system.updates.evidence)
    absent = [hotfix.name for hotfix in meant if states.get(hotfix.name) == "absent"]
    if absent:
        return failed(f"the Windows on {system.root} lacks {', '.join(absent)}", *evidence)
    unclear = [hotfix.name for hotfix in meant if states.get(hotfix.name) != "installed"]
    if unclear:
        detail = f"a rollup is installed that may hold {', '.join(unclear)}"
        raise UnreadFact("unsupported", detail, evidence)
    names = ", ".join(hotfix.name for hotfix in meant)
    return passed(f"the Windows on {system.root} has {names}", *evidence)


RULE = Rule(
    name="hotfix-missing",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.version", "systems.universal_clock", "systems.updates"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
