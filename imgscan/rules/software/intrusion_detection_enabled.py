"""Intrusion detection software starts with the installed system.

What it checks
--------------
Whether a known intrusion-detection product starts at boot. Linux: by a service or timer, or a job that cron runs every
day (AIDE, Tripwire, rkhunter); fail2ban, which answers to failed logins, and the kernel's audit daemon are none.
Windows: by the start type of its services and drivers. A product that imgscan does not know is not seen.

Why it matters
--------------
The importer changes boot files, services, configuration and the registry. Intrusion detection takes that for an attack,
and may undo or block it.

How to fix
----------
Disable the service or job before the export, and enable it again after the migration, with a new baseline.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.products import READS, no_product


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return no_product(system, "intrusion-detection", "no known intrusion detection starts")


RULE = Rule(
    name="intrusion-detection-enabled",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
