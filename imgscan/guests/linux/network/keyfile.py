"""NetworkManager's keyfiles. Source: nm-settings-keyfile(5), nm-settings(5)."""

from __future__ import annotations

from typing import Final

from imgscan.errors import CorruptStructure
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.ini_file import Entry, entries
from imgscan.model.network import Interface, InterfaceKind, StaticAddress
from imgscan.model.text import shown

_KINDS: Final[dict[str, InterfaceKind]] = {
    "ethernet": "ethernet", "802-3-ethernet": "ethernet", "wifi": "wireless", "802-11-wireless": "wireless",
    "bond": "bond", "team": "bond", "bridge": "bridge", "ovs-bridge": "bridge", "vlan": "vlan", "loopback": "loopback",
}  # fmt: skip

_WITHOUT_ADDRESSES: Final = frozenset({"disabled", "ignore", "link-local"})
"""Methods with which no address counts; with `auto` those of the file are added to what is asked for."""


def read_keyfile(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interface of a connection.

    :raises CorruptStructure: it is no connection
    """
    lines = entries(file)
    said = {(each.section, each.key): each for each in lines}

    def value(section: str, key: str) -> str:
        found = said.get((section, key))
        return found.value if found is not None else ""

    kind = value("connection", "type")
    if not kind:
        raise CorruptStructure("it has no type of connection", where=shown(file.path))
    methods = {family: value(family, "method") for family in ("ipv4", "ipv6")}
    addresses = [
        StaticAddress(shown(_address(each)), shown(f"{each.key}={each.value}"), file.at(each.line))
        for each in lines
        if each.section in methods and methods[each.section] not in _WITHOUT_ADDRESSES and _is_address(each.key)
    ]
    mac = value("ethernet", "mac-address") or value("802-3-ethernet", "mac-address")
    method = said.get(("ipv4", "method")) or said.get(("connection", "type"))
    on = value("vlan", "parent")
    name = value("connection", "interface-name")
    return (
        Interface(
            name=shown(name) or None,
            kind=_KINDS.get(kind, "other"),
            at_boot=value("connection", "autoconnect").lower() not in {"false", "no", "0"},
            dhcp4=methods["ipv4"] == "auto",
            dhcp6=methods["ipv6"] == "dhcp",
            addresses=tuple(addresses),
            mac=shown(mac) or None,
            on=(shown(on),) if on else (),
            evidence=(file.at(method.line if method is not None else 0),),
        ),
    )


def _is_address(key: str) -> bool:
    number = key.removeprefix("addresses").removeprefix("address")
    return key.startswith("address") and (not number or number.isdigit())


def _address(entry: Entry) -> str:
    """Return the address of `10.0.0.2/24,10.0.0.1`, or of the older `10.0.0.2;24;10.0.0.1;`."""
    if ";" in entry.value:
        address, _, rest = entry.value.partition(";")
        prefix = rest.partition(";")[0]
        return f"{address}/{prefix}" if prefix.isdigit() else address
    return entry.value.partition(",")[0].strip()
