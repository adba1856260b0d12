"""Files of systemd-networkd. Source: systemd.network(5), systemd.netdev(5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.ini_file import Entry, entries
from imgscan.guests.linux.network.interface_names import kind_of_name
from imgscan.model.network import Interface, InterfaceKind, StaticAddress
from imgscan.model.text import shown

_KINDS: Final[dict[str, InterfaceKind]] = {"bond": "bond", "team": "bond", "bridge": "bridge", "vlan": "vlan"}
_YES: Final = frozenset({"yes", "true", "on", "1", "y", "t"})
NAMES: Final = 64
"""Interfaces that one file names."""


def read_networkd(file: ConfigFile, drop_ins: Sequence[ConfigFile] = ()) -> tuple[Interface, ...]:
    """Return the interfaces of a .network file, or the one that a .netdev file makes; `drop_ins` add to it."""
    if not file.text.strip():
        return ()  # an empty file switches off the one of its name in a later folder
    lines = [line for each in (file, *drop_ins) for line in entries(each)]
    if file.path.endswith(".netdev"):
        name, kind = _last(lines, "NetDev", "Name"), _last(lines, "NetDev", "Kind").lower()
        where = (next((each.where for each in lines if each.key == "Name"), file.at()),)
        return (Interface(name=shown(name) or None, kind=_KINDS.get(kind, "other"), at_boot=False, evidence=where),)
    if _last(lines, "Link", "Unmanaged").lower() in _YES:
        return ()
    names = _last(lines, "Match", "Name").split()[:NAMES] or [""]
    mac = _last(lines, "Match", "MACAddress") or _last(lines, "Match", "PermanentMACAddress")
    dhcp = _last(lines, "Network", "DHCP").lower()
    addresses = tuple(
        StaticAddress(shown(each.value), shown(f"{each.key}={each.value}"), each.where)
        for each in lines
        if each.section in {"Network", "Address"} and each.key == "Address" and each.value
    )
    where = (next((each.where for each in lines if each.section == "Network"), file.at()),)
    is_other = _last(lines, "Match", "Type").lower() in {"loopback", "wireguard", "none"}
    return tuple(
        Interface(
            name=shown(name) or None,
            kind="other" if is_other else kind_of_name(name),
            at_boot=_last(lines, "Link", "ActivationPolicy").lower() not in {"manual", "down", "always-down"},
            dhcp4=dhcp in {"ipv4", "both", "v4"} or dhcp in _YES,
            dhcp6=dhcp in {"ipv6", "both", "v6"} or dhcp in _YES,
            addresses=addresses,
            mac=shown(mac) or None,
            evidence=where,
        )
        for name in names
        if not name.startswith("!")
    )


def _last(lines: list[Entry], section: str, key: str) -> str:
    return next((each.value for each in reversed(lines) if each.section == section and each.key == key), "")
