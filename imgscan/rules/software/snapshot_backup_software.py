"""Backup software that makes snapshots starts with the installed system.

What it checks
--------------
Whether a known product of this kind starts with the installed Windows, by the start type of its services and drivers.
Products that imgscan does not know are not found.

Why it matters
--------------
The target can migrate such a machine once, and not again and again while it goes on running: the snapshots of both get
in each other's way.

How to fix
----------
Disable the backup's services for the time of the migration, or migrate the machine once, while it is switched off.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.started_software import judge_started


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return judge_started(system, "snapshot-backup")


RULE = Rule(
    name="snapshot-backup-software",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.started_software"),
    remedy=how_to_fix(__doc__),
    check=check,
)
