"""SuSEfirewall2: shell variables of /etc/sysconfig/SuSEfirewall2 that say which ports the external zone opens.

Source: the comments of that file, as SLES 11 and 12 ship it, and "Masquerading and Firewalls" in SUSE's security guide.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, Configs, read_config
from imgscan.guests.linux.packet_filter import Match, matches_port
from imgscan.guests.linux.shell_file import Assignments, assignments
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

CONF: Final = "/etc/sysconfig/SuSEfirewall2"
_ENTRIES: Final = 1024
"""Services, or ports, that are named in one variable."""
_SERVICES: Final = "/etc/sysconfig/SuSEfirewall2.d/services"


def read_suse_firewall(tree: GuestTree, ports: tuple[int, ...]) -> Firewall:
    """Return what SuSEfirewall2 does with a connection to any of the ports.

    :raises UnsupportedFormat: own rules are set, or it depends on where the connection comes from
    :raises ImageError: a file cannot be read
    """
    conf = read_config(tree, CONF)
    if conf is None:
        raise MissingPart("SuSEfirewall2 starts, and its configuration is missing", where=CONF)
    values = assignments(conf.text)
    services = _services(tree, values)
    opened: Evidence | None = None
    for port in ports:
        opened = opened or _opened(conf, values, services, port)
    if opened is not None:
        decision: Fact[Decision] = known("allow", opened)
        return Firewall(name="SuSEfirewall2", decision=decision, detail="the external zone opens the port")
    for name in ("FW_TRUSTED_NETS", "FW_DEV_INT", "FW_DEV_DMZ"):
        value = values.get(name)
        if value is not None and value.value:
            detail = f"line {value.line}: {name} may open it for certain addresses or interfaces"
            raise UnsupportedFormat(detail, where=CONF)
    said = values.get("FW_SERVICES_EXT_TCP") or values.get("FW_CONFIGURATIONS_EXT")
    where = conf.at(said.line if said is not None else 0)
    return Firewall(name="SuSEfirewall2", decision=known("block", where), detail="the external zone opens no such port")


def _services(tree: GuestTree, values: Assignments) -> list[str]:
    """Return the TCP ports of the services that the external zone names."""
    configs = Configs(tree)
    found: list[str] = []
    for name in dict.fromkeys(_entries(values, "FW_CONFIGURATIONS_EXT")):
        service = configs.read(f"{_SERVICES}/{name}") if "/" not in name else None
        found += _entries(assignments(service.text), "TCP") if service is not None else ()
    if len(found) > _ENTRIES:
        raise LimitExceeded(f"its services have more than {_ENTRIES} ports", where=CONF)
    return found


def _entries(values: Assignments, name: str) -> list[str]:
    """Return the words of a variable."""
    said = values.get(name)
    words = said.value.split() if said is not None else []
    if len(words) > _ENTRIES:
        raise LimitExceeded(f"{name} has more than {_ENTRIES} words", where=CONF)
    return words


def _opened(conf: ConfigFile, values: Assignments, services: list[str], port: int) -> Evidence | None:
    """Return the line that opens a port in the external zone for everyone."""
    custom = values.get("FW_CUSTOMRULES")
    if custom is not None and custom.value:
        raise UnsupportedFormat(f"line {custom.line}: own rules in {shown(custom.value)} are not followed", where=CONF)
    for name in ("FW_SERVICES_DROP_EXT", "FW_SERVICES_REJECT_EXT"):
        value = values.get(name)
        for entry in _entries(values, name):
            if value is not None and _entry(entry, port) != Match.NO:
                raise UnsupportedFormat(f"line {value.line}: {name} denies the port for {shown(entry)}", where=CONF)
    some = None
    accepted = values.get("FW_SERVICES_ACCEPT_EXT")
    for entry in _entries(values, "FW_SERVICES_ACCEPT_EXT"):
        match = _entry(entry, port)
        if accepted is not None and match == Match.YES:
            return conf.at(accepted.line)
        some = accepted if match == Match.SOME else some
    plain = values.get("FW_SERVICES_EXT_TCP")
    for text in _entries(values, "FW_SERVICES_EXT_TCP"):
        if plain is not None and matches_port(text, port) == Match.YES:
            return conf.at(plain.line)
    named = values.get("FW_CONFIGURATIONS_EXT")
    if named is not None and any(matches_port(text, port) == Match.YES for text in services):
        return conf.at(named.line)
    if some is not None:
        raise UnsupportedFormat(f"line {some.line} opens the port for certain addresses only", where=CONF)
    return None


def _entry(entry: str, port: int) -> Match:
    """Return whether `network,protocol[,port[,source port[,options]]]` means a connection to the port."""
    network, protocol, dport, *rest = (*entry.split(","), "", "", "")[:5]
    if protocol not in {"tcp", "_rpc_", ""} or (dport and matches_port(dport, port) == Match.NO):
        return Match.NO
    return Match.YES if network in {"0/0", "0.0.0.0/0"} and not any(rest) else Match.SOME
