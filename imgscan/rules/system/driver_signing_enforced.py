"""An old Windows asks before it installs drivers that are not signed, or refuses them.

What it checks
--------------
What a Windows up to Server 2003 does with unsigned drivers: the setting below `Microsoft/Driver Signing`, and that of a
group policy, of which the stricter one holds. Later versions have no such setting.

Why it matters
--------------
The importer installs drivers; a question that nobody answers, or a refusal, ends that.

How to fix
----------
Set System Properties, Hardware, Driver Signing to Ignore before the export, and change the group policy where one says
more.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask what Windows does with unsigned drivers."""
    setting = system.driver_signing.get()
    evidence = system.driver_signing.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if setting is None:
        return not_applicable(f"the Windows on {system.root} has no such setting", *evidence)
    said = f"the setting for unsigned drivers on {system.root} is {setting}"
    return passed(said, *evidence) if setting == "ignore" else failed(said, *evidence)


RULE = Rule(
    name="driver-signing-enforced",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.driver_signing"),
    remedy=how_to_fix(__doc__),
    check=check,
)
