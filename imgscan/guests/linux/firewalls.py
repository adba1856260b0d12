"""The firewalls that start with the system, and what each does with a connection to the SSH server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ERRORS, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, first_config, names_in, read_config
from imgscan.guests.linux.packet_filter import PacketFilter
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import SshServer
from imgscan.guests.linux.tcp_wrappers import read_tcp_wrappers
from imgscan.model.access import Decision, Firewall, ServiceStart
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown

# Readers of one firewall are loaded where that firewall is: all of them take 10 ms.
OTHER_FIREWALLS: Final = {
    "CSF": ("csf", "lfd"),
    "Shorewall": ("shorewall", "shorewall-init", "shorewall-lite"),
    "FireHOL": ("firehol",),
    "ferm": ("ferm",),
    "APF": ("apf", "apf-firewall"),
    "Arno's firewall": ("arno-iptables-firewall",),
    "Firewall Builder": ("fwbuilder", "fw"),
    "IPKungFu": ("ipkungfu",),
    "Vuurmuur": ("vuurmuur",),
    "Foomuuri": ("foomuuri",),
    "Imunify360": ("imunify360", "imunify360-webshield"),
    "Illumio VEN": ("illumio-ven",),
    "Guardicore": ("gc-agent", "gc-guest-agent"),
    "Trellix or McAfee": ("hipclient", "mfefwd"),
    "Symantec": ("sisipsagent", "sisips", "sisamddaemon"),
    "Trend Micro": ("ds_agent", "ds_filter"),
    "Kaspersky": ("kesl", "kesl-supervisor"),
    "firewall scripts": ("firewall", "firewall-rules", "iptables-restore", "my-firewall", "rc.firewall"),
}
"""Products with rules of their own, by the services that start them."""
_SCRIPTS: Final = ("/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local", "/etc/network/interfaces")
_HOOK_FOLDERS: Final = ("/etc/network/if-pre-up.d", "/etc/network/if-up.d")
_HOOK_NAME: Final = re.compile(r"iptables|nft|firewall|fw", re.IGNORECASE)
_PORTS: Final = 16
"""Ports of an SSH server that are looked for in the rules."""
_COMMAND: Final = re.compile(r"\b(iptables(-restore|-legacy|-nft)?|nft|ipchains)\s")
_IPTABLES_RULES: Final = (
    "/etc/sysconfig/iptables",
    "/etc/iptables/rules.v4",
    "/etc/iptables/rules",
    "/etc/iptables/iptables.rules",
    "/etc/iptables/rules-save",
    "/var/lib/iptables/rules-save",
)
"""Red Hat; Debian's iptables-persistent, new and old; Arch; Alpine; Gentoo."""
_NFTABLES_RULES: Final = (
    "/etc/nftables.conf",
    "/etc/sysconfig/nftables.conf",
    "/etc/nftables.nft",
    "/var/lib/nftables/rules-save",
)


def read_firewalls(tree: GuestTree, services: Services, server: SshServer) -> Fact[tuple[Firewall, ...]]:
    """Return the firewalls that start; one whose rules cannot be followed has an unread decision.

    :raises ImageError: whether one starts cannot be told
    """
    volume = tree.mounts["/"].volume
    found: list[Firewall] = []
    for name, names, read in _READERS:
        start = services.start(*names)
        if start.starts:
            found += _read(name, start, lambda read=read, start=start: read(tree, services, _ports(server), start))  # type: ignore[misc]
    found = _without_conflict(found)
    for name, names in OTHER_FIREWALLS.items():
        start = services.start(*names)
        if start.starts:
            error = UnsupportedFormat(f"{start.unit} starts a firewall ({name}) whose rules are not followed")
            found.append(Firewall(name=name, decision=unread_because(error, *start.evidence)))
    found += _scripts(tree)
    found += _wrappers(tree, server)
    return known(tuple(found), at_path(volume, "/etc"))


def _without_conflict(found: list[Firewall]) -> list[Firewall]:
    """Leave open which one starts of those that exclude each other (Conflicts= in firewalld's unit)."""
    rivals = [each for each in found if each.name in {"firewalld", "nftables", "iptables"}]
    if len({each.decision.value for each in rivals}) < 2 or "firewalld" not in {each.name for each in rivals}:
        return found
    names = " and ".join(each.name for each in rivals)
    error = UnsupportedFormat(f"{names} are enabled, exclude each other, and do not agree")
    evidence = tuple(piece for each in rivals for piece in each.decision.evidence)
    joined = Firewall(name=names, decision=unread_because(error, *evidence))
    return [joined, *(each for each in found if each not in rivals)]


def _read(name: str, start: ServiceStart, read: Callable[[], Firewall | None]) -> list[Firewall]:
    try:
        firewall = read()
    except ImageError as error:
        return [Firewall(name=name, decision=unread_because(error, *start.evidence))]
    return [] if firewall is None else [firewall]


def _ports(server: SshServer) -> tuple[int, ...]:
    """Return the ports that the SSH server listens on: its usual one when it has no configuration.

    :raises ImageError: they could not be read
    """
    settings = server.settings
    if not settings.is_known:
        raise ERRORS[str(settings.unread)](f"the port of the SSH server is not known: {settings.detail}")
    value = settings.get()
    ports = (22,) if value is None else value.ports
    if len(ports) > _PORTS:
        raise LimitExceeded(f"the SSH server listens on {len(ports)} ports; at most {_PORTS} are followed")
    return ports


Reader = Callable[[GuestTree, Services, tuple[int, ...], ServiceStart], "Firewall | None"]


def _firewalld(tree: GuestTree, _: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall:
    from imgscan.guests.linux.firewalld import read_firewalld  # noqa: PLC0415 - see above

    firewall = read_firewalld(tree, ports)
    return _with_start(firewall, start)


def _suse(tree: GuestTree, _: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall:
    from imgscan.guests.linux.suse_firewall import read_suse_firewall  # noqa: PLC0415 - see above

    return _with_start(read_suse_firewall(tree, ports), start)


def _ufw(tree: GuestTree, _: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall | None:
    from imgscan.guests.linux.ufw import read_ufw, ufw_is_on  # noqa: PLC0415 - see above

    switched_on = ufw_is_on(tree)
    return None if switched_on is None else _with_start(read_ufw(tree, ports, switched_on), start)


def _nftables(tree: GuestTree, services: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall | None:
    units = services.systemd
    unit = units.unit("nftables.service") if units is not None else None
    paths: list[str] = []
    for _, command in unit.values("Service", "ExecStart") if unit is not None else ():
        match = re.search(r"\s-f\s+(/\S+)", command)
        paths += [match[1]] if match is not None else []
    file = first_config(tree, *(paths or _NFTABLES_RULES))
    if file is None:
        return None  # nft ends with an error, and there are no rules
    from imgscan.guests.linux.nftables import parse_nftables  # noqa: PLC0415 - see above

    return _of_filter("nftables", file, parse_nftables(tree, file), ports, start)


def _iptables(tree: GuestTree, services: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall | None:
    units = services.systemd
    unit = units.unit(start.unit) if units is not None and start.unit is not None else None
    paths: list[str] = []
    for _, command in unit.values("Service", "ExecStart") if unit is not None else ():
        match = re.search(r"iptables-restore\s.*?(/\S+)$", command)
        paths += [match[1]] if match is not None else []
    file = first_config(tree, *(paths or _IPTABLES_RULES))
    if file is None:
        return None
    from imgscan.guests.linux.iptables import parse_iptables  # noqa: PLC0415 - see above

    return _of_filter("iptables", file, parse_iptables([file]), ports, start)


def _of_filter(
    name: str, file: ConfigFile, rules: PacketFilter, ports: tuple[int, ...], start: ServiceStart
) -> Firewall:
    decision: Fact[Decision] = known("block", file.at())
    for port in ports:
        decision = rules.decide(port)
        if decision.value == "allow":
            break
    evidence = decision.evidence or (file.at(),)
    return _with_start(Firewall(name=name, decision=known(decision.get(), *evidence), detail=shown(file.path)), start)


def _with_start(firewall: Firewall, start: ServiceStart) -> Firewall:
    """Return a firewall with what starts it behind the evidence for its decision."""
    decision = firewall.decision
    evidence = tuple(dict.fromkeys((*decision.evidence, *start.evidence)))
    return Firewall(name=firewall.name, decision=known(decision.get(), *evidence), detail=firewall.detail)


_READERS: Final[tuple[tuple[str, tuple[str, ...], Reader], ...]] = (
    ("firewalld", ("firewalld",), _firewalld),
    ("ufw", ("ufw",), _ufw),
    ("nftables", ("nftables",), _nftables),
    ("iptables", ("netfilter-persistent", "iptables-persistent", "iptables"), _iptables),
    ("SuSEfirewall2", ("SuSEfirewall2", "SuSEfirewall2_setup"), _suse),
)


def _scripts(tree: GuestTree) -> list[Firewall]:
    """Return the scripts that load rules at boot."""
    paths = list(_SCRIPTS)
    for folder in _HOOK_FOLDERS:
        paths += [f"{folder}/{name}" for name in names_in(tree, folder) if _HOOK_NAME.search(name)]
    found: list[Firewall] = []
    for path in paths:
        try:
            where = _first_command(tree, path)
        except ImageError as error:
            found.append(Firewall(name="own script", decision=unread_because(error)))
            continue
        if where is not None:
            lost = UnsupportedFormat("it loads firewall rules, which are not followed", where=path)
            found.append(Firewall(name="own script", decision=unread_because(lost, where)))
    return found


def _first_command(tree: GuestTree, path: str) -> Evidence | None:
    file = read_config(tree, path)
    for number, line in file.lines() if file is not None else ():
        if file is not None and not line.startswith("#") and _COMMAND.search(f"{line} "):
            return file.at(number)
    return None


def _wrappers(tree: GuestTree, server: SshServer) -> list[Firewall]:
    """Return TCP wrappers where they refuse, or may refuse, the SSH server's clients."""
    if server.program.is_known and server.program.value is None:
        return []
    try:
        if not server.program.is_known:
            raise MissingPart("which program serves SSH is not known")
        firewall = read_tcp_wrappers(tree, str(server.program.get()))
    except ImageError as error:
        return [Firewall(name="tcp-wrappers", decision=unread_because(error))]
    return [] if firewall is None else [firewall]
