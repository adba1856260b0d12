"""The network as it is configured, by one reader for each configuration system."""

from imgscan.guests.linux.network.dhcp_client import read_dhcp_client
from imgscan.guests.linux.network.files import read_network
from imgscan.guests.linux.network.names import read_interface_names

__all__ = ["read_dhcp_client", "read_interface_names", "read_network"]
