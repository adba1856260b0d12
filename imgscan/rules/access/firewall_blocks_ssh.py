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

from imgscan.errors import UnreadFact
from imgscan.model.access import Firewall
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Let a firewall that blocks stand, else one that was not followed, else all allow it."""
    firewalls = system.firewalls.get()
    where = system.firewalls.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    unread: UnreadFact | None = None
    allowing: list[Firewall] = []
    for firewall in firewalls:
        try:
            decision = firewall.decision.get()
        except UnreadFact as signal:
            detail = f"{firewall.name}: {signal.detail}"
            unread = unread or UnreadFact(signal.why, detail, signal.evidence)
            continue
        if decision == "block":
            detail = f" ({firewall.detail})" if firewall.detail else ""
            return failed(
                f"{firewall.name}{detail} blocks new connections to the SSH server",
                *(firewall.decision.evidence or where),
            )
        allowing.append(firewall)
    if unread is not None:
        raise unread
    if not allowing:
        return passed("no host firewall starts with the system", *where)
    evidence = tuple(dict.fromkeys(piece for each in allowing for piece in each.decision.evidence))
    return passed(f"{', '.join(each.name for each in allowing)} lets SSH in", *(evidence or where))


RULE = Rule(
    name="firewall-blocks-ssh",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.firewalls"),
    remedy=how_to_fix(__doc__),
    check=check,
)
