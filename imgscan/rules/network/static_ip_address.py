"""An interface has a fixed IPv4 address.

What it checks
--------------
Whether a file of network configuration gives an interface an IPv4 address: `/etc/network/interfaces` and what it
sources, ifcfg files of Red Hat and SUSE, netplan, NetworkManager's keyfiles, systemd-networkd, wicked, and
`/etc/dhcpcd.conf`; or `ip=` on the command line of the default boot entry does. Loopback addresses do not count. A file
that cannot be followed leaves the question open.

On Windows: whether an adapter is set to an IPv4 address in place of DHCP. Miniports and tunnels do not count, nor do
settings of adapters that are no longer in the machine, as far as Windows noted that.

Why it matters
--------------
On the target the machine gets its address by DHCP. The importer replaces fixed addresses in network scripts; where it
does not, the machine keeps an address that its new network does not have, and cannot be reached. Windows meets a new
adapter on the target, which starts with DHCP: the address stays behind with the old one, and so do its DNS servers.

How to fix
----------
Set the interface to DHCP before the export, or note what else has to know the new address (names, firewalls, licences,
configuration that binds services to the old one).
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules import command_line
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.interfaces import READS, configured, leaves_the_machine, name_of
from imgscan.rules.mount_lines import listed


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for an address; one that was found stands, whatever was not read."""
    found = configured(system)
    fixed = [
        (interface, address)
        for interface in found.interfaces
        for address in interface.addresses
        if not address.is_ipv6 and leaves_the_machine(address)
    ]
    if fixed:
        said = listed([f"{name_of(interface)} has the address {address.address}" for interface, address in fixed])
        return failed(said, *(address.evidence for _, address in fixed))
    if system.family == "linux":
        line = command_line.command_line(system)
        word = command_line.fixed_address(line, ipv6=False)
        if word is not None:
            return failed(f"the kernel's command line gives an address: {word}", *(line.where or found.where))
    found.complete()
    return passed("no interface has a fixed IPv4 address", *found.where)


RULE = Rule(
    name="static-ip-address",
    title=title(__doc__),
    scope="system",
    reads=(*READS, *command_line.READS, "systems.family"),
    remedy=how_to_fix(__doc__),
    check=check,
)
