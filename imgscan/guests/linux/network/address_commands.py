"""Addresses that a command gives an interface. Sources: ip-address(8) of iproute2, ifconfig(8) of net-tools."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from imgscan.errors import UnsupportedFormat
from imgscan.model.text import shown

_ADD: Final = ("add", "change", "replace")
_HEX: Final = frozenset("0123456789abcdefABCDEF:.")
_NOT_AN_ADDRESS: Final = frozenset({"netmask", "broadcast", "-broadcast", "dstaddr", "pointopoint", "hw", "ether",
                                    "del", "tunnel", "mtu", "metric"})  # fmt: skip
"""Words of ifconfig in front of what is no address of the interface."""


def set_addresses(command: str, path: str, line: int) -> list[str]:
    """Return the addresses that a line of a shell sets by ip or ifconfig.

    :raises UnsupportedFormat: it sets one that is not told, such as a variable
    """
    for sign in ";&|(){}":
        command = command.replace(sign, "\n")
    found: list[str] = []
    for part in command.split("\n"):
        words = part.replace('"', "").replace("'", "").split()
        for at, word in enumerate(words):
            name = word.rpartition("/")[2]
            if name not in {"ip", "ifconfig"}:
                continue
            rest = words[at + 1 :]
            for text in _by_ip(rest) if name == "ip" else _by_ifconfig(rest):
                if not _is_address(text):
                    raise UnsupportedFormat(
                        f"line {line} sets the address {shown(text)}, which is not followed", where=path
                    )
                if text.partition("/")[0] not in {"0.0.0.0", "::"}:  # noqa: S104 - no address at all
                    found.append(text)
            break
    return found


def _by_ip(words: list[str]) -> list[str]:
    """Return what `ip address add` sets."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in {"-f", "-family", "-n", "-netns"} else 1
    if not words[at:] or not "address".startswith(words[at]):
        return []
    rest = words[at + 1 :]
    if not rest or not any(each.startswith(rest[0]) for each in _ADD):
        return []
    if rest[1:2] == ["dev"]:  # in any order
        rest = [rest[0], *rest[3:]]
    if rest[1:2] == ["local"]:
        rest = [rest[0], *rest[2:]]
    return rest[1:2] or [""]


def _by_ifconfig(words: list[str]) -> list[str]:
    """Return what `ifconfig INTERFACE ADDRESS` sets: words of its form, and variables."""
    return [
        word
        for before, word in pairwise(words)
        if before not in _NOT_AN_ADDRESS and (_is_address(word) or word.startswith(("$", "`")))
    ]


def _is_address(text: str) -> bool:
    address = text.partition("/")[0]
    return not set(address) - _HEX and (address.count(":") >= 2 or address.count(".") == 3)
