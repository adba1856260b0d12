"""The firewalls that start with the system, and what each does with a connection to the SSH server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ERRORS, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux.boot_commands import find_boot_commands
from imgscan.guests.linux.config_file import ConfigFile, first_config, read_config
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import SshServer
from imgscan.guests.linux.systemd import COMMANDS
from imgscan.guests.linux.tcp_wrappers import read_tcp_wrappers
from imgscan.model.access import Decision, Firewall, ServiceStart
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown

if TYPE_CHECKING:
    from imgscan.guests.linux.packet_filter import PacketFilter

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
_FILES: Final = 16
"""Files with rules that one service loads."""
_PORTS: Final = 16
"""Ports of an SSH server that are looked for in the rules."""
_RED_HAT_RULES: Final = (
    "/etc/sysconfig/iptables",
    "/etc/iptables/iptables.rules",
    "/etc/iptables/rules-save",
    "/var/lib/iptables/rules-save",
)
"""Red Hat, Arch, Alpine, Gentoo."""
_DEBIAN_RULES: Final = ("/etc/iptables/rules.v4", "/etc/iptables/rules")
"""iptables-persistent, new and old."""
_NFTABLES_RULES: Final = (
    "/etc/nftables.conf",
    "/etc/sysconfig/nftables.conf",
    "/etc/nftables.nft",
    "/var/lib/nftables/rules-save",
)
_FOLLOWED: Final = frozenset({"nftables", "netfilter-persistent", "iptables-persistent", "iptables"})
"""Services whose every command is followed."""
_FOR_IPV6: Final = ("ip6tables", "ip6tables-restore")


def read_firewalls(tree: GuestTree, services: Services, server: SshServer) -> Fact[tuple[Firewall, ...]]:
    """Return the firewalls that start; one whose rules cannot be followed has an unread decision.

    :raises ImageError: whether one starts cannot be told
    """
    volume = tree.mounts["/"].volume
    found: list[Firewall] = []
    units: set[str | None] = set()
    for name, names, read in _READERS:
        start = services.start(*names)
        if start.starts and start.unit not in units:
            units.add(start.unit)  # one may have the name of another as its alias
            found += _read(name, start, lambda read=read, start=start: read(tree, services, _ports(server), start))  # type: ignore[misc]
    found = _without_conflict(found)
    for name, names in OTHER_FIREWALLS.items():
        start = services.start(*names)
        if start.starts:
            error = UnsupportedFormat(f"{start.unit} starts a firewall ({name}) whose rules are not followed")
            found.append(Firewall(name=name, decision=unread_because(error, *start.evidence)))
    known_services = {name for names in (_FOR_IPV6, *OTHER_FIREWALLS.values()) for name in names}
    known_services.update(name for _, names, _ in _READERS for name in names)
    found += find_boot_commands(tree, services, known_services - _FOLLOWED, _FOLLOWED)
    found += _wrappers(tree, server)
    return known(tuple(found), at_path(volume, "/etc"))


def _without_conflict(found: list[Firewall]) -> list[Firewall]:
    """Leave open what counts where several load rules of which the last, or one only, counts.

    firewalld excludes others (Conflicts= in its unit); iptables-restore replaces what was there.
    """
    rivals = [each for each in found if each.name in {"firewalld", "nftables", "iptables"}]
    names = [each.name for each in rivals]
    if len({each.decision.value for each in rivals}) < 2 or not ("firewalld" in names or names.count("iptables") > 1):
        return found
    together = " and ".join(f"{each.name} ({each.detail})" if each.detail else each.name for each in rivals)
    error = UnsupportedFormat(f"{together} start, do not agree, and which one counts is not known")
    evidence = tuple(piece for each in rivals for piece in each.decision.evidence)
    joined = Firewall(name=" and ".join(dict.fromkeys(names)), decision=unread_because(error, *evidence))
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
    paths = _loaded(services, start, r"(?:/usr)?/s?bin/nft(?: -\w)*? -f (/\S+)", ())
    files = _files(tree, paths, _NFTABLES_RULES)
    if not files:
        return None  # nft ends with an error, and there are no rules
    from imgscan.guests.linux.nftables import parse_nftables  # noqa: PLC0415 - see above

    return _of_filter("nftables", files, parse_nftables(tree, files), ports, start)


def _iptables(tree: GuestTree, services: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall | None:
    return _restored(tree, services, ports, start, _RED_HAT_RULES)


def _persistent(tree: GuestTree, services: Services, ports: tuple[int, ...], start: ServiceStart) -> Firewall | None:
    return _restored(tree, services, ports, start, _DEBIAN_RULES)


def _restored(
    tree: GuestTree, services: Services, ports: tuple[int, ...], start: ServiceStart, usual: tuple[str, ...]
) -> Firewall | None:
    own = ("iptables.init start", "netfilter-persistent start", "iptables-persistent start", "ip6tables.init start")
    paths = _loaded(services, start, r"\S*/iptables(?:-legacy|-nft)?-restore(?: -\S+(?: \d+)?)*? (/\S+)", own)
    files = _files(tree, paths, usual)
    if len(paths) > 1:
        raise UnsupportedFormat(f"{start.unit} loads several files, which is not followed")
    if not files:
        return None
    from imgscan.guests.linux.iptables import parse_iptables  # noqa: PLC0415 - see above

    return _of_filter("iptables", files, parse_iptables(files), ports, start)


def _loaded(services: Services, start: ServiceStart, pattern: str, own: tuple[str, ...]) -> list[str]:
    """Return the files that a unit loads rules from, none where its commands are those of its package (`own`).

    :raises UnsupportedFormat: it runs something else
    """
    units = services.systemd
    unit = units.unit(start.unit) if units is not None and start.unit is not None else None
    paths: list[str] = []
    for line in unit.values("Service", *COMMANDS) if unit is not None else ():
        command = " ".join(line.text.lstrip("-@:+!|").split())
        match = re.fullmatch(pattern, command)
        if match is not None:
            paths.append(match[1])
        elif not command.endswith(own or ("\0",)):
            raise UnsupportedFormat(f"line {line.number}: what it runs is not followed", where=line.file.path)
    return paths


def _files(tree: GuestTree, paths: list[str], usual: tuple[str, ...]) -> list[ConfigFile]:
    """Return the files with rules: those that are named, else the first usual one."""
    found = [read_config(tree, path) for path in paths[:_FILES]] if paths else [first_config(tree, *usual)]
    return [file for file in found if file is not None]


def _of_filter(
    name: str, files: list[ConfigFile], rules: PacketFilter, ports: tuple[int, ...], start: ServiceStart
) -> Firewall:
    decision: Fact[Decision] = known("block", files[0].at())
    for port in ports:
        decision = rules.decide(port)
        if decision.value == "allow":
            break
    evidence = decision.evidence or (files[0].at(),)
    detail = shown(", ".join(file.path for file in files))
    return _with_start(Firewall(name=name, decision=known(decision.get(), *evidence), detail=detail), start)


def _with_start(firewall: Firewall, start: ServiceStart) -> Firewall:
    """Return a firewall with what starts it behind the evidence for its decision."""
    decision = firewall.decision
    evidence = tuple(dict.fromkeys((*decision.evidence, *start.evidence)))
    return Firewall(name=firewall.name, decision=known(decision.get(), *evidence), detail=firewall.detail)


_READERS: Final[tuple[tuple[str, tuple[str, ...], Reader], ...]] = (
    ("firewalld", ("firewalld",), _firewalld),
    ("ufw", ("ufw",), _ufw),
    ("nftables", ("nftables",), _nftables),
    ("iptables", ("netfilter-persistent", "iptables-persistent"), _persistent),
    ("iptables", ("iptables",), _iptables),
    ("SuSEfirewall2", ("SuSEfirewall2", "SuSEfirewall2_setup"), _suse),
)


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
