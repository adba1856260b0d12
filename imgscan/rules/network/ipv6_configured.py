"""An interface is configured for IPv6.

What it checks
--------------
Whether a file of network configuration or `ip=` on the kernel's command line gives an interface an IPv6 address, or
asks for one by DHCPv6. Addresses that come by themselves do not count: link-local ones, and those of router
advertisements, which every Linux accepts unless it is told not to.

On Windows: whether an adapter has a fixed IPv6 address, and IPv6 is not switched off for all (`DisabledComponents`).

Why it matters
--------------
The target gives the machine no IPv6 address. What is reached by IPv6 only, or waits for such an address, fails there.

How to fix
----------
Remove the addresses (and `inet6 dhcp`, `DHCPV6C=yes`, `dhcp6: true`) from the configuration, and let services listen
on IPv4. On Windows: `Remove-NetIPAddress -AddressFamily IPv6`.
"""

from __future__ import annotations

from imgscan.model.evidence import Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules import command_line
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.interfaces import READS, at, configured, leaves_the_machine, name_of
from imgscan.rules.mount_lines import listed


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for an address or DHCPv6; what was found stands, whatever was not read."""
    if system.family == "windows" and system.ipv6_disabled.get():
        return passed("IPv6 is off on all adapters", *(system.ipv6_disabled.evidence or at(system)))
    found = configured(system)
    said: list[str] = []
    evidence: list[Evidence] = []
    for interface in found.interfaces:
        for address in interface.addresses:
            if address.is_ipv6 and leaves_the_machine(address):
                said.append(f"{name_of(interface)} has the address {address.address}")
                evidence.append(address.evidence)
        if interface.dhcp6:
            said.append(f"{name_of(interface)} asks for an address by DHCPv6")
            evidence += interface.evidence
    if said:
        return failed(listed(said), *(evidence or found.where))
    if system.family == "linux":
        line = command_line.command_line(system)
        word = command_line.fixed_address(line, ipv6=True)
        if word is not None:
            return failed(f"the kernel's command line gives an address: {word}", *(line.where or found.where))
    found.complete()
    return passed("no interface is configured for IPv6", *found.where)


RULE = Rule(
    name="ipv6-configured",
    title=title(__doc__),
    scope="system",
    reads=(*READS, "systems.family", "systems.ipv6_disabled", *command_line.READS),
    remedy=how_to_fix(__doc__),
    check=check,
)
