"""Backup software that makes snapshots starts with the installed system.

What it checks
--------------
Whether a known backup product that works with snapshots of disks or volumes starts at boot, by its services (of
Windows, by their start type). Products that work from outside, through the hypervisor, leave nothing on the disks and
are not seen, nor is a product that imgscan does not know.

Why it matters
--------------
Only a one-time migration is supported for machines on which such software is used: its snapshots disturb those that
replication in intervals rests on.

How to fix
----------
Migrate the machine once, not in intervals; or disable the agent, and see that the hypervisor's backup leaves the
machine out, until the migration is done.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.products import READS, no_product


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for such a product among those that start."""
    return no_product(system, "snapshot-backup", "no known software for backups by snapshots starts")


RULE = Rule(
    name="snapshot-backup-software",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
