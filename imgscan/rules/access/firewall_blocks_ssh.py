"""A host firewall blocks the SSH server's port.

What it checks
--------------
What every firewall that starts with the system does with a new connection to the SSH server's port: firewalld's
zones, the rules of nftables and iptables in their order, ufw, SuSEfirewall2, and TCP wrappers where the server uses
them. The connection comes from an address that no rule names. Where only certain addresses are let in, where a rule
asks for what the disks do not tell, where another product makes the rules, and where a service, start script, network
hook or cron job of one's own runs a firewall command, the question stays open. A firewall whose service is not enabled
does not count.

Why it matters
--------------
An imported Linux is reached by SSH; behind a firewall that blocks it nobody gets in. The importer changes no firewall.

How to fix
----------
Open the port before the export: `firewall-cmd --permanent --add-service=ssh`, `ufw allow ssh`, or a rule that accepts
TCP port 22 before the first one that drops it. Do not bind it to an interface's name or to the old network's addresses.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.firewall_decisions import judge_firewalls


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Judge the firewalls that start."""
    return judge_firewalls(system, blocked="the SSH server", let_in="SSH")


RULE = Rule(
    name="firewall-blocks-ssh",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.firewalls"),
    remedy=how_to_fix(__doc__),
    check=check,
)
