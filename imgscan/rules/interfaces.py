"""What the rules about the network ask of a system's configuration."""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.network import Interface, StaticAddress
from imgscan.model.system import System

READS = ("systems.root", "systems.network")
"""What such a rule reads."""
NOT_IN_USE = frozenset({"loopback", "stale"})
"""Kinds of interfaces that such rules do not count."""


class Configured(msgspec.Struct, frozen=True):
    """The interfaces of all files that were read, and why a file was not (None: all were)."""

    interfaces: list[Interface]
    unread: UnreadFact | None
    where: tuple[Evidence, ...]

    def complete(self) -> None:
        """Signal that a file was not read."""
        if self.unread is not None:
            raise self.unread


def configured(system: System) -> Configured:
    """Return the interfaces but for the loopback interface, and those that are no longer there.

    :raises UnreadFact: what files there are is not known
    """
    unread: UnreadFact | None = None
    found: list[Interface] = []
    files = system.network.get()
    for file in files:
        try:
            found += [each for each in file.interfaces.get() if each.kind not in NOT_IN_USE]
        except UnreadFact as signal:
            unread = unread or signal
    where = tuple(file.evidence for file in files) or system.network.evidence
    return Configured(found, unread, where or at(system))


def at(system: System) -> tuple[Evidence, ...]:
    """Return where a system lies, for facts without evidence of their own."""
    return (AtOffset(system.root, 0, 0, "installed system"),)


def name_of(interface: Interface) -> str:
    """Return what to call an interface."""
    return interface.name or (f"the interface {interface.mac}" if interface.mac else "any interface")


def leaves_the_machine(address: StaticAddress) -> bool:
    """Whether an address is no loopback and no link-local one."""
    text = address.address.lower()
    if address.is_ipv6:
        return not text.startswith(("fe8", "fe9", "fea", "feb")) and text.partition("/")[0] not in {"::1", "::"}
    return not text.startswith("127.")
