"""The system is configured for several network interfaces.

What it checks
--------------
How many Ethernet and wireless interfaces the files of network configuration name, whether they come up at boot or not.
The ports of a bond or bridge count, the bond, bridge or VLAN itself does not; nor do aliases of an interface. How many
the machine really has, its disks do not tell.

On Windows: how many adapters of hardware it knows, enabled or not. Those that only software makes (teams, virtual
switches, VPN, Bluetooth) do not count, nor do those that were taken out of the machine. That is told from Windows 8 on;
before, an adapter stays known until it is uninstalled.

Why it matters
--------------
The imported machine has one interface. What the others were for does not work there, and a bond of missing ports may
keep the only one from working.

How to fix
----------
Leave one interface with DHCP before the export, or plan to add interfaces on the target and to configure them anew.
"""

from __future__ import annotations

from imgscan.model.evidence import Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.interfaces import READS, configured
from imgscan.rules.mount_lines import listed


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Count the names of real interfaces."""
    found = configured(system)
    layered = {each.name for each in found.interfaces if each.kind in {"bond", "bridge", "vlan", "other"}}
    real: dict[str, tuple[Evidence, ...]] = {}
    for interface in found.interfaces:
        name = interface.name or interface.mac
        if interface.kind in {"ethernet", "wireless"} and name is not None and name not in layered:
            real.setdefault(name, interface.evidence)
        for port in interface.on if interface.kind in {"bond", "bridge"} else ():
            if port not in layered:
                real.setdefault(port, interface.evidence)
    if len(real) > 1:
        evidence = tuple(piece for pieces in real.values() for piece in pieces)
        return failed(f"{len(real)} interfaces are configured: {listed(list(real), ', ')}", *(evidence or found.where))
    found.complete()
    said = f"one interface is configured: {', '.join(real)}" if real else "no interface is configured by its name"
    return passed(said, *found.where)


RULE = Rule(
    name="multiple-network-interfaces",
    title=title(__doc__),
    scope="system",
    reads=READS,
    remedy=how_to_fix(__doc__),
    check=check,
)
