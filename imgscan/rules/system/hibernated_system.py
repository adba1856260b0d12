"""The installed Windows was hibernated, or shut down by fast startup, and not shut down fully.

What it checks
--------------
What `hiberfil.sys` on the drive of Windows begins with: the mark of a system that sleeps there, or that of one that
woke up. Fast startup (Windows 8 and later) leaves the same mark as hibernation.

Why it matters
--------------
The system that sleeps in the file remembers its filesystems as they were: what an importer changes meanwhile is lost or
damages them, and on other hardware it does not wake up.

How to fix
----------
Start the machine, shut it down fully (`shutdown /s /t 0`, which does not use fast startup; or switch hibernation off by
`powercfg /h off` first), and export it again.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask whether the system sleeps on disk."""
    evidence = system.hibernated.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if system.hibernated.get():
        return failed(f"the Windows on {system.root} was hibernated, or shut down by fast startup", *evidence)
    return passed(f"the Windows on {system.root} does not sleep on disk", *evidence)


RULE = Rule(
    name="hibernated-system",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.hibernated"),
    remedy=how_to_fix(__doc__),
    check=check,
)
