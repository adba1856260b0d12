"""Antivirus software starts with the installed system.

What it checks
--------------
Whether a known antivirus or endpoint-protection product starts at boot. Linux: by its services, in the system's own
way (systemd, System V init, Upstart, OpenRC). Windows: by the start type of its services and drivers; Windows Defender
is one of them. Products that are installed but disabled or masked do not count, nor do services that only fetch
signatures. A product that imgscan does not know is not seen.

Why it matters
--------------
Such software watches and blocks what changes drivers, services and boot files, which is what the importer does, and may
take what it installs for an attack.

How to fix
----------
Disable its services before the export, and enable them again after the migration. Linux: `systemctl disable --now
clamav-daemon`, or the vendor's own way where a product protects itself. Windows: `Set-Service -StartupType Disabled`,
or the product's own switch; Windows Defender: `Uninstall-WindowsFeature Windows-Defender`, or its group policy.
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
