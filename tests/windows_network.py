"""Network adapters of phony Windows installations: the keys as Windows 7 and 10 write them, in their own words."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

CLASS = "Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
CONNECTIONS = "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
INTERFACES = "Services\\Tcpip\\Parameters\\Interfaces"
IPV6_ADDRESSES = "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\10"
ETHERNET, WIRELESS, TUNNEL = 6, 71, 131
PHYSICAL, HIDDEN = 0x84, 0x29


@dataclass(frozen=True)
class Adapter:
    """An adapter with its number among the class's; `fixed` is an IPv4 address, None for DHCP."""

    number: int
    name: str
    component: str = "PCI\\VEN_15AD&DEV_07B0"
    characteristics: int = PHYSICAL
    type: int = ETHERNET
    fixed: str | None = None

    @property
    def guid(self) -> str:
        return f"{{B0070000-0000-4000-8000-0000000000{self.number:02X}}}"

    @property
    def instance(self) -> str:
        return f"{self.component}&SUBSYS_07B015AD&REV_01\\{self.number}"

    @property
    def luid(self) -> str:
        """The NET_LUID as values of IPv6's addresses begin."""
        return (bytes(3) + struct.pack("<I", 0x8000 + self.number)[:3] + struct.pack("<H", self.type)).hex()

    def keys(self) -> dict[str, dict[str, Any]]:
        address = {"IPAddress": [self.fixed], "SubnetMask": ["255.255.255.0"], "NameServer": "192.168.10.2"}
        return {
            f"{CLASS}\\{self.number:04}": {
                "NetCfgInstanceId": self.guid,
                "ComponentId": self.component,
                "Characteristics": self.characteristics,
                "DriverDesc": "A network adapter",
                "NetLuidIndex": 0x8000 + self.number,
                "*IfType": self.type,
                "DeviceInstanceID": self.instance,
            },
            f"{CONNECTIONS}\\{self.guid}\\Connection": {"Name": self.name, "PnPInstanceId": self.instance},
            f"Enum\\{self.instance}": {"ConfigFlags": 0},
            f"{INTERFACES}\\{self.guid}": {
                "EnableDHCP": int(self.fixed is None),
                **(address if self.fixed is not None else {"DhcpIPAddress": "192.168.10.77"}),
            },
        }


FIRST = Adapter(1, "Ethernet0")
SECOND = Adapter(2, "Ethernet1")
MINIPORT = Adapter(3, "Local Area Connection* 1", "ms_sstpminiport", HIDDEN, TUNNEL)


def network_keys(control_set: str) -> dict[str, dict[str, Any]]:
    """Return the keys of a Windows with one adapter and DHCP, as below a control set."""
    keys: dict[str, dict[str, Any]] = {
        f"{control_set}\\Services\\Dhcp": {"Start": 2},
        f"{control_set}\\Services\\Tcpip6": {"Start": 1},
        f"{control_set}\\Services\\Tcpip\\Parameters\\PersistentRoutes": {},
    }
    for adapter in (FIRST, MINIPORT):
        keys |= {f"{control_set}\\{key}": values for key, values in adapter.keys().items()}
    return keys
