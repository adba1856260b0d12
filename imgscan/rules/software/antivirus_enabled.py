"""Antivirus software starts with the installed system.

What it checks
--------------
Whether a known product of this kind starts with the installed Windows, by the start type of its services and drivers.
Products that imgscan does not know are not found; Windows Defender is one that it knows.

Why it matters
--------------
Antivirus software keeps the importer from changing files and services, and may take what it installs for an attack.

How to fix
----------
Disable its services before the export (`Set-Service -StartupType Disabled`, or the product's own switch; Windows
Defender: `Uninstall-WindowsFeature Windows-Defender`, or its group policy), and enable them again after the migration.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.started_software import judge_started


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return judge_started(system, "antivirus")


RULE = Rule(
    name="antivirus-enabled",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.started_software"),
    remedy=how_to_fix(__doc__),
    check=check,
)
