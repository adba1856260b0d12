"""How an installed system configures its network."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import AtPath, AtRegistry, Evidence
from imgscan.model.fact import Fact

NetworkSystem = Literal["ifupdown", "ifcfg", "netplan", "networkmanager", "networkd", "wicked", "dhcpcd", "registry"]
InterfaceKind = Literal["ethernet", "wireless", "loopback", "bond", "bridge", "vlan", "other", "stale"]
"""`stale`: settings of an adapter that is no longer there (Windows); `other` of one that only software makes."""


class StaticAddress(msgspec.Struct, frozen=True):
    """`address` as configured, with the length of its prefix where the line has it; `text` is the line."""

    address: str
    text: str
    evidence: AtPath | AtRegistry

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return ":" in self.address


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says of one interface.

    `name` is None where the file means any interface of that kind, or one by its `mac`; it may be a pattern (`en*`).
    `at_boot` is whether it comes up by itself; `dhcp4` and `dhcp6` whether it asks for addresses (router
    advertisements, which are a default, do not count). `mac` is the address that the configuration is bound to; `on`
    are the ports of a bond or bridge, or what a VLAN lies on. `lease` is the address that DHCP last gave (Windows).
    """

    name: str | None
    kind: InterfaceKind = "ethernet"
    at_boot: bool = True
    dhcp4: bool = False
    dhcp6: bool = False
    addresses: tuple[StaticAddress, ...] = ()
    mac: str | None = None
    on: tuple[str, ...] = ()
    lease: str | None = None
    evidence: tuple[AtPath | AtRegistry, ...] = ()


class NetworkFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of network configuration, of the system that reads it; on Windows the registry's key of one adapter."""

    by: NetworkSystem
    evidence: AtPath | AtRegistry
    interfaces: Fact[tuple[Interface, ...]]


class InterfaceName(msgspec.Struct, frozen=True):
    """A name that is given to the interface with a MAC address (udev's persistent names, .link files).

    `driver` is the kernel module that the comment of such a rule names.
    """

    name: str
    mac: str
    driver: str | None
    evidence: AtPath


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was added for good (Windows)."""

    destination: str
    mask: str
    gateway: str
    evidence: AtRegistry


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy for the whole machine: of services (`winhttp`), or of programs; `server` may be a script's address."""

    by: Literal["winhttp", "internet-settings"]
    server: str
    evidence: tuple[Evidence, ...] = ()
