"""TCP wrappers: hosts.allow and hosts.deny, for an SSH server that is linked with libwrap.

Sources: hosts_access(5), hosts_options(5). The first line of hosts.allow that matches grants, else the first of
hosts.deny refuses, else access is granted; an option `allow` or `deny` at the end of a line has the last word. Names
and keywords are in any case.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, read_config
from imgscan.guests.linux.packet_filter import Match, inverted, matches_address
from imgscan.model.access import Firewall
from imgscan.model.evidence import Evidence
from imgscan.model.fact import known

LINES: Final = 50_000
"""Lines of a file; tools that refuse attackers write tens of thousands."""
_FILES: Final = ("/etc/hosts.allow", "/etc/hosts.deny")
_PROGRAM_PIECE: Final = 64 * 1024
_PROGRAM_BYTES: Final = 4 * 1024 * 1024
"""Of a server's program searched for the library's name."""
_LIBRARY: Final = b"\0libwrap.so"
_SESSION_PROGRAMS: Final = ("/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session")
"""OpenSSH 9.8 and later handle a connection in a program of their own."""


class _Line(msgspec.Struct, frozen=True):
    match: Match
    grants: bool
    where: Evidence


def read_tcp_wrappers(tree: GuestTree, program: str) -> Firewall | None:
    """Return what TCP wrappers do with a connection to the SSH server; None when they do not stand in its way.

    :raises UnsupportedFormat: it is granted to certain clients only, or depends on what the files do not tell
    :raises ImageError: a file cannot be read
    """
    files = [(read_config(tree, path), path.endswith("allow")) for path in _FILES]
    lines = [line for file, grants in files if file is not None for line in _lines(file, grants)]
    lines = [line for line in lines if line.match != Match.NO]
    if not lines or not _is_linked(tree, program):
        return None
    some: _Line | None = None
    for line in lines:
        if line.match == Match.UNSURE:
            raise _depends("whether this line means a client cannot be told", line)
        if line.match == Match.SOME:
            some = some or (line if line.grants else None)
            continue
        if line.grants:
            return None
        if some is not None or line.match == Match.MOST:
            raise _depends("access is granted to certain clients only", some or line)
        return Firewall(name="tcp-wrappers", decision=known("block", line.where), detail="hosts.deny refuses it")
    return None


def _depends(what: str, line: _Line) -> UnsupportedFormat:
    where = line.where
    return UnsupportedFormat(what, where=f"{getattr(where, 'path', '')} line {getattr(where, 'line', 0)}")


def _is_linked(tree: GuestTree, program: str) -> bool:
    """Whether the server's program names libwrap among the libraries that it needs."""
    for path in (program, *_SESSION_PROGRAMS):
        place = tree.find(path)
        if place is None or place.entry.kind != "file":
            continue
        before = b""
        for offset in range(0, min(place.entry.size, _PROGRAM_BYTES), _PROGRAM_PIECE):
            piece = place.filesystem.read(place.entry.node, offset, _PROGRAM_PIECE)
            if _LIBRARY in before + piece:
                return True
            before = piece[-len(_LIBRARY) :]
    return False


def _lines(file: ConfigFile, grants: bool) -> list[_Line]:
    found: list[_Line] = []
    for number, line in file.joined_lines():
        if not line or line.startswith("#"):
            continue
        if number > LINES:
            raise LimitExceeded(f"there are more than {LINES} lines", where=file.path)
        fields: list[str] = re.split(r"(?<!\\):", line) if "\\" in line else line.split(":")
        daemons, clients, *options = [*fields, ""]
        if _means(daemons, _daemon) == Match.NO:
            continue
        said = [option.strip().lower() for option in options]
        runs_more = any(
            re.match(r"twist|aclexec", option) or (grants and option.startswith("spawn")) for option in said
        )
        is_granted = "deny" not in said and (grants or "allow" in said)
        match = Match.UNSURE if runs_more else _means(clients, _client)
        found.append(_Line(match, is_granted, file.at(number)))
    return found


def _means(text: str, means: Callable[[str], Match]) -> Match:
    """Return whether a list means what is asked for: `A B EXCEPT C EXCEPT D` is (A, B without (C without D))."""
    groups: list[list[str]] = [[]]
    for word in text.lower().replace(",", " ").split():
        if word == "except":
            groups.append([])
        else:
            groups[-1].append(word)
    match = Match.NO
    for words in reversed(groups):
        match = max(min((means(word) for word in words), default=Match.NO), inverted(match))
    return match


def _daemon(word: str) -> Match:
    name = word.partition("@")[0]
    is_pattern = "*" in name or "?" in name
    return Match.YES if name in {"all", "sshd"} or (is_pattern and fnmatch.fnmatchcase("sshd", name)) else Match.NO


def _client(word: str) -> Match:
    """Return whether a pattern means a client that no line names."""
    name = word.rpartition("@")[2]
    if name in {"all", "*"}:
        return Match.YES
    if name.startswith("/") or name == "known" or "*" in name or "?" in name:  # a list in a file; who has a name
        return Match.UNSURE
    return matches_address(name) if name[:1].isdigit() else Match.SOME
