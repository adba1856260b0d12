"""firewalld: what its default zone, and zones that network interfaces are bound to, do with a port.

Sources: firewalld.conf(5), firewalld.zone(5), firewalld.richlanguage(5), firewalld.service(5), firewalld.direct(5).
Files below /etc/firewalld hide those of the same name below /usr/lib/firewalld.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, first_config, names_in, read_config
from imgscan.guests.linux.packet_filter import WORK, matches_port
from imgscan.guests.linux.shell_file import assignments
from imgscan.guests.linux.xml_file import Element, parse_xml
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

CONF: Final = "/etc/firewalld/firewalld.conf"
_FOLDERS: Final = ("/etc/firewalld", "/usr/lib/firewalld")
_INCLUDED_SERVICES: Final = 64
"""Services that one service includes, one inside the other or beside it."""
_IFCFG: Final = "/etc/sysconfig/network-scripts"
_CONNECTIONS: Final = "/etc/NetworkManager/system-connections"


class _Files:
    """The parsed files, each read once; `work` counts the elements that were looked at."""

    def __init__(self, tree: GuestTree) -> None:
        self.tree = tree
        self._parsed: dict[str, list[Element]] = {}
        self._services: dict[str, str] = {}
        self._work = 0

    def elements(self, file: ConfigFile) -> list[Element]:
        """Return the elements of a file.

        :raises LimitExceeded: the files are too large to be followed
        """
        if file.path not in self._parsed:
            self._parsed[file.path] = parse_xml(file)
        found = self._parsed[file.path]
        self._work += len(found)
        if self._work > WORK:
            raise LimitExceeded(f"following the zones takes more than {WORK} comparisons", where="firewalld")
        return found

    def service(self, name: str) -> list[Element]:
        """Return the elements of a service's file, from /etc before /usr/lib."""
        path = self._services.get(name)
        if path is None:
            file = _file(self.tree, "services", name)
            self._services[name] = path = file.path
            return self.elements(file)
        self._work += len(self._parsed[path])
        if self._work > WORK:
            raise LimitExceeded(f"following the zones takes more than {WORK} comparisons", where="firewalld")
        return self._parsed[path]


class _ZoneDecision(NamedTuple):
    decision: Decision
    where: tuple[Evidence, ...]


def read_firewalld(tree: GuestTree, ports: tuple[int, ...]) -> Firewall:
    """Return what firewalld does with a connection to any of the ports.

    :raises UnsupportedFormat: it has direct rules or policies of its own, or its zones do not agree
    :raises ImageError: a file cannot be read
    """
    _refuse_what_is_not_read(tree)
    default, default_where = _default_zone(tree)
    zones = {default: default_where, **_bound_zones(tree)}
    files = _Files(tree)
    decisions = {name: _of_zone(files, name, ports) for name in zones}
    first = decisions[default]
    if any(each.decision != first.decision for each in decisions.values()):
        said = ", ".join(f"{shown(name)} would {each.decision} it" for name, each in decisions.items())
        raise UnsupportedFormat(f"it depends on the interface's zone: {said}", where="firewalld")
    if first.decision == "block":
        _refuse_if_sources_are_allowed(files, ports)
    evidence = (*first.where, *(where for where in zones.values() if where is not None))
    decision: Fact[Decision] = known(first.decision, *dict.fromkeys(evidence))
    return Firewall(name="firewalld", decision=decision, detail=shown(f"zone {default}"))


def _refuse_what_is_not_read(tree: GuestTree) -> None:
    direct = read_config(tree, "/etc/firewalld/direct.xml")
    if direct is not None:
        for element in parse_xml(direct):
            if element.name in {"rule", "passthrough", "chain"}:
                raise UnsupportedFormat(
                    f"line {element.line} is a direct rule, which is not followed", where=direct.path
                )
    policies = [name for name in names_in(tree, "/etc/firewalld/policies") if name.endswith(".xml")]
    if policies:
        raise UnsupportedFormat(f"the policy {shown(policies[0])} is not followed", where="/etc/firewalld/policies")


def _default_zone(tree: GuestTree) -> tuple[str, Evidence]:
    conf = read_config(tree, CONF)
    for number, line in conf.lines() if conf is not None else ():
        name, equals, zone = line.partition("=")
        if conf is not None and equals and name.strip() == "DefaultZone" and zone.strip():
            return zone.strip(), conf.at(number)  # it refuses a second line of the same name
    return "public", at_path(tree.mounts["/"].volume, CONF)


def _bound_zones(tree: GuestTree) -> dict[str, Evidence]:
    """Return the zones that an interface is bound to: in a zone's file, in its ifcfg file, or in its connection."""
    found: dict[str, Evidence] = {}
    for name in names_in(tree, "/etc/firewalld/zones"):
        zone = read_config(tree, f"/etc/firewalld/zones/{name}") if name.endswith(".xml") else None
        for element in parse_xml(zone) if zone is not None else ():
            if zone is not None and element.name == "interface" and _is_outside(element.attributes.get("name", "")):
                found.setdefault(name.removesuffix(".xml"), zone.at(element.line))
    for name in names_in(tree, _IFCFG):
        file = read_config(tree, f"{_IFCFG}/{name}") if name.startswith("ifcfg-") and name != "ifcfg-lo" else None
        said = assignments(file.text).get("ZONE") if file is not None else None
        if file is not None and said is not None and said.value:
            found.setdefault(said.value, file.at(said.line))
    for name in names_in(tree, _CONNECTIONS):
        file = read_config(tree, f"{_CONNECTIONS}/{name}")
        for number, line in file.lines() if file is not None else ():
            match = re.match(r"zone\s*=\s*(\S+)", line)
            if file is not None and match is not None:
                found.setdefault(match[1], file.at(number))
    return found


def _is_outside(name: str) -> bool:
    return bool(name) and not name.startswith(("lo", "docker", "br-", "virbr", "veth", "tun", "tap", "wg", "podman"))


def _refuse_if_sources_are_allowed(files: _Files, ports: tuple[int, ...]) -> None:
    """Make sure that no zone accepts it for certain sources.

    :raises UnsupportedFormat: one does
    """
    for name in names_in(files.tree, "/etc/firewalld/zones"):
        zone = read_config(files.tree, f"/etc/firewalld/zones/{name}") if name.endswith(".xml") else None
        source = (
            next((e for e in files.elements(zone) if e.path[1:] == ("source",)), None) if zone is not None else None
        )
        if zone is None or source is None:
            continue
        if _of_zone(files, name.removesuffix(".xml"), ports).decision == "allow":
            raise UnsupportedFormat(f"line {source.line} accepts it for certain addresses only", where=zone.path)


def _file(tree: GuestTree, kind: str, name: str) -> ConfigFile:
    if "/" in name:
        raise CorruptStructure(f"{shown(name)} is no name of {kind}", where="firewalld")
    file = first_config(tree, *(f"{folder}/{kind}/{name}.xml" for folder in _FOLDERS))
    if file is None:
        raise CorruptStructure(f"there is no file {kind}/{shown(name)}.xml", where="firewalld")
    return file


def _of_zone(files: _Files, name: str, ports: tuple[int, ...]) -> _ZoneDecision:
    """Return what a zone does; any port that it accepts is enough."""
    file = _file(files.tree, "zones", name)
    elements = files.elements(file)
    if not elements or elements[0].name != "zone":
        raise CorruptStructure("it describes no zone", where=file.path)
    decision = _ZoneDecision("block", (file.at(elements[0].line),))
    for port in ports:
        decision = _of_port(files, file, elements, port)
        if decision.decision == "allow":
            break
    return decision


def _of_port(files: _Files, file: ConfigFile, elements: list[Element], port: int) -> _ZoneDecision:
    """Walk a zone as firewalld orders it: rich rules by priority, denying ones before accepting ones."""
    rich = sorted(_rich_rules(files, file, elements, port), key=lambda rule: (rule.priority, rule.decision == "allow"))
    some: Element | None = None
    for is_before in (True, False):
        for rule in rich:
            if (rule.priority < 0 or (rule.priority == 0 and rule.decision == "block")) != is_before:
                continue
            if rule.is_for_all:
                if rule.decision == "block" and some is not None:
                    raise _for_some(file, some)
                return _ZoneDecision(rule.decision, (file.at(rule.element.line),))
            if rule.decision == "allow":
                some = some or rule.element
        if is_before:
            plain = _plain(files, file, elements, port)
            if plain is not None:
                return plain
    target = elements[0].attributes.get("target", "default")
    if target == "ACCEPT":
        return _ZoneDecision("allow", (file.at(elements[0].line),))
    if some is not None:
        raise _for_some(file, some)
    return _ZoneDecision("block", (file.at(elements[0].line),))


def _for_some(file: ConfigFile, element: Element) -> UnsupportedFormat:
    return UnsupportedFormat(f"line {element.line} accepts it for certain addresses only", where=file.path)


def _plain(files: _Files, file: ConfigFile, elements: list[Element], port: int) -> _ZoneDecision | None:
    """Return what services, ports and protocols of a zone accept."""
    for element in elements:
        if len(element.path) != 2:
            continue
        if element.name == "forward-port" and _has_port(element, port):
            raise UnsupportedFormat(f"line {element.line} forwards the port", where=file.path)
        is_open = (
            (element.name == "service" and _service_has(files, element.attributes.get("name", ""), port))
            or (element.name == "port" and _has_port(element, port))
            or (element.name == "protocol" and element.attributes.get("value") in {"tcp", "6"})
        )
        if is_open:
            return _ZoneDecision("allow", (file.at(element.line),))
    return None


def _has_port(element: Element, port: int) -> bool:
    ports = element.attributes.get("port", "")
    return element.attributes.get("protocol") == "tcp" and bool(ports) and matches_port(ports, port, "-") == 0


def _service_has(files: _Files, name: str, port: int) -> bool:
    """Whether a service, or one that it includes, has a TCP port."""
    todo, seen = [name], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _INCLUDED_SERVICES:
            raise LimitExceeded(f"a service includes more than {_INCLUDED_SERVICES} others", where="firewalld")
        for element in files.service(name):
            if element.path == ("service", "port") and _has_port(element, port):
                return True
            is_whole = element.path == ("service", "port") and not element.attributes.get("port")
            if is_whole and element.attributes.get("protocol") == "tcp":
                return True
            if element.path == ("service", "protocol") and element.attributes.get("value") == "tcp":
                return True
            if element.path == ("service", "include"):
                todo.append(element.attributes.get("service", ""))
    return False


class _RichRule(NamedTuple):
    element: Element
    priority: int
    decision: Decision
    is_for_all: bool


def _rich_rules(files: _Files, file: ConfigFile, elements: list[Element], port: int) -> list[_RichRule]:
    """Return the rich rules that may match a connection to a port."""
    found: list[_RichRule] = []
    children: dict[int, dict[str, Element]] = {}
    for element in elements:
        children.setdefault(element.parent, {})[element.name] = element
    for index, element in enumerate(elements):
        if element.path != ("zone", "rule") or element.attributes.get("family") == "ipv6":
            continue
        parts = children.get(index, {})
        action: Decision | None = "allow" if "accept" in parts else None
        action = "block" if {"drop", "reject"} & set(parts) else action
        if action is None:  # it logs or marks only
            continue
        if {"forward-port", "masquerade", "icmp-block", "icmp-type", "source-port"} & set(parts):
            continue
        service, own_port, protocol = parts.get("service"), parts.get("port"), parts.get("protocol")
        if service is not None and not _service_has(files, service.attributes.get("name", ""), port):
            continue
        if own_port is not None and not _has_port(own_port, port):
            continue
        if protocol is not None and protocol.attributes.get("value") not in {"tcp", "6"}:
            continue
        priority = element.attributes.get("priority", "0")
        if not re.fullmatch(r"-?\d{1,5}", priority):
            raise CorruptStructure(f"line {element.line} has no priority: {shown(priority)}", where=file.path)
        is_for_all = _is_for_all(parts.get("source")) and "destination" not in parts
        found.append(_RichRule(element, int(priority), action, is_for_all))
    return found


def _is_for_all(source: Element | None) -> bool:
    if source is None:
        return True
    is_inverted = source.attributes.get("invert", "no").lower() in {"yes", "true"}
    return is_inverted or source.attributes.get("address") in {"0.0.0.0/0", "0/0"}
