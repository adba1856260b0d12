"""firewalld: what its default zone, and zones that network interfaces are bound to, do with a port.

Sources: firewalld.conf(5), firewalld.zone(5), firewalld.richlanguage(5), firewalld.service(5), firewalld.direct(5).
Files below /etc/firewalld hide those of the same name below /usr/lib/firewalld.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, Configs, names_in, read_config
from imgscan.guests.linux.packet_filter import Match, inverted, matches_address, matches_port
from imgscan.guests.linux.shell_file import assignments
from imgscan.guests.linux.xml_file import Element, parse_xml
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

ELEMENTS: Final = 250_000
"""Elements of all files that are looked at, each time."""
CONF: Final = "/etc/firewalld/firewalld.conf"
_FOLDERS: Final = ("/etc/firewalld", "/usr/lib/firewalld")
_INCLUDED_SERVICES: Final = 64
"""Services that one service includes, one inside the other or beside it."""
_ZONES: Final = "/etc/firewalld/zones"
_IFCFG: Final = "/etc/sysconfig/network-scripts"
_CONNECTIONS: Final = "/etc/NetworkManager/system-connections"


class _Files:
    """The parsed files, each read once; `work` counts the elements that were looked at."""

    def __init__(self, tree: GuestTree) -> None:
        self.configs = Configs(tree)
        self._parsed: dict[str, tuple[ConfigFile, list[Element]] | None] = {}
        self._work = 0

    def elements(self, path: str) -> tuple[ConfigFile, list[Element]] | None:
        """Return a file and its elements, None when it is not there.

        :raises LimitExceeded: the files are too large to be followed
        """
        if path not in self._parsed:
            file = self.configs.read(path)
            self._parsed[path] = None if file is None else (file, parse_xml(file))
        found = self._parsed[path]
        self.spend(len(found[1]) if found is not None else 1)
        return found

    def spend(self, elements: int) -> None:
        """Count elements that are looked at; raises as `elements`."""
        self._work += 1 + elements
        if self._work > ELEMENTS:
            raise LimitExceeded(f"following the zones takes more than {ELEMENTS} comparisons", where="firewalld")

    def named(self, kind: str, name: str) -> tuple[ConfigFile, list[Element]]:
        """Return a zone or service by its name, from /etc before /usr/lib.

        :raises CorruptStructure: there is none
        """
        if "/" in name:
            raise CorruptStructure(f"{shown(name)} is no name of {kind}", where="firewalld")
        for folder in _FOLDERS:
            found = self.elements(f"{folder}/{kind}/{name}.xml")
            if found is not None:
                return found
        raise CorruptStructure(f"there is no file {kind}/{shown(name)}.xml", where="firewalld")

    def own_zones(self) -> Iterator[tuple[str, ConfigFile, list[Element]]]:
        """Yield the zones of /etc, by name."""
        for name in self.configs.names(_ZONES):
            found = self.elements(f"{_ZONES}/{name}") if name.endswith(".xml") else None
            if found is not None:
                yield name.removesuffix(".xml"), *found


class _ZoneDecision(msgspec.Struct, frozen=True):
    decision: Decision
    where: tuple[Evidence, ...]


def read_firewalld(tree: GuestTree, ports: tuple[int, ...]) -> Firewall:
    """Return what firewalld does with a connection to any of the ports.

    :raises UnsupportedFormat: it has direct rules or policies of its own, or its zones do not agree
    :raises ImageError: a file cannot be read
    """
    _refuse_what_is_not_read(tree)
    zone, default_where = _default_zone(tree)
    files = _Files(tree)
    zones = {zone: default_where, **_bound_zones(files)}
    decisions = {name: _of_zone(files, name, ports) for name in zones}
    first = decisions[zone]
    if any(each.decision != first.decision for each in decisions.values()):
        said = ", ".join(f"{shown(name)} would {each.decision} it" for name, each in decisions.items())
        raise UnsupportedFormat(f"it depends on the interface's zone: {said}", where="firewalld")
    by_source = _of_sources(files, ports, first.decision)
    if by_source is not None:
        zone, first = by_source
    evidence = (*first.where, *zones.values())
    decision: Fact[Decision] = known(first.decision, *dict.fromkeys(evidence))
    return Firewall(name="firewalld", decision=decision, detail=shown(f"zone {zone}"))


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


def _bound_zones(files: _Files) -> dict[str, Evidence]:
    """Return the zones that an interface is bound to: in a zone's file, in its ifcfg file, or in its connection."""
    found: dict[str, Evidence] = {}
    for zone, file, elements in files.own_zones():
        for element in elements:
            if element.name == "interface" and _is_outside(element.attributes.get("name", "")):
                found.setdefault(zone, file.at(element.line))
    configs = files.configs
    for name in configs.names(_IFCFG):
        ifcfg = configs.read(f"{_IFCFG}/{name}") if name.startswith("ifcfg-") and name != "ifcfg-lo" else None
        said = assignments(ifcfg.text).get("ZONE") if ifcfg is not None else None
        if ifcfg is not None and said is not None and said.value:
            found.setdefault(said.value, ifcfg.at(said.line))
    for name in configs.names(_CONNECTIONS):
        connection = configs.read(f"{_CONNECTIONS}/{name}")
        for number, line in connection.lines() if connection is not None else ():
            match = re.match(r"zone\s*=\s*(\S+)", line)
            if connection is not None and match is not None:
                found.setdefault(match[1], connection.at(number))
    return found


def _is_outside(name: str) -> bool:
    return bool(name) and not name.startswith(("lo", "docker", "br-", "virbr", "veth", "tun", "tap", "wg", "podman"))


def _of_sources(files: _Files, ports: tuple[int, ...], otherwise: Decision) -> tuple[str, _ZoneDecision] | None:
    """Return what a zone does, and its name, that is bound to all addresses, which comes before those of interfaces.

    :raises UnsupportedFormat: zones of certain addresses do something else than `otherwise`
    """
    for name, file, elements in files.own_zones():
        sources = [element for element in elements if element.path[1:] == ("source",)]
        match = min((_source(element) for element in sources), default=Match.NO)
        if match == Match.NO:
            continue
        found = _of_zone(files, name, ports)
        if match == Match.YES:
            if found.decision != otherwise and elements[0].attributes.get("target") is None:  # it may go on to theirs
                raise UnsupportedFormat(f"line {sources[0].line} binds the zone to all addresses", where=file.path)
            return name, found
        if found.decision != otherwise and (found.decision == "allow" or match == Match.UNSURE):
            raise UnsupportedFormat(f"line {sources[0].line} decides it for certain addresses only", where=file.path)
    return None


def _source(element: Element) -> Match:
    """Return whether a source means a connection: its address, else its set of addresses or network card."""
    address = element.attributes.get("address")
    match = Match.SOME if address is None else matches_address(address)
    is_inverted = element.attributes.get("invert", "no").lower() in {"yes", "true"}
    return inverted(match) if is_inverted else match


def _of_zone(files: _Files, name: str, ports: tuple[int, ...]) -> _ZoneDecision:
    """Return what a zone does; any port that it accepts is enough."""
    file, elements = files.named("zones", name)
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
    files.spend(2 * len(elements))
    rich = sorted(_rich_rules(files, file, elements, port), key=lambda rule: (rule.priority, rule.decision == "allow"))
    some: Element | None = None
    for is_before in (True, False):
        for rule in rich:
            if (rule.priority < 0 or (rule.priority == 0 and rule.decision == "block")) != is_before:
                continue
            if rule.match == Match.YES or (rule.match == Match.MOST and rule.decision == "allow"):
                if rule.decision == "block" and some is not None:
                    raise _for_some(file, some)
                return _ZoneDecision(rule.decision, (file.at(rule.element.line),))
            if rule.decision == "block" and rule.match in {Match.MOST, Match.UNSURE}:
                raise _for_some(file, rule.element)
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
    return UnsupportedFormat(f"line {element.line} decides it for certain addresses only", where=file.path)


def _plain(files: _Files, file: ConfigFile, elements: list[Element], port: int) -> _ZoneDecision | None:
    """Return what services, ports and protocols of a zone accept; a port that is forwarded comes to none of them."""
    for element in elements:
        if element.path[1:] in {("forward-port",), ("rule", "forward-port")} and _has_port(element, port):
            raise UnsupportedFormat(f"line {element.line} forwards the port", where=file.path)
    for element in elements:
        if len(element.path) != 2:
            continue
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
        for element in files.named("services", name)[1]:
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


class _RichRule(msgspec.Struct, frozen=True):
    element: Element
    priority: int
    decision: Decision
    match: Match


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
        source = parts.get("source")
        match = Match.YES if source is None else _source(source)
        if match != Match.NO:
            match = max(match, Match.SOME) if "destination" in parts else match
            found.append(_RichRule(element, int(priority), action, match))
    return found
