"""A host firewall blocks Remote Desktop's port.

What it checks
--------------
What Windows Firewall does with a new connection to the port that Remote Desktop listens on, in the public profile: the
network of the target is one that Windows has not seen before. Asked are the profile's settings and its active rules,
those of group policies and device management included, by protocol, port, program, service and addresses; a rule that
blocks beats those that allow. Up to Server 2003 it is the list of open ports of the standard profile. Where only
certain addresses are let in or kept out, where a rule has other conditions, and where another firewall product starts,
the question stays open. A firewall whose service does not start does not count.

Why it matters
--------------
An imported Windows is reached by Remote Desktop; behind a firewall that blocks it nobody gets in. The importer changes
no firewall.

How to fix
----------
Allow Remote Desktop in all profiles before the export: `Enable-NetFirewallRule -DisplayGroup "Remote Desktop"`, up to
Windows 7 `netsh advfirewall firewall set rule group="remote desktop" profile=any new enable=yes`, on Server 2003
`netsh firewall set service remotedesktop enable`; change the group policy where one decides.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.firewall_decisions import judge_firewalls


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Judge the firewalls that start."""
    # without the port the firewalls are unread too
    port = f" at port {system.remote_desktop.get().port}" if system.remote_desktop.is_known else ""
    return judge_firewalls(system, blocked=f"Remote Desktop{port}", let_in=f"Remote Desktop{port}")


RULE = Rule(
    name="firewall-blocks-rdp",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.firewalls", "systems.remote_desktop"),
    remedy=how_to_fix(__doc__),
    check=check,
)
