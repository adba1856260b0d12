"""A rule of Windows Firewall in the text that the registry holds: ``v2.10|Action=Allow|Active=TRUE|Dir=In|...``.

Source: [MS-GPFAS] 2.2.2 "Firewall Rule and Firewall Rule Grammar Rule". What a rule asks for and the disks do not tell
(IPsec, users, interfaces) is a condition, and so is anything that is not known here.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

_WITHOUT_MEANING: Final = frozenset({"Name", "Desc", "EmbedCtxt", "Edge", "Defer", "Platform", "Platform2"})
"""Fields that do not change which new connections a rule is about."""
_IPV4_ADDRESSES: Final = ("RA4", "RA42")
_IPV6_ADDRESSES: Final = ("RA6", "RA62")
_ANY: Final = frozenset({"*", ""})
_PROGRAM: Final = "\\system32\\svchost.exe"
"""How the path ends of what runs the service."""
_KERNEL: Final = "system"
"""What listens for Remote Desktop up to Windows 7 and Server 2008 R2; since then its service does."""
_SERVICE: Final = "termservice"
_TCP: Final = "6"
_LAST: Final = 0xFFFFFFFF
"""The last IPv4 address."""


class FirewallRule(msgspec.Struct, frozen=True):
    """What a rule says about new TCP connections to a port of Remote Desktop's service.

    `profiles` are in lower case, empty for all; `addresses` is whether it is about certain remote addresses
    only, and not all of IPv4; `conditions` are fields that leave open whether it applies.
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
    ipv4 = [value for name in _IPV4_ADDRESSES for value in fields.pop(name, [])]
    ipv6 = [value for name in _IPV6_ADDRESSES for value in fields.pop(name, [])]
    if action == "bypass":  # only for connections that IPsec authenticates
        fields["Bypass"] = [""]
    profiles = tuple(value.lower() for value in fields.pop("Profile", []) if value.lower() != "all")
    return FirewallRule(
        "block" if action == "block" else "allow",
        profiles,
        not _is_all(ipv4) if ipv4 else any(value not in _ANY for value in ipv6),
        tuple(name for name in fields if name not in _WITHOUT_MEANING),
    )


def _is_all(addresses: list[str]) -> bool:
    """Whether ranges of addresses leave out none of IPv4; names of addresses (`LocalSubnet`) are certain ones."""
    if any(value in _ANY for value in addresses):
        return True
    reached = 0
    for first, last in sorted(found for value in addresses if (found := _range(value)) is not None):
        if first > reached:
            return False
        reached = max(reached, last + 1)
    return reached > _LAST


def _range(text: str) -> tuple[int, int] | None:
    """Return the first and the last address of ``ADDRESS``, ``ADDRESS-ADDRESS``, ``ADDRESS/MASK``, ``ADDRESS/BITS``."""
    first_text, dash, last_text = text.partition("-")
    base_text, _, mask_text = text.partition("/")
    if dash:
        first, last = _number(first_text), _number(last_text)
        return (first, last) if first is not None and last is not None else None
    base, mask = _number(base_text), _number(mask_text or "255.255.255.255")
    if mask is None and mask_text.isascii() and mask_text.isdigit() and len(mask_text) < 3 and int(mask_text) <= 32:
        mask = _LAST >> (32 - int(mask_text)) << (32 - int(mask_text))
    if base is None or mask is None:
        return None
    hosts = _LAST ^ mask
    return (base & mask, base | hosts) if hosts & (hosts + 1) == 0 else None


def _number(text: str) -> int | None:
    parts = text.strip().split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    return int.from_bytes(numbers, "big") if max(numbers) < 256 else None


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
    programs = {value.lower() for value in fields.pop("App", [])}
    service = {value.lower() for value in fields.pop("Svc", [])}
    is_listening = all(each.endswith(_PROGRAM) or (in_kernel and each == _KERNEL) for each in programs)
    return is_listening and service <= {"*", _SERVICE}
