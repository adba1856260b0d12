"""What surrounds an installed Linux: the network it configures, software that starts, traces of other machines."""

from __future__ import annotations

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.hardware_traces import read_hardware_traces
from imgscan.guests.linux.hibernation import read_hibernated_files
from imgscan.guests.linux.network import read_dhcp_client, read_interface_names, read_network
from imgscan.guests.linux.products import read_products
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import at_path
from imgscan.model.system import System


def read_environment(system: System, tree: GuestTree, services: Services) -> System:
    """Return a system with what is known of its network and of such software."""
    root, folder = system.root, (system.directory or "").rstrip("/")
    names = attempt(lambda: read_interface_names(tree), at_path(root, f"{folder}/etc/udev"))
    return msgspec.structs.replace(
        system,
        network=attempt(lambda: read_network(tree), at_path(root, f"{folder}/etc")),
        dhcp_client=attempt(lambda: read_dhcp_client(tree, services), at_path(root, f"{folder}/sbin")),
        interface_names=names,
        products=attempt(lambda: read_products(tree, services), at_path(root, f"{folder}/etc")),
        hibernated_files=attempt(lambda: read_hibernated_files(tree, system.mounts), at_path(root, f"{folder}/")),
        hardware_traces=attempt(
            lambda: read_hardware_traces(tree, system.mounts, names), at_path(root, f"{folder}/etc/modprobe.d")
        ),
    )
