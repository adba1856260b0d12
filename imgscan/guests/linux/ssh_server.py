"""The SSH server: whether there is one, whether it starts, and on which ports it listens."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.config_file import first_config, read_config
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.shell_file import assignments
from imgscan.guests.linux.sshd_config import SshdConfig, read_sshd_config
from imgscan.guests.linux.systemd import SystemdUnits, values
from imgscan.model.access import ServiceStart, SshSettings
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

PROGRAMS: Final = ("/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd")
OTHER_PROGRAMS: Final = (
    "/usr/sbin/dropbear",
    "/usr/sbin/tinysshd",
    "/opt/tectia/sbin/ssh-server-g3",
    "/usr/local/sbin/sshd2",
)
"""Servers whose configuration imgscan does not read."""
_NAMES: Final = ("sshd", "ssh")
_SOCKETS: Final = ("ssh.socket", "sshd.socket")
_OPTIONS: Final = (
    ("/etc/default/ssh", "SSHD_OPTS"),
    ("/etc/sysconfig/sshd", "OPTIONS"),
    ("/etc/sysconfig/ssh", "SSHD_OPTS"),
)
"""What the units and init scripts of Debian, Red Hat and SUSE add to the command line."""
_STARTED_BY_HAND: Final = ("/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local", "/etc/xinetd.d/ssh")
_SOCKET_GENERATORS: Final = (
    "/usr/lib/systemd/system-generators/sshd-socket-generator",
    "/lib/systemd/system-generators/sshd-socket-generator",
)
"""Ubuntu's, which makes the socket listen where sshd_config says."""


class SshServer(NamedTuple):
    """The facts about the SSH server."""

    program: Fact[str | None]
    start: Fact[ServiceStart]
    settings: Fact[SshSettings | None]


def read_ssh_server(tree: GuestTree, services: Services) -> SshServer:
    """Return what is known of the SSH server."""
    volume = tree.mounts["/"].volume
    return SshServer(
        attempt(lambda: _program(tree), at_path(volume, PROGRAMS[0])),
        attempt(lambda: _start(tree, services), at_path(volume, "/etc")),
        attempt(lambda: _settings(tree, services), at_path(volume, "/etc/ssh/sshd_config")),
    )


def _program(tree: GuestTree) -> Fact[str | None]:
    for path in PROGRAMS:
        place = tree.find(path)
        if place is not None and place.entry.kind == "file":
            return known(path, place.evidence())
    for path in OTHER_PROGRAMS:
        if tree.exists(path):
            raise UnsupportedFormat(f"{path} is an SSH server whose configuration is not read")
    return known(None, at_path(tree.mounts["/"].volume, PROGRAMS[0]))


def _start(tree: GuestTree, services: Services) -> Fact[ServiceStart]:
    start = services.start(*_NAMES)
    if not start.starts and services.systemd is not None:
        socket = _socket_start(services.systemd)
        start = socket if socket is not None else start
    if not start.starts:
        for path in _STARTED_BY_HAND:
            file = read_config(tree, path)
            for number, line in file.lines() if file is not None else ():
                if not line.startswith("#") and re.search(r"\bsshd?\b", line):
                    raise UnsupportedFormat(f"line {number} may start the SSH server", where=path)
    return known(start, *start.evidence)


def _socket_start(units: SystemdUnits) -> ServiceStart | None:
    """Say whether a socket starts the server at the first connection; None when no socket starts."""
    for name in _SOCKETS:
        start = units.start_unit(name)
        if not start.starts:
            continue
        for service in (name.replace(".socket", ".service"), name.replace(".socket", "@.service")):
            unit = units.unit(service)
            if unit is not None and unit.file is None:
                return msgspec.structs.replace(
                    start,
                    starts=False,
                    detail=f"{name} is enabled, and {service}, which it starts, is masked",
                    evidence=(unit.where, *start.evidence),
                )
            if unit is not None:
                return start
    return None


def _settings(tree: GuestTree, services: Services) -> Fact[SshSettings | None]:
    path, ports, where = _command_line(tree)
    config = read_sshd_config(tree, path)
    if config is None:
        return known(None, at_path(tree.mounts["/"].volume, path or "/etc/ssh/sshd_config"))
    settings, evidence = config.settings, _evidence(config)
    if ports:
        settings, evidence = msgspec.structs.replace(settings, ports=ports), (*where, *evidence)
    by_socket = _socket_ports(tree, services)
    if by_socket is not None:
        settings, evidence = msgspec.structs.replace(settings, ports=by_socket[0]), (*by_socket[1], *evidence)
    return known(settings, *evidence)


def _evidence(config: SshdConfig) -> tuple[Evidence, ...]:
    lines = (*config.wheres.get("port", ()), *config.wheres.get("listenaddress", ()))
    return tuple(dict.fromkeys(lines)) or (config.file.at(),)


def _command_line(tree: GuestTree) -> tuple[str | None, tuple[int, ...], tuple[Evidence, ...]]:
    """Return what the command line overrides: the configuration's path, and the ports."""
    for path, name in _OPTIONS:
        file = first_config(tree, path)
        option = assignments(file.text).get(name) if file is not None else None
        if file is None or option is None or not option.value:
            continue
        other = re.search(r"(?:^|\s)-f\s*(\S+)", option.value)
        ports = tuple(int(port) for port in re.findall(r"(?:^|\s)-p\s*(\d{1,5})\b", option.value))
        if re.search(r"(?:^|\s)-o\s*[\"']?(Port|ListenAddress|Include)\b", option.value, re.IGNORECASE):
            raise UnsupportedFormat(f"line {option.line} sets options of its own: {shown(option.value)}", where=path)
        return (other[1] if other else None), ports, (file.at(option.line),)
    return None, (), ()


def _socket_ports(tree: GuestTree, services: Services) -> tuple[tuple[int, ...], tuple[Evidence, ...]] | None:
    """Return the ports on which systemd listens for the server; None where the server does so itself."""
    try:
        units = services.systemd
    except ImageError:  # the fact about its start says so
        return None
    if units is None or any(tree.exists(path) for path in _SOCKET_GENERATORS):
        return None
    name = next((name for name in _SOCKETS if units.start_unit(name).starts), None)
    unit = units.unit(name) if name is not None else None
    if name is None or unit is None or unit.file is None:
        return None
    found = [(value, unit.file.at(number)) for number, value in unit.values("Socket", "ListenStream")]
    for file in units.drop_ins(unit.name):
        if re.search(r"^\s*ListenStream\s*=\s*$", file.text, re.MULTILINE):
            found = []
        found += [(value, file.at(number)) for number, value in values(file, "Socket", "ListenStream")]
    ports: list[int] = []
    for value, _ in found:
        match = re.fullmatch(r"(?:.*:)?(\d{1,5})", value)
        if match is None:
            raise CorruptStructure(f"{shown(value)} is no TCP port that a socket listens on", where=unit.file.path)
        ports.append(int(match[1]))
    return tuple(dict.fromkeys(ports)), tuple(where for _, where in found)
