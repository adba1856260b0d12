"""The SSH server: whether there is one, whether it starts, and on which ports it listens."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.config_file import Configs, first_config, read_config
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.shell_file import assignments, shell_words
from imgscan.guests.linux.sshd_config import PORTS, read_sshd_config
from imgscan.guests.linux.systemd import SystemdUnits, Unit
from imgscan.model.access import ServiceStart, SshSettings
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

PROGRAMS: Final = ("/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd")
_WITH_USUAL_CONFIG: Final = frozenset({"/usr/sbin/sshd", "/usr/bin/sshd", "/usr/lib/ssh/sshd", "/sbin/sshd"})
"""Programs of distributions, which read /etc/ssh/sshd_config."""
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
"""What the init scripts of Debian, Red Hat and SUSE add to the command line."""
_NOT_TO_BE_RUN: Final = "/etc/ssh/sshd_not_to_be_run"
_STARTED_BY_HAND: Final = ("/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local", "/etc/xinetd.d/ssh")
_SOCKET_GENERATORS: Final = (
    "/usr/lib/systemd/system-generators/sshd-socket-generator",
    "/lib/systemd/system-generators/sshd-socket-generator",
)
"""Ubuntu's, which makes the socket listen where sshd_config says."""


class SshServer(msgspec.Struct, frozen=True):
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
    if start.starts and start.manager != "systemd":  # there its unit says so; Debian's job and script ask for it too
        mark = tree.find(_NOT_TO_BE_RUN)
        if mark is not None:
            detail = f"{_NOT_TO_BE_RUN} is there"
            start = msgspec.structs.replace(
                start, starts=False, detail=detail, evidence=(mark.evidence(), *start.evidence)
            )
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
        service = _service_of(units, name) if start.starts else None
        if service is None:
            continue
        if service.file is None:
            return msgspec.structs.replace(
                start,
                starts=False,
                detail=f"{name} is enabled, and {service.name}, which it starts, is masked",
                evidence=(service.where, *start.evidence),
            )
        return start
    return None


def _service_of(units: SystemdUnits, socket: str) -> Unit | None:
    """Return the service that a socket starts (systemd.socket(5), "Accept=" and "Service=")."""
    unit = units.unit(socket)
    if unit is None:
        return None
    named = unit.values("Socket", "Service")
    if named:
        return units.unit(named[-1].text)
    is_each = unit.last("Socket", "Accept") in {"yes", "true", "on", "1"}
    return units.unit(socket.replace(".socket", "@.service" if is_each else ".service"))


def _settings(tree: GuestTree, services: Services) -> Fact[SshSettings | None]:
    try:
        units = services.systemd
    except ImageError:  # the fact about its start says so
        units = None
    service, socket = _started_units(units) if units is not None else (None, None)
    line = _default_command_line(tree)
    if service is not None:
        line = _unit_command_line(tree, service) if service.file is not None else _CommandLine()
    config = read_sshd_config(tree, line.config, line.options, has_ports=line.has_ports)
    if config is None:
        return known(None, at_path(tree.mounts["/"].volume, line.config or "/etc/ssh/sshd_config"))
    settings = config.settings
    names = ("port", "listenaddress", "addressfamily")
    evidence: tuple[Evidence, ...] = tuple(where for name in names for where in config.wheres.get(name, ()))
    if units is not None and socket is not None and not any(tree.exists(path) for path in _SOCKET_GENERATORS):
        own = settings
        settings, evidence = _of_socket(settings, socket)
        if settings != own and units.start(*_NAMES).starts:
            raise UnsupportedFormat(
                f"{socket.name} starts beside the service, and listens elsewhere", where=socket.name
            )
    return known(settings, *(dict.fromkeys(evidence) or (config.file.at(),)))


def _started_units(units: SystemdUnits) -> tuple[Unit | None, Unit | None]:
    """Return the service that runs the server, and the socket that starts it; None where there is none."""
    socket = next((name for name in _SOCKETS if units.start_unit(name).starts), None)
    if socket is None:
        start = units.start(*_NAMES)
        return (units.unit(start.unit) if start.unit is not None else None), None
    return _service_of(units, socket), units.unit(socket)


def _of_socket(settings: SshSettings, socket: Unit) -> tuple[SshSettings, tuple[Evidence, ...]]:
    """Return the settings of a server for which systemd listens: where sshd_config lets it listen does not count."""
    ports: list[int] = []
    addresses: list[str] = []
    streams = socket.values("Socket", "ListenStream")
    if len(streams) > PORTS:
        raise LimitExceeded(f"it listens on more than {PORTS} ports", where=socket.name)
    is_only_ipv6 = socket.last("Socket", "BindIPv6Only") == "ipv6-only"
    for stream in streams:
        match = re.fullmatch(r"(?:\[([^\]]*)\]:|([0-9.]+):)?(\d{1,5})", stream.text)
        if match is None or not 0 < int(match[3]) < 65536:
            raise CorruptStructure(
                f"{shown(stream.text)} is no TCP port that a socket listens on", where=stream.file.path
            )
        ports.append(int(match[3]))
        address = match[1] or match[2] or "::"
        addresses.append("0.0.0.0" if address == "::" and not is_only_ipv6 else address)  # noqa: S104 - both families
    if not ports:
        raise CorruptStructure(f"{socket.name} listens on nothing", where=socket.name)
    anywhere = all(address == "0.0.0.0" for address in addresses)  # noqa: S104 - as above
    new = msgspec.structs.replace(
        settings,
        ports=tuple(dict.fromkeys(ports)),
        listen_addresses=() if anywhere else tuple(dict.fromkeys(addresses)),
    )
    return new, tuple(stream.where for stream in streams)


class _CommandLine(msgspec.Struct, frozen=True):
    """What a command line sets: the configuration's path, and settings before those of that file."""

    config: str | None = None
    options: tuple[tuple[str, Evidence], ...] = ()
    has_ports: bool = False


def _default_command_line(tree: GuestTree) -> _CommandLine:
    """Return what init scripts and jobs add to the command line from their files of options."""
    for path, name in _OPTIONS:
        file = first_config(tree, path)
        option = assignments(file.text).get(name) if file is not None else None
        if file is not None and option is not None and option.value:
            return _parse(_split(option.value, path), file.at(option.line), path)
    return _CommandLine()


def _unit_command_line(tree: GuestTree, service: Unit) -> _CommandLine:
    """Return what the command line of a service sets, its variables replaced.

    :raises UnsupportedFormat: it runs something else than sshd
    """
    commands = service.values("Service", "ExecStart")
    if len(commands) != 1:
        raise UnsupportedFormat(f"{service.name} runs {len(commands)} commands", where=service.name)
    (command,) = commands
    where: Evidence = command.where
    variables: dict[str, str] = {}
    for line in service.values("Service", "Environment"):
        for word in _split(line.text, line.file.path):
            name, _, value = word.partition("=")
            variables[name] = value
    if "$" in command.text:
        configs = Configs(tree)
        for line in service.values("Service", "EnvironmentFile"):
            file = configs.read(line.text.removeprefix("-"))
            values = assignments(file.text if file is not None else "")
            for variable in re.findall(r"\$\{?(\w+)", command.text):
                said = values.get(variable)
                if file is not None and said is not None:
                    variables[variable] = said.value
                    where = file.at(said.line) if said.value else where
    words: list[str] = []
    for word in _split(command.text.lstrip("-@:+!|"), command.file.path):
        if re.fullmatch(r"\$\w+", word):  # several words, or none
            words += _split(variables.get(word[1:], ""), command.file.path)
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), word))
    program = words[0] if words else ""
    found = _parse(words[1:], where, command.file.path) if program.endswith("/sshd") else None
    if found is None or (program not in _WITH_USUAL_CONFIG and found.config is None):
        raise UnsupportedFormat(f"line {command.number}: what it runs is not followed", where=command.file.path)
    return found


def _split(text: str, path: str) -> list[str]:
    try:
        return shell_words(text)
    except ValueError as error:
        raise CorruptStructure(f"its quotes do not match: {shown(text)}", where=path) from error


def _parse(words: list[str], where: Evidence, path: str) -> _CommandLine:
    """Return what sshd's options set (sshd(8))."""
    config: str | None = None
    options: list[tuple[str, Evidence]] = []
    has_ports = False
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            raise UnsupportedFormat(f"{shown(word)} on the command line is not followed", where=path)
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "46":
                options.append((f"AddressFamily inet{'6' if letter == '6' else ''}", where))
            elif letter in "bcCEfghkopu":
                value, letters = letters or next(left, ""), ""
                if letter == "f":
                    config = value
                elif letter == "p":
                    options.append((f"Port {value}", where))
                    has_ports = True
                elif letter == "o":
                    options.append((value, where))
            elif letter not in "dDeiqtTGVrR":
                raise UnsupportedFormat(f"the option -{shown(letter)} is not followed", where=path)
    return _CommandLine(config, tuple(options), has_ports)
