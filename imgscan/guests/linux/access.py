"""How an installed Linux can be reached: its SSH server, and the firewalls in front of it."""

from __future__ import annotations

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.firewalls import read_firewalls
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import read_ssh_server
from imgscan.model.evidence import at_path
from imgscan.model.system import System


def read_access(system: System, tree: GuestTree, services: Services) -> System:
    """Return a system with what is known of its SSH server and firewalls."""
    ssh = read_ssh_server(tree, services)
    where = at_path(system.root, f"{(system.directory or '').rstrip('/')}/etc")
    return msgspec.structs.replace(
        system,
        ssh_server=ssh.program,
        ssh_start=ssh.start,
        ssh_settings=ssh.settings,
        firewalls=attempt(lambda: read_firewalls(tree, services, ssh), where),
    )
