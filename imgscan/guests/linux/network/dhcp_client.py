"""Which program can ask for an address by DHCP."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.guests.linux.config_file import names_in
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known

PROGRAMS: Final = ("dhclient", "dhcpcd", "udhcpc", "pump", "dhcpcd5", "dhclient3")
_FOLDERS: Final = ("/sbin", "/usr/sbin", "/bin", "/usr/bin")
MANAGERS: Final = ("NetworkManager", "network-manager")
"""It comes first: it brings up what nothing configures, whatever other programs are installed."""
SERVICES: Final = ("systemd-networkd", "wickedd", "wicked", "connman")
"""Services that ask by themselves; they count where they start."""
_NETWORKD: Final = "systemd-networkd.service"
_NETPLAN: Final = ("/lib/systemd/system-generators/netplan", "/usr/lib/systemd/system-generators/netplan")
"""It starts systemd-networkd at each boot where netplan has configuration, whether that is enabled or not."""


def read_dhcp_client(tree: GuestTree, services: Services) -> Fact[str | None]:
    """Return the program's path, or the service's name; None when there is neither.

    :raises ImageError: a folder cannot be read, or what starts cannot be told
    """
    with suppress(ImageError):  # a program that is there answers too; without one, the question below fails again
        manager = services.start(*MANAGERS)
        if manager.starts:
            return known(manager.unit, *manager.evidence)
    for program in PROGRAMS:
        for folder in _FOLDERS:
            place = tree.find(f"{folder}/{program}")
            if place is not None and place.entry.kind == "file":
                return known(f"{folder}/{program}", place.evidence())
    start = services.start(*SERVICES)
    if start.starts:
        return known(start.unit, *start.evidence)
    generator = next((place for path in _NETPLAN if (place := tree.find(path)) is not None), None)
    configured = [name for name in names_in(tree, "/etc/netplan") if name.endswith(".yaml")]
    if generator is not None and configured and services.systemd is not None:
        unit = services.systemd.unit(_NETWORKD)
        if unit is not None and unit.file is not None:  # not masked
            return known(_NETWORKD, generator.evidence(), at_path(tree.mounts["/"].volume, "/etc/netplan"))
    return known(None, at_path(tree.mounts["/"].volume, "/sbin"))
