"""What surrounds an installed Linux: the network it configures."""

from __future__ import annotations

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.network import read_dhcp_client, read_interface_names, read_network
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import at_path
from imgscan.model.system import System


def read_environment(system: System, tree: GuestTree, services: Services) -> System:
    """Return a system with what is known of its network."""
    root, folder = system.root, (system.directory or "").rstrip("/")
    return msgspec.structs.replace(
        system,
        network=attempt(lambda: read_network(tree), at_path(root, f"{folder}/etc")),
        dhcp_client=attempt(lambda: read_dhcp_client(tree, services), at_path(root, f"{folder}/sbin")),
        interface_names=attempt(lambda: read_interface_names(tree), at_path(root, f"{folder}/etc/udev")),
    )
