"""ifcfg files, which Red Hat's and SUSE's distributions write each in their own way.

Sources: sysconfig.txt of Red Hat's initscripts ("ifcfg-<interface-name>"), nm-settings-ifcfg-rh(5); ifcfg(5) of SUSE's
sysconfig and wicked.
"""

from __future__ import annotations

from typing import Final

from imgscan.errors import UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.interface_names import kind_of_name
from imgscan.guests.linux.shell_file import Assignment, assignments
from imgscan.model.network import Interface, InterfaceKind, StaticAddress
from imgscan.model.text import shown

_RED_HAT_KINDS: Final[dict[str, InterfaceKind]] = {
    "ethernet": "ethernet", "bond": "bond", "team": "bond", "bridge": "bridge", "ovsbridge": "bridge", "vlan": "vlan",
    "wireless": "wireless", "infiniband": "other", "ipip": "other", "gre": "other", "sit": "other", "tun": "other",
}  # fmt: skip
_YES: Final = frozenset({"yes", "true", "on", "1", "y", "t"})


def read_red_hat(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interface of an /etc/sysconfig/network-scripts/ifcfg-NAME; aliases and ranges count with their own.

    :raises UnsupportedFormat: a value that matters is made by the shell
    """
    said = _said(file)
    name = file.path.rpartition("/ifcfg-")[2]
    if _value(said, "DEVICE") or not (_value(said, "NAME") or _value(said, "HWADDR")):
        device: str | None = (_value(said, "DEVICE") or name).partition(":")[0].partition("-range")[0]
    else:
        device = None  # a profile of NetworkManager for any interface, or the one with that address
    protocol = _value(said, "BOOTPROTO").lower()
    prefixes = {key: _value(said, key.replace("IPADDR", "PREFIX", 1)) for key in said if _is_address(key)}
    addresses = [
        _address(file, key, said[key], prefixes[key])
        for key in said
        if _is_address(key) and said[key].value and protocol not in {"dhcp", "bootp"}
    ]
    for key in ("IPV6ADDR", "IPV6ADDR_SECONDARIES"):
        if key in said:
            addresses += [_address(file, key, said[key], "", each) for each in said[key].value.split()]
    ports = _value(said, "PHYSDEV")
    return (
        Interface(
            name=None if device is None else shown(device),
            kind=_red_hat_kind(said, device or ""),
            at_boot=_value(said, "ONBOOT").lower() not in {"no", "false", "off", "0"},
            dhcp4=protocol in {"dhcp", "bootp"},
            dhcp6=_value(said, "DHCPV6C").lower() in _YES,
            addresses=tuple(addresses),
            mac=shown(_value(said, "HWADDR")) or None,
            on=(shown(ports),) if ports else (),
            evidence=(file.at(said["BOOTPROTO"].line if "BOOTPROTO" in said else 0),),
        ),
    )


def _is_address(key: str) -> bool:
    number = key.removeprefix("IPADDR")
    return key == "IPADDR_START" or (number != key and (not number or number.isdigit()))


def _red_hat_kind(said: dict[str, Assignment], device: str) -> InterfaceKind:
    if _value(said, "VLAN").lower() in _YES:
        return "vlan"
    if "BONDING_OPTS" in said or "BONDING_MASTER" in said:
        return "bond"
    kind = _RED_HAT_KINDS.get(_value(said, "TYPE").lower()) or _RED_HAT_KINDS.get(_value(said, "DEVICETYPE").lower())
    by_name = kind_of_name(device)
    return by_name if kind in {None, "ethernet"} and by_name != "ethernet" else kind or by_name


def read_suse(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interface of an /etc/sysconfig/network/ifcfg-NAME (NAME may be `eth-id-` with a MAC address).

    :raises UnsupportedFormat: a value that matters is made by the shell
    """
    said = _said(file)
    name = file.path.rpartition("/ifcfg-")[2]
    mac = name.rpartition("-id-")[2] if "-id-" in name else ""
    protocol = _value(said, "BOOTPROTO").lower() or "static"
    is_dynamic = "dhcp" in protocol or protocol.startswith("auto")
    addresses = [
        _address(file, key, said[key], _value(said, key.replace("IPADDR", "PREFIXLEN", 1)))
        for key in said
        if (key == "IPADDR" or key.startswith("IPADDR_"))
        and said[key].value
        and (not is_dynamic or key != "IPADDR" or protocol.endswith("+static"))
    ]
    ports = [said[key].value for key in said if key.startswith(("BONDING_SLAVE", "BRIDGE_PORTS", "ETHERDEVICE"))]
    return (
        Interface(
            name=None if mac else shown(name),
            kind=_suse_kind(said, name),
            at_boot=_value(said, "STARTMODE").lower() not in {"off", "manual"},
            dhcp4=protocol.removesuffix("+static") in {"dhcp", "dhcp4", "dhcp+autoip"},
            dhcp6=protocol.startswith("dhcp6"),
            addresses=tuple(addresses),
            mac=shown(mac or _value(said, "_nm_hwaddr")) or None,
            on=tuple(shown(port) for each in ports for port in each.split()),
            evidence=(file.at(said["BOOTPROTO"].line if "BOOTPROTO" in said else 0),),
        ),
    )


def _suse_kind(said: dict[str, Assignment], name: str) -> InterfaceKind:
    if _value(said, "BONDING_MASTER").lower() in _YES:
        return "bond"
    if _value(said, "BRIDGE").lower() in _YES:
        return "bridge"
    if "ETHERDEVICE" in said or "VLAN_ID" in said:
        return "vlan"
    if "WIRELESS_MODE" in said or "WIRELESS_ESSID" in said:
        return "wireless"
    return kind_of_name(name) if "-id-" not in name else "ethernet"


def _said(file: ConfigFile) -> dict[str, Assignment]:
    made = assignments(file.text)
    said = {name: found for name in made.names() if (found := made.get(name)) is not None}
    for key, (value, line) in said.items():
        if ("$" in value or "`" in value) and key.startswith(("BOOTPROTO", "IPADDR", "IPV6ADDR", "DEVICE")):
            raise UnsupportedFormat(f"line {line}: the shell makes the value of {key}", where=shown(file.path))
    return said


def _value(said: dict[str, Assignment], key: str) -> str:
    found = said.get(key)
    return found.value.strip() if found is not None else ""


def _address(file: ConfigFile, key: str, said: Assignment, prefix: str, value: str = "") -> StaticAddress:
    value = (value or said.value).strip()
    suffix = f"/{prefix}" if prefix.isdigit() and "/" not in value else ""
    return StaticAddress(shown(value + suffix), shown(f"{key}={said.value}"), file.at(said.line))
