"""Names that interfaces keep by their MAC address: udev's generated rules, and systemd's .link files.

Sources: udev's write_net_rules (75-persistent-net-generator.rules), systemd.link(5).
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile, names_in, read_config
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.network import InterfaceName
from imgscan.model.text import shown

RULES: Final = "/etc/udev/rules.d"
FILES: Final = ("70-persistent-net.rules", "30-net_persistent_names.rules", "31-net_create_names.rules")
LINKS: Final = "/etc/systemd/network"
NAMES: Final = 1024
"""Names that are kept."""


def read_interface_names(tree: GuestTree) -> Fact[tuple[InterfaceName, ...]]:
    """Return the names and the MAC addresses that they belong to.

    :raises ImageError: a file cannot be read
    """
    found: list[InterfaceName] = []
    for name in names_in(tree, RULES):
        if name in FILES:
            file = read_config(tree, f"{RULES}/{name}")
            if file is not None:
                _rules(file, found)
    for name in names_in(tree, LINKS):
        if name.endswith(".link"):
            file = read_config(tree, f"{LINKS}/{name}")
            if file is not None:
                _link(file, found)
    return known(tuple(found), at_path(tree.mounts["/"].volume, RULES))


def _rules(file: ConfigFile, found: list[InterfaceName]) -> None:
    driver: str | None = None
    for number, line in file.lines():
        if line.startswith("#"):
            driver = line.rpartition("(")[2].rstrip(")") if line.endswith(")") else None
            continue
        mac = _quoted(line, 'ATTR{address}=="') or _quoted(line, 'SYSFS{address}=="')
        name = (
            _quoted(line, ', NAME="')
            or _quoted(line, ' NAME="')
            or _quoted(line, 'IMPORT="/lib/udev/rename_netiface %k ')
        )
        if mac and name:
            _add(found, InterfaceName(shown(name), shown(mac), driver and shown(driver), file.at(number)))
            driver = None


def _link(file: ConfigFile, found: list[InterfaceName]) -> None:
    from imgscan.guests.linux.network.ini_file import entries  # noqa: PLC0415 - start-up time

    said = {(each.section, each.key): each for each in entries(file)}
    mac, name = said.get(("Match", "MACAddress")), said.get(("Link", "Name"))
    if mac is not None and name is not None:
        _add(found, InterfaceName(shown(name.value), shown(mac.value), None, file.at(name.line)))


def _add(found: list[InterfaceName], name: InterfaceName) -> None:
    if len(found) >= NAMES:
        raise LimitExceeded(f"more than {NAMES} names of interfaces", where=name.evidence.volume)
    found.append(name)


def _quoted(line: str, before: str) -> str:
    """Return what stands between `before` and the next quotation mark."""
    return line.partition(before)[2].partition('"')[0]
