"""sshd_config as OpenSSH's server reads it.

Source: sshd_config(5): keywords in any case, arguments in double quotes, the first value of a keyword counts but for
those that add up, Match blocks end with the next one or with their file, Include takes patterns, those without a
slash in front from /etc/ssh. A Match block holds for some connections only; `Match all` for every one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, Configs, first_config
from imgscan.guests.linux.sshd_keywords import KEYWORDS
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
NAMES: Final = 4096
"""Users or groups that one keyword names."""
_ADD_UP: Final = frozenset({"port", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups"})
_WANTED: Final = _ADD_UP | {"permitrootlogin", "passwordauthentication", "addressfamily"}
_READ: Final = _WANTED | {"match", "include"}
_WORD: Final = re.compile(r'"([^"]*)"|([^\s"]+)')


class Setting(msgspec.Struct, frozen=True):
    """A keyword in lower case with its arguments."""

    keyword: str
    arguments: tuple[str, ...]
    where: Evidence


class SshdConfig(msgspec.Struct, frozen=True):
    """The settings, and the lines that made them; `wheres` are by keyword in lower case."""

    settings: SshSettings
    wheres: dict[str, tuple[Evidence, ...]]
    file: ConfigFile


def read_sshd_config(
    tree: GuestTree,
    path: str | None = None,
    options: Sequence[tuple[str, Evidence]] = (),
    *,
    has_ports: bool = False,
) -> SshdConfig | None:
    """Return what the server is configured with, None when it has no configuration.

    `options` are settings of the command line, which come before those of the file; with `has_ports` (`-p`), the
    file's own ports do not count.

    :raises CorruptStructure: a line is not as the server would take it, so that it would not start
    :raises ImageError: a file cannot be read, or is no text
    """
    file = first_config(tree, *(PATHS if path is None else (path,)))
    if file is None:
        return None
    reader = _Reader(tree)
    for text, where in options:
        reader.option(text, where)
    reader.has_ports = has_ports
    reader.read(file, 0, active=True)
    found = reader.settings
    wheres = {name: tuple(each.where for each in of_name) for name, of_name in found.items()}

    def words(keyword: str) -> tuple[str, ...]:
        of_keyword = [word for each in found.get(keyword, ()) for word in each.arguments]
        if len(of_keyword) > NAMES:
            raise LimitExceeded(f"{keyword} names more than {NAMES}", where=file.path)
        return tuple(shown(word) for word in of_keyword)

    def first(keyword: str) -> str | None:
        return next((word.lower() for word in words(keyword)), None)

    ports = tuple(dict.fromkeys(_port(each, each.arguments[0]) for each in found.get("port", ())))
    addresses, own_ports = _listen_addresses(found.get("listenaddress", []))
    addresses = _of_family(first("addressfamily"), addresses, file)
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
        if len(setting.arguments) > 1:
            raise UnsupportedFormat("the routing domain of an address is not followed", where=_place(setting.where))
        match = re.fullmatch(r"\[([^\]]*)\](?::(\w+))?|([^:]*):(\w+)", text)
        if match is None:
            addresses.append(shown(text))
            continue
        addresses.append(shown(match[1] or match[3]))
        if match[2] or match[4]:
            ports.append(_port(setting, match[2] or match[4]))
    return tuple(addresses), ports


def _of_family(family: str | None, addresses: tuple[str, ...], file: ConfigFile) -> tuple[str, ...]:
    """Return the addresses that are left of a family (AddressFamily)."""
    if family in {None, "any"}:
        return addresses
    if family not in {"inet", "inet6"}:
        raise CorruptStructure(f"{shown(str(family))} is no family of addresses", where=file.path)
    is_wrong = [(":" in address) != (family == "inet6") and address[:1].isdigit() for address in addresses]
    if any(is_wrong) or (family == "inet" and any(":" in address for address in addresses)):
        raise CorruptStructure("it listens on an address of another family than it may", where=file.path)
    return addresses or (("::",) if family == "inet6" else ("0.0.0.0",))  # noqa: S104 - what it is told


def _place(where: Evidence) -> str:
    return f"{getattr(where, 'path', '')}:{getattr(where, 'line', 0)}"


class _Reader:
    def __init__(self, tree: GuestTree) -> None:
        self.settings: dict[str, list[Setting]] = {}
        self.has_ports = False
        self._configs = Configs(tree)
        self._lines = 0
        self._files = 0

    def option(self, text: str, where: Evidence) -> None:
        """Take a line of the command line."""
        setting = self._setting(text, where)
        if setting is None or setting.keyword in {"match", "include"}:
            raise UnsupportedFormat(f"the option {shown(text)} is not followed", where=_place(where))
        self._add(setting)

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
            if not line or line.startswith("#"):
                continue
            setting = self._setting(line, file.at(number))
            if setting is None:
                raise CorruptStructure(f"line {number} is no setting: {shown(line[:80])}", where=file.path)
            if setting.keyword == "match":
                active = [word.lower() for word in setting.arguments] == ["all"]
            elif setting.keyword == "include":
                for pattern in setting.arguments:
                    for path in self._configs.matching(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                        included = self._configs.read(path)
                        if included is not None:
                            self.read(included, depth + 1, active=active)
            elif active:
                self._add(setting)

    def _add(self, setting: Setting) -> None:
        if setting.keyword == "port" and self.has_ports:
            return
        if setting.keyword in _WANTED and (setting.keyword in _ADD_UP or setting.keyword not in self.settings):
            self.settings.setdefault(setting.keyword, []).append(setting)

    @staticmethod
    def _setting(line: str, where: Evidence) -> Setting | None:
        """Return a line as a setting, None when it is none; those that are not wanted have no arguments."""
        match = re.match(r"([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+|$)", line)
        if match is None:
            return None
        keyword = match[1].lower()
        if keyword not in KEYWORDS:
            raise UnsupportedFormat(f"{shown(match[1])} is no keyword that is known", where=_place(where))
        if keyword not in _READ:
            return Setting(keyword, (), where)
        arguments = _words(line[match.end() :])
        if not arguments:
            raise CorruptStructure(f"there is no value for {match[1]}", where=_place(where))
        return Setting(keyword, tuple(arguments), where)


def _words(text: str) -> list[str]:
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match[1] if match[1] is not None else match[2]
        if match[1] is None and word.startswith("#"):
            break
        words.append(word)
    return words
