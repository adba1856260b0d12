"""sshd_config as OpenSSH's server reads it.

Source: sshd_config(5): keywords in any case, arguments in double quotes, the first value of a keyword counts but for
those that add up, Match blocks end with the next one or with their file, Include takes patterns, those without a
slash in front from /etc/ssh. A Match block holds for some connections only; `Match all` for every one.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile, first_config, names_in, read_config
from imgscan.model.access import SshSettings
from imgscan.model.evidence import Evidence
from imgscan.model.text import shown

PATHS: Final = ("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")
"""The administrator's file, and the vendor's of systems that keep /etc empty."""
INCLUDE_DEPTH: Final = 16
"""Files inside each other, as OpenSSH allows."""
FILES: Final = 1024
"""Files that are included."""
PORTS: Final = 256
"""Ports of one server, as OpenSSH allows."""
LINES: Final = 100_000
"""Lines of all files together."""
_ADD_UP: Final = frozenset({"port", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups"})
_WANTED: Final = _ADD_UP | {"permitrootlogin", "passwordauthentication"}
_WORD: Final = re.compile(r'"([^"]*)"|([^\s"]+)')


class Setting(NamedTuple):
    """A keyword in lower case with its arguments."""

    keyword: str
    arguments: tuple[str, ...]
    where: Evidence


class SshdConfig(NamedTuple):
    """The settings, and the lines that made them; `wheres` are by keyword in lower case."""

    settings: SshSettings
    wheres: dict[str, tuple[Evidence, ...]]
    file: ConfigFile


def read_sshd_config(tree: GuestTree, path: str | None = None) -> SshdConfig | None:
    """Return what the server is configured with, None when it has no configuration.

    :raises CorruptStructure: a line is not as the server would take it, so that it would not start
    :raises ImageError: a file cannot be read, or is no text
    """
    file = first_config(tree, *(PATHS if path is None else (path,)))
    if file is None:
        return None
    reader = _Reader(tree)
    reader.read(file, 0, active=True)
    found = reader.settings
    wheres = {name: tuple(each.where for each in of_name) for name, of_name in found.items()}

    def words(keyword: str) -> tuple[str, ...]:
        return tuple(shown(word) for each in found.get(keyword, ()) for word in each.arguments)

    def first(keyword: str) -> str | None:
        return next((word.lower() for word in words(keyword)), None)

    ports = tuple(dict.fromkeys(_port(each, each.arguments[0]) for each in found.get("port", ())))
    addresses, own_ports = _listen_addresses(found.get("listenaddress", []))
    if own_ports:
        ports = tuple(dict.fromkeys((*own_ports, *((ports or (22,)) if len(own_ports) < len(addresses) else ()))))
        wheres["port"] = (*wheres.get("listenaddress", ()), *wheres.get("port", ()))
    if len(ports) > PORTS:
        raise LimitExceeded(f"it listens on more than {PORTS} ports", where=file.path)
    settings = SshSettings(
        ports=ports or (22,),
        listen_addresses=addresses,
        permit_root_login=first("permitrootlogin"),
        password_authentication=first("passwordauthentication"),
        allow_users=words("allowusers"),
        deny_users=words("denyusers"),
        allow_groups=words("allowgroups"),
        deny_groups=words("denygroups"),
    )
    return SshdConfig(settings, wheres, file)


def _port(setting: Setting, text: str) -> int:
    if text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536:
        return int(text)
    if text.lower() == "ssh":
        return 22
    raise CorruptStructure(f"{shown(text)} is no port", where=_place(setting.where))


def _listen_addresses(settings: list[Setting]) -> tuple[tuple[str, ...], list[int]]:
    """Return the addresses, and the ports that are given with them (`host:port`, `[address]:port`)."""
    addresses: list[str] = []
    ports: list[int] = []
    for setting in settings:
        text = setting.arguments[0]
        match = re.fullmatch(r"\[([^\]]*)\](?::(\w+))?|([^:]*):(\w+)", text)
        if match is None:
            addresses.append(shown(text))
            continue
        addresses.append(shown(match[1] or match[3]))
        if match[2] or match[4]:
            ports.append(_port(setting, match[2] or match[4]))
    return tuple(addresses), ports


def _place(where: Evidence) -> str:
    return f"{getattr(where, 'path', '')}:{getattr(where, 'line', 0)}"


class _Reader:
    def __init__(self, tree: GuestTree) -> None:
        self.settings: dict[str, list[Setting]] = {}
        self._tree = tree
        self._lines = 0
        self._files = 0

    def read(self, file: ConfigFile, depth: int, *, active: bool) -> None:
        if depth > INCLUDE_DEPTH:
            raise LimitExceeded(f"more than {INCLUDE_DEPTH} files include each other", where=file.path)
        self._files += 1
        if self._files > FILES:
            raise LimitExceeded(f"more than {FILES} files are included", where=file.path)
        for number, line in file.lines():
            self._lines += 1
            if self._lines > LINES:
                raise LimitExceeded(f"the configuration has more than {LINES} lines", where=file.path)
            match = re.match(r"([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+|$)", line)
            if match is None:
                if line and not line.startswith("#"):
                    raise CorruptStructure(f"line {number} is no setting: {shown(line[:80])}", where=file.path)
                continue
            keyword = match[1].lower()
            if keyword not in _WANTED and keyword not in {"match", "include"}:
                continue
            arguments = _words(line[match.end() :])
            if not arguments:
                raise CorruptStructure(f"line {number} has no value for {match[1]}", where=file.path)
            if keyword == "match":
                active = [word.lower() for word in arguments] == ["all"]
            elif keyword == "include":
                for path in self._included(arguments):
                    included = read_config(self._tree, path)
                    if included is not None:
                        self.read(included, depth + 1, active=active)
            elif active and (keyword in _ADD_UP or keyword not in self.settings):
                setting = Setting(keyword, tuple(arguments), file.at(number))
                self.settings.setdefault(keyword, []).append(setting)

    def _included(self, patterns: list[str]) -> list[str]:
        paths: list[str] = []
        for pattern in patterns:
            path = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
            folder, _, name = path.rpartition("/")
            if not re.search(r"[*?\[]", name):
                paths.append(path)
                continue
            found = names_in(self._tree, folder)
            paths += [
                f"{folder}/{each}"
                for each in found
                if fnmatch.fnmatchcase(each, name) and (not each.startswith(".") or name.startswith("."))
            ]
        return paths


def _words(text: str) -> list[str]:
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match[1] if match[1] is not None else match[2]
        if match[1] is None and word.startswith("#"):
            break
        words.append(word)
    return words
