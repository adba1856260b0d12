"""wicked's own XML files, which are used beside SUSE's ifcfg files where YaST did not write those.

Source: wicked's manual page wicked(8), "ifconfig"; the files that `wicked convert` writes for ifcfg files.
"""

from __future__ import annotations

from typing import Final

from imgscan.errors import LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.interface_names import kind_of_name
from imgscan.guests.linux.xml_file import Element, parse_xml
from imgscan.model.evidence import AtPath
from imgscan.model.network import Interface, InterfaceKind, StaticAddress
from imgscan.model.text import shown

_KINDS: Final[dict[str, InterfaceKind]] = {
    "bond": "bond", "team": "bond", "bridge": "bridge", "ovs-bridge": "bridge", "vlan": "vlan", "wireless": "wireless",
    "tun": "other", "tap": "other", "gre": "other", "sit": "other", "ipip": "other", "dummy": "other",
    "macvlan": "other",
}  # fmt: skip
_CHILDREN: Final = 4096
"""Elements of one interface."""


def read_wicked(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interfaces of a file.

    :raises CorruptStructure: it is no XML
    :raises UnsupportedFormat: an interface has no name, or an address is no text
    """
    elements = parse_xml(file)
    inside: dict[int, list[Element]] = {}
    owner: list[int] = []  # the interface that each element lies in, -1 for none
    for number, element in enumerate(elements):
        above = owner[element.parent] if element.parent >= 0 else -1
        is_interface = element.name == "interface" and above < 0 and element.path[:-1] in {(), ("config",)}
        owner.append(number if is_interface else above)
        if is_interface:
            inside[number] = []
        elif above >= 0:
            inside[above].append(element)
            if len(inside[above]) > _CHILDREN:
                raise LimitExceeded(f"an interface has more than {_CHILDREN} elements", where=shown(file.path))
    return tuple(_interface(file, elements[number], below) for number, below in inside.items())


def _interface(file: ConfigFile, top: Element, below: list[Element]) -> Interface:
    texts: dict[tuple[str, ...], str] = {}
    kind: InterfaceKind | None = None
    on: list[str] = []
    addresses: list[StaticAddress] = []
    where: AtPath = file.at(top.line)
    for element in below:
        place = element.path[len(top.path) :]
        texts.setdefault(place, element.text)
        kind = kind or (_KINDS.get(element.name) if len(place) == 1 else None)
        if place[0] in _KINDS and place[-1] == "device" and element.text:
            on.append(shown(element.text))
        elif place[0] in {"ipv4:static", "ipv6:static"} and place[-2:] == ("address", "local"):
            if not element.text:
                raise UnsupportedFormat(f"line {element.line}: an address is no text", where=shown(file.path))
            addresses.append(StaticAddress(shown(element.text), shown(element.text), file.at(element.line)))
        elif place == ("ipv4:dhcp",):
            where = file.at(element.line)
    name = texts.get(("name",), "")
    if not name:
        raise UnsupportedFormat(f"line {top.line}: the interface has no name", where=shown(file.path))
    asks = {
        family: (family,) in texts and texts.get((family, "enabled")) != "false"
        for family in ("ipv4:dhcp", "ipv6:dhcp")
    }
    return Interface(
        name=shown(name),
        kind=kind or kind_of_name(name),
        at_boot=texts.get(("control", "mode")) not in {"manual", "off"},
        dhcp4=asks["ipv4:dhcp"],
        dhcp6=asks["ipv6:dhcp"],
        addresses=tuple(addresses),
        on=tuple(on),
        evidence=(where,),
    )
