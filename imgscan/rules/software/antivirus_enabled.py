"""Antivirus software starts with the system.

What it checks
--------------
Whether a service of a known antivirus or endpoint-protection product starts at boot, in the system's own way (systemd,
System V init, Upstart, OpenRC). Installed products that are disabled or masked do not count, nor do services that only
fetch signatures. A product that imgscan does not know is not seen.

Why it matters
--------------
Such software watches and blocks what changes drivers and boot files, which is what the importer does.

How to fix
----------
Disable the service before the export (`systemctl disable --now clamav-daemon`, or the vendor's own way where a product
protects itself), and enable it again after the migration.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.products import READS, no_product


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return no_product(system, "antivirus", "no known antivirus software starts")


RULE = Rule(
    name="antivirus-enabled",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
