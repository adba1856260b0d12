"""A rule of Windows Firewall in the text that the registry holds: ``v2.10|Action=Allow|Active=TRUE|Dir=In|...``.

Source: [MS-GPFAS] 2.2.2 "Firewall Rule and Firewall Rule Grammar Rule". What a rule asks for and the disks do not tell
(IPsec, users, interfaces) is a condition, and so is anything that is not known here.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

_WITHOUT_MEANING: Final = frozenset({"Name", "Desc", "EmbedCtxt", "Edge", "Defer", "Platform", "Platform2"})
"""Fields that do not change which new connections a rule is about."""
_ADDRESSES: Final = ("RA4", "RA6", "RA42", "RA62")
_PROGRAM: Final = "svchost.exe"
_KERNEL: Final = "system"
"""What listens for Remote Desktop up to Windows 7 and Server 2008 R2; since then its service does."""
_SERVICE: Final = "termservice"
_TCP: Final = "6"


class FirewallRule(msgspec.Struct, frozen=True):
    """What a rule says about new TCP connections to a port of Remote Desktop's service.

    `profiles` are in lower case, empty for all; `addresses` is whether it is about certain remote addresses only;
    `conditions` are fields that leave open whether it applies.
    """

    action: Literal["allow", "block"]
    profiles: tuple[str, ...]
    addresses: bool
    conditions: tuple[str, ...]


def parse_rule(text: str, port: int, *, in_kernel: bool) -> FirewallRule | None:
    """Return a rule, None for one that is not about such connections (or is not active).

    `in_kernel` is whether the kernel may be what listens.

    :raises ValueError: the text is no rule
    """
    version, *parts = text.split("|")
    fields: dict[str, list[str]] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            fields.setdefault(name, []).append(value.strip())
    if not version.startswith("v") or "Action" not in fields or "Dir" not in fields:
        raise ValueError(version[:32])
    action, active = fields.pop("Action")[0].lower(), fields.pop("Active", ["FALSE"])[0].upper()
    if fields.pop("Dir")[0].lower() != "in" or active != "TRUE":
        return None
    if fields.pop("Protocol", [_TCP])[0] not in {_TCP, "256", "*"}:
        return None
    if not _has_port(fields, port) or not _is_of_service(fields, in_kernel=in_kernel) or "AppPkgId" in fields:
        return None
    if action not in {"allow", "block", "bypass"}:
        raise ValueError(action[:32])
    addresses = [fields.pop(name) for name in _ADDRESSES if name in fields]
    if action == "bypass":  # only for connections that IPsec authenticates
        fields["Bypass"] = [""]
    profiles = tuple(value.lower() for value in fields.pop("Profile", []) if value.lower() != "all")
    return FirewallRule(
        "block" if action == "block" else "allow",
        profiles,
        any(value not in {"*", ""} for values in addresses for value in values),
        tuple(name for name in fields if name not in _WITHOUT_MEANING),
    )


def _has_port(fields: dict[str, list[str]], port: int) -> bool:
    """Whether the rule is about a port; names of ports (`RPC`) are none of Remote Desktop's."""
    names = [name for name in fields if name.startswith("LPort")]
    ports = [value for name in names for value in fields.pop(name)]
    return not names or any(_is_in(port, value) for value in ports)


def _is_in(port: int, text: str) -> bool:
    first, dash, last = text.partition("-")
    if text == "*":
        return True
    if not (first.isascii() and first.isdigit() and len(first) < 6):
        return False
    if not dash:
        return int(first) == port
    return last.isascii() and last.isdigit() and len(last) < 6 and int(first) <= port <= int(last)


def _is_of_service(fields: dict[str, list[str]], *, in_kernel: bool) -> bool:
    """Whether the rule is about the program and service that listen for Remote Desktop."""
    programs = {value.lower().rpartition("\\")[2] for value in fields.pop("App", [])}
    service = {value.lower() for value in fields.pop("Svc", [])}
    return programs <= {_PROGRAM, *((_KERNEL,) if in_kernel else ())} and service <= {"*", _SERVICE}
