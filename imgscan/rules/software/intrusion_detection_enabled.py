"""Intrusion detection software starts with the installed system.

What it checks
--------------
Whether a known product of this kind starts with the installed Windows, by the start type of its services and drivers.
Products that imgscan does not know are not found.

Why it matters
--------------
The changes that an import makes to files, services and the registry are what such software looks for and prevents.

How to fix
----------
Disable its services before the export, and enable them again after the migration.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.started_software import judge_started


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return judge_started(system, "intrusion-detection")


RULE = Rule(
    name="intrusion-detection-enabled",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.started_software"),
    remedy=how_to_fix(__doc__),
    check=check,
)
