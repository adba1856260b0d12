"""/etc/dhcpcd.conf: addresses that dhcpcd sets in place of those it is given. Source: dhcpcd.conf(5)."""

from __future__ import annotations

from typing import Final

from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.network.interface_names import kind_of_name
from imgscan.model.evidence import AtPath
from imgscan.model.network import Interface, StaticAddress
from imgscan.model.text import shown

_ADDRESSES: Final = ("ip_address=", "ip6_address=")


def read_dhcpcd(file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interfaces that are given a fixed address; all others are asked for by DHCP, whatever stands here."""
    found: dict[str, list[StaticAddress]] = {}
    places: dict[str, AtPath] = {}
    name = ""
    for number, line in file.lines():
        words = line.split()
        if not words:
            continue
        if words[0] in {"interface", "ssid", "profile"}:
            name = words[1] if words[0] == "interface" and len(words) > 1 else ""
            places.setdefault(name, file.at(number))
        elif words[0] in {"static", "inform", "inform6"} and len(words) > 1:
            option = next((each for each in _ADDRESSES if words[1].startswith(each)), "")
            address = words[1].removeprefix(option)
            if (option or words[0] != "static") and address:
                places.setdefault(name, file.at(number))
                found.setdefault(name, []).append(StaticAddress(shown(address), shown(line), file.at(number)))
    return tuple(
        Interface(name=shown(name) or None, kind=kind_of_name(name), addresses=tuple(each), evidence=(places[name],))
        for name, each in found.items()
    )
