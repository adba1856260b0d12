"""Whether the machine was converted from a physical one is to be confirmed by its owner.

What it checks
--------------
Nothing: how a machine came to be does not stand on its disks. Traces that are there are another rule's
(`converted-from-physical`).

Why it matters
--------------
Machines that are the result of a conversion from physical to virtual are not supported.

How to fix
----------
Ask who built the machine whether its system was installed there or copied from a physical machine.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, manual
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, _params: NoParams) -> Result:
    """Ask for a confirmation."""
    return manual("confirm that the system was installed on a virtual machine, and not copied from a physical one")


RULE = Rule(
    name="physical-origin-to-confirm",
    title=title(__doc__),
    scope="machine",
    reads=(),
    remedy=how_to_fix(__doc__),
    check=check,
)
