"""/etc/network/interfaces and what it sources. Source: interfaces(5) of ifupdown, and those of ifenslave and vlan."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.errors import ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, names_in
from imgscan.guests.linux.network.address_commands import set_addresses
from imgscan.guests.linux.network.files import INTERFACES, Budget
from imgscan.guests.linux.network.interface_names import kind_of_name
from imgscan.model.evidence import AtPath, at_path
from imgscan.model.fact import known, unread_because
from imgscan.model.network import Interface, InterfaceKind, NetworkFile, StaticAddress
from imgscan.model.text import shown

SOURCED: Final = 64
"""Lines that source files, in all."""
_INHERITED: Final = 64
"""Options that one stanza takes over from another."""
_COMMANDS: Final = frozenset({"up", "pre-up", "post-up"})
"""Options that are commands, which run when the interface comes up."""
MAIN: Final = "/etc/network/interfaces"
_FOLDER_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class _Stanza(msgspec.Struct, frozen=True):
    """An `iface`: its name, family (inet, inet6), method, and options by name with their lines."""

    name: str
    family: str
    method: str
    line: int
    options: list[tuple[int, str, str]]


class _Read(msgspec.Struct, frozen=True):
    file: ConfigFile
    stanzas: list[_Stanza]
    automatic: list[str]


def read_ifupdown(budget: Budget) -> list[NetworkFile]:
    """Return the file and all that it sources, each with its own interfaces."""
    found: list[NetworkFile] = []
    read: list[_Read] = []
    todo, seen = [MAIN], {MAIN}
    while todo:
        path = todo.pop(0)
        where: AtPath = at_path(budget.tree.mounts["/"].volume, path)
        try:
            file = budget.read(path)
            if file is None:
                continue
            where = file.at()
            one = _Read(file, [], [])
            for more in _parse(budget, one):
                if more not in seen:
                    seen.add(more)
                    todo.append(more)
        except ImageError as error:
            found.append(NetworkFile(by="ifupdown", evidence=where, interfaces=unread_because(error, where)))
            if isinstance(error, LimitExceeded):
                break
            continue
        read.append(one)
    automatic = {name for one in read for name in one.automatic}
    return [_file(one, automatic) for one in read] + found


def _file(one: _Read, automatic: set[str]) -> NetworkFile:
    where = one.file.at()
    try:
        interfaces = tuple(_interface(stanza, one.file, automatic) for stanza in one.stanzas)
    except ImageError as error:
        return NetworkFile(by="ifupdown", evidence=where, interfaces=unread_because(error, where))
    return NetworkFile(by="ifupdown", evidence=where, interfaces=known(interfaces, where))


def _parse(budget: Budget, one: _Read) -> Iterator[str]:
    """Fill in the stanzas of a file; yield what it sources."""
    inside: _Stanza | None = None
    for number, line in _joined(one.file):
        words = line.split()
        word = words[0]
        if word == "iface":
            name, family, method = (*words[1:4], *[""] * (4 - len(words[:4])))
            inside = _Stanza(name, family, method, number, _inherited(one, words, number))
            if len(one.stanzas) >= INTERFACES:
                raise LimitExceeded(f"more than {INTERFACES} interfaces", where=shown(one.file.path))
            one.stanzas.append(inside)
        elif word == "auto" or word.startswith("allow-"):
            inside = None
            one.automatic.extend(words[1:])
        elif word in {"source", "source-directory"}:
            inside = None
            budget.sourced += 1
            if budget.sourced > SOURCED:
                raise LimitExceeded(f"more than {SOURCED} lines that source files", where=shown(one.file.path))
            for path in words[1:2]:
                yield from _sourced(budget, path, is_folder=word == "source-directory")
        elif word in {"mapping", "template", "rename"}:
            raise UnsupportedFormat(f"line {number} has a {word}, which is not followed", where=shown(one.file.path))
        elif word.startswith(("no-auto-down", "no-scripts")):
            inside = None
        elif inside is not None:
            inside.options.append((number, word.replace("_", "-"), line[len(word) :].strip()))
        else:
            raise UnsupportedFormat(f"line {number} is in no stanza", where=shown(one.file.path))


def _inherited(one: _Read, words: list[str], number: int) -> list[tuple[int, str, str]]:
    """Return the options that a stanza takes over from one before it in the same file (`inherits`), none as a rule."""
    if "inherits" not in words:
        return []
    _, _, family, *_ = (*words, "", "")
    before = (stanza for stanza in reversed(one.stanzas) if stanza.name == words[-1] and stanza.family == family)
    base = next(before, None)
    if base is None or words[4:5] != ["inherits"] or len(words) != 6 or len(base.options) > _INHERITED:
        raise UnsupportedFormat(f"line {number} inherits in a way that is not followed", where=shown(one.file.path))
    return list(base.options)


def _joined(file: ConfigFile) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, those that end in a backslash joined, by the number of the first."""
    parts: list[str] = []
    first = 0
    for number, line in file.lines():
        if not parts and (not line or line.startswith("#")):
            continue
        first = first if parts else number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield first, " ".join(parts).strip() or "#"
            parts = []
    if parts and (last := " ".join(parts).strip()):
        yield first, last


def _sourced(budget: Budget, path: str, *, is_folder: bool) -> Iterator[str]:
    if not path.startswith("/"):
        path = f"/etc/network/{path}"
    folder, _, pattern = path.rstrip("/").rpartition("/")
    if any(sign in folder for sign in "*?[$`~") or any(sign in pattern for sign in "$`~"):
        raise UnsupportedFormat(f"it sources {shown(path)}, a pattern that is not followed", where=MAIN)
    if is_folder:
        for name in names_in(budget.tree, path):
            if not set(name) - _FOLDER_NAME:
                yield f"{path.rstrip('/')}/{name}"
    elif any(sign in pattern for sign in "*?["):
        for name in names_in(budget.tree, folder):
            if fnmatch.fnmatchcase(name, pattern) and not name.startswith("."):
                yield f"{folder}/{name}"
    else:
        yield path


def _interface(stanza: _Stanza, file: ConfigFile, automatic: set[str]) -> Interface:
    name = stanza.name.partition(":")[0]
    said = {option: (number, value) for number, option, value in stanza.options}
    addresses = []
    if stanza.method in {"static", "v4tunnel", "6to4"}:
        for number, option, value in stanza.options:
            if option == "address" and value:
                prefix = said.get("netmask", (0, ""))[1]
                suffix = f"/{prefix}" if prefix.isdigit() and "/" not in value else ""
                text = shown(f"{option} {value}")
                addresses.append(StaticAddress(shown(value.split()[0] + suffix), text, file.at(number)))
    for number, option, value in stanza.options:
        if option in _COMMANDS:
            found = set_addresses(value, file.path, number)
            addresses += [StaticAddress(shown(each), shown(f"{option} {value}"), file.at(number)) for each in found]
    ports = [
        said[key][1].split() for key in ("bond-slaves", "slaves", "bridge-ports", "vlan-raw-device") if key in said
    ]
    return Interface(
        name=shown(name),
        kind=_kind(name, set(said)),
        at_boot=stanza.name in automatic or name in automatic,
        dhcp4=stanza.family == "inet" and stanza.method in {"dhcp", "bootp"},
        dhcp6=stanza.family == "inet6" and stanza.method == "dhcp",
        addresses=tuple(addresses),
        mac=shown(said["hwaddress"][1].split()[-1]) if said.get("hwaddress", (0, ""))[1] else None,
        on=tuple(shown(port) for port in (ports[0] if ports else ()) if port not in {"none", "all"}),
        evidence=(file.at(stanza.line),),
    )


def _kind(name: str, options: set[str]) -> InterfaceKind:
    if options & {"bond-slaves", "slaves", "bond-mode"}:
        return "bond"
    if "bridge-ports" in options:
        return "bridge"
    if "vlan-raw-device" in options:
        return "vlan"
    return "wireless" if any(option.startswith(("wpa-", "wireless-")) for option in options) else kind_of_name(name)
