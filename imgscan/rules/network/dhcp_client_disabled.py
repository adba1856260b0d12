"""The system cannot get an address by DHCP.

What it checks
--------------
Whether a DHCP client is installed (`dhclient`, `dhcpcd`, `udhcpc`, or NetworkManager, systemd-networkd or wicked where
they start), and whether any interface is configured by DHCP, or has a fixed address that the importer replaces.
NetworkManager brings up interfaces that nothing configures by DHCP.

On Windows: whether the service DHCP Client (`Dhcp`) starts by itself. A new adapter uses DHCP without being told.

Why it matters
--------------
On the target the only interface gets its address by DHCP. Without a client, or without an interface that is brought
up, the machine has no network.

How to fix
----------
Install a DHCP client, and configure the first interface by DHCP. On Windows: `sc config Dhcp start= auto`.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.interfaces import READS, at, configured, leaves_the_machine, name_of
from imgscan.rules.mount_lines import listed


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask for the client, then for an interface that it serves."""
    client = system.dhcp_client.get()
    where = system.dhcp_client.evidence
    if system.family == "windows":
        if client is None:
            return failed("the service DHCP Client (Dhcp) does not start by itself", *(where or at(system)))
        return passed(f"{client} starts by itself", *(where or at(system)))
    found = configured(system)
    if client is None:
        return failed("no DHCP client is installed that starts", *(where or found.where))
    served = [each for each in found.interfaces if each.dhcp4]
    if served:
        evidence = tuple(piece for each in served for piece in each.evidence)
        names = listed([name_of(each) for each in served], ", ")
        return passed(f"{names} by DHCP, with {client}", *(evidence or found.where))
    fixed = [
        each
        for each in found.interfaces
        if any(not address.is_ipv6 and leaves_the_machine(address) for address in each.addresses)
    ]
    if fixed:
        evidence = tuple(piece for each in fixed for piece in each.evidence)
        names = listed([name_of(each) for each in fixed], ", ")
        return passed(
            f"{client} is there, and the importer replaces the fixed address of {names}", *(evidence or found.where)
        )
    found.complete()
    if "networkmanager" in client.lower().replace("-", ""):
        return passed(f"{client} brings up interfaces that nothing configures by DHCP", *(where or found.where))
    return failed("no interface is configured, by DHCP or otherwise", *found.where)


RULE = Rule(
    name="dhcp-client-disabled",
    title=title(__doc__),
    scope="system",
    reads=(*READS, "systems.family", "systems.dhcp_client"),
    remedy=how_to_fix(__doc__),
    check=check,
)
