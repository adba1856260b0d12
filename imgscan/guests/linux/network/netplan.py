"""netplan's YAML files. Source: netplan(5), "Netplan configuration"."""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.yaml_subset import Node, parse_yaml
from imgscan.model.network import Interface, InterfaceKind, StaticAddress
from imgscan.model.text import shown

_KINDS: Final[dict[str, InterfaceKind]] = {
    "ethernets": "ethernet", "wifis": "wireless", "modems": "wireless", "bonds": "bond", "bridges": "bridge",
    "vlans": "vlan", "tunnels": "other", "vrfs": "other", "dummy-devices": "other", "virtual-ethernets": "other",
    "nm-devices": "other",
}  # fmt: skip
_SETTINGS: Final = frozenset({"version", "renderer", "openvswitch"})
_YES: Final = frozenset({"yes", "true", "on", "y"})


def read_netplan(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interfaces of a file.

    :raises UnsupportedFormat: it uses more of YAML than is read, or more of netplan
    """
    try:
        document = parse_yaml(file.text)
    except ImageError as error:
        raise type(error)(error.message, where=shown(file.path)) from error
    network = document.get("network")
    if document.value is not None and not isinstance(network.value, dict):
        raise UnsupportedFormat("it has no mapping named network", where=shown(file.path))
    found: list[Interface] = []
    for section, devices in network.items():
        if section in _SETTINGS:
            continue
        if section not in _KINDS or (devices.value is not None and not isinstance(devices.value, dict)):
            raise UnsupportedFormat(f"line {devices.line}: {section} is not read", where=shown(file.path))
        found += [_interface(file, name, node, _KINDS[section]) for name, node in devices.items()]
    return tuple(found)


def _interface(file: ConfigFile, name: str, node: Node, kind: InterfaceKind) -> Interface:
    match = node.get("match")
    mac = match.get("macaddress").text
    named = node.get("set-name").text or match.get("name").text or ("" if mac or match.items() else name)
    addresses = tuple(
        StaticAddress(shown(text), shown(text), file.at(line)) for text, line in node.get("addresses").texts()
    )
    on = [text for text, _ in (*node.get("interfaces").texts(), *node.get("link").texts())]
    return Interface(
        name=shown(named) or None,
        kind="loopback" if named == "lo" else kind,
        at_boot=node.get("activation-mode").text not in {"manual", "off"},
        dhcp4=node.get("dhcp4").text.lower() in _YES,
        dhcp6=node.get("dhcp6").text.lower() in _YES,
        addresses=addresses,
        mac=shown(mac) or None,
        on=tuple(shown(each) for each in on),
        evidence=(file.at(node.line),),
    )
