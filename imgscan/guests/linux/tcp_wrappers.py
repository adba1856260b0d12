"""TCP wrappers: hosts.allow and hosts.deny, for an SSH server that is linked with libwrap.

Sources: hosts_access(5), hosts_options(5). The first line of hosts.allow that matches grants, else the first of
hosts.deny refuses, else access is granted; an option `allow` or `deny` at the end of a line has the last word.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, read_config
from imgscan.guests.linux.packet_filter import Match
from imgscan.model.access import Firewall
from imgscan.model.evidence import Evidence
from imgscan.model.fact import known

_FILES: Final = ("/etc/hosts.allow", "/etc/hosts.deny")
_PROGRAM_PIECE: Final = 64 * 1024
_PROGRAM_BYTES: Final = 4 * 1024 * 1024
"""Of a server's program searched for the library's name."""
_LIBRARY: Final = b"\0libwrap.so"
_SESSION_PROGRAMS: Final = ("/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session")
"""OpenSSH 9.8 and later handle a connection in a program of their own."""


class _Line(NamedTuple):
    match: Match
    grants: bool
    where: Evidence


def read_tcp_wrappers(tree: GuestTree, program: str) -> Firewall | None:
    """Return what TCP wrappers do with a connection to the SSH server; None when they do not stand in its way.

    :raises UnsupportedFormat: it is granted to certain clients only
    :raises ImageError: a file cannot be read
    """
    some: _Line | None = None
    for path in _FILES:
        file = read_config(tree, path)
        for line in _lines(file, path.endswith("allow")) if file is not None else ():
            if line.match == Match.NO:
                continue
            if line.match != Match.YES:
                some = some or (line if line.grants else None)
                continue
            if line.grants or not _is_linked(tree, program):
                return None
            if some is not None:
                where = f"{getattr(some.where, 'path', path)} line {getattr(some.where, 'line', 0)}"
                raise UnsupportedFormat("access is granted to certain clients only", where=where)
            return Firewall(name="tcp-wrappers", decision=known("block", line.where), detail="hosts.deny refuses it")
    return None


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
    text, first = "", 0
    for number, line in file.lines():
        first = first if text else number
        text += line
        if text.endswith("\\"):
            text = text[:-1]
            continue
        whole, text = text, ""
        if not whole or whole.startswith("#"):
            continue
        daemons, clients, *options = (*re.split(r"(?<!\\):", whole), "")
        if not _means_sshd(daemons):
            continue
        said = [option.strip().lower() for option in options]
        is_granted = "deny" not in said and (grants or "allow" in said)
        found.append(_Line(_clients(clients), is_granted, file.at(first)))
    return found


def _means_sshd(daemons: str) -> bool:
    named, _, excepted = re.sub(r"[,\s]+", " ", daemons).strip().partition(" EXCEPT ")
    names = {word.partition("@")[0] for word in named.split()}
    return bool(names & {"ALL", "sshd"}) and "sshd" not in excepted.split()


def _clients(text: str) -> Match:
    """Return whether a list of clients means one that no line names."""
    named = re.sub(r"[,\s]+", " ", text).strip().partition(" EXCEPT ")[0].split()
    return Match.YES if "ALL" in named else Match.SOME if named else Match.NO
