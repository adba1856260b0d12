"""Windows takes no Remote Desktop connections.

What it checks
--------------
The switch of Windows (`fDenyTSConnections`), which a group policy overrides, whether the service `TermService` starts,
and whether there is a listener that is enabled. Home editions are no host of Remote Desktop whatever their registry
says. Who may log in is not judged.

Why it matters
--------------
An imported Windows is reached by Remote Desktop; without it nobody gets in.

How to fix
----------
Turn on Remote Desktop before the export (System Properties, Remote), or set `fDenyTSConnections` to 0 below
`HKLM/SYSTEM/CurrentControlSet/Control/Terminal Server`; set the service to start, and change the group policy where one
denies connections.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask whether connections are taken."""
    found = system.remote_desktop.get()
    evidence = system.remote_desktop.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if not found.starts:
        return failed(f"Remote Desktop of the Windows on {system.root} is off: {found.detail}", *evidence)
    return passed(f"Remote Desktop listens on port {found.port}: {found.detail}", *evidence)


RULE = Rule(
    name="rdp-disabled",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.remote_desktop"),
    remedy=how_to_fix(__doc__),
    check=check,
)
