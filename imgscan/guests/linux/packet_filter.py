"""What a packet filter does with a new TCP connection from outside: chains of rules, walked in their order.

The connection comes from an address that no rule names, for nobody knows from where the machine will be reached, and it
is the first one (no rate is used up). So there are five answers to whether a rule matches, and three to the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from imgscan.errors import LimitExceeded, UnsupportedFormat
from imgscan.model.access import Decision
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known

DEPTH: Final = 32
"""Chains that jump into each other."""
RULES: Final = 100_000
"""Rules of one ruleset."""
WORK: Final = 500_000
"""Comparisons that all questions to one ruleset may take together."""
_LARGE_NETWORK: Final = 8
"""Bits of the prefix of a network from which on it is that of somebody."""
_RULE_COST: Final = 8
"""What meeting a rule takes, in comparisons."""


class Match(IntEnum):
    """Whether a rule matches; the larger one decides over several conditions, NO over all."""

    YES = 0
    MOST = 1
    """All but connections from certain addresses: the one that is asked about too."""
    SOME = 2
    """Connections from certain addresses only: not the one that is asked about."""
    UNSURE = 3
    """It depends on what the files do not tell."""
    NO = 4


def all_of(*conditions: Match) -> Match:
    """Return whether all conditions hold."""
    return max(conditions, default=Match.YES)


def inverted(match: Match) -> Match:
    """Return the match of a condition with a `!` in front."""
    opposites = {Match.YES: Match.NO, Match.NO: Match.YES, Match.SOME: Match.MOST, Match.MOST: Match.SOME}
    return opposites.get(match, match)


class FilterRule(msgspec.Struct, frozen=True):
    """A rule: `verdict` is `accept`, `drop`, `return`, `continue`, `jump NAME`, `goto NAME`; any other is not known."""

    match: Callable[[int], Match]
    verdict: str
    where: Evidence
    cost: int = 1
    """About how many comparisons a match takes."""


class Chain(msgspec.Struct):
    """A chain; `policy` decides at the end of one that the system calls, and is empty for others."""

    rules: list[FilterRule] = msgspec.field(default_factory=list)
    policy: str = ""
    policy_where: Evidence | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What decided: None goes on behind the chain."""

    decision: Decision
    where: Evidence | None


class PacketFilter:
    """Chains by name, and those that the system calls for incoming packets, in their order."""

    def __init__(self, chains: dict[str, Chain], hooks: list[str]) -> None:
        self._chains = chains
        self._hooks = hooks
        self._work = 0

    def decide(self, port: int) -> Fact[Decision]:
        """Say what happens to a new connection to `port`.

        :raises UnsupportedFormat: it depends on what the files do not tell, or on where the connection comes from
        :raises LimitExceeded: there are too many rules, or chains inside each other
        """
        evidence: list[Evidence] = []
        for hook in self._hooks:
            walk = _Walk(self._chains, port, self._work)
            outcome = walk.through(hook)
            self._work = walk.work
            if outcome.where is not None:
                evidence.append(outcome.where)
            if outcome.decision == "block":
                if walk.accepted_for_some:
                    raise _depends("it is accepted for certain addresses or interfaces only", walk.accepted_for_some[0])
                return known("block", *evidence)
            if walk.blocked_for_some:
                raise _depends("whether a rule blocks it cannot be told", walk.blocked_for_some[0])
            if walk.blocked_for_most:
                raise _depends("it is blocked for all but certain addresses", walk.blocked_for_most[0])
        return known("allow", *evidence)


def _depends(what: str, where: Evidence) -> UnsupportedFormat:
    return UnsupportedFormat(what, where=f"{getattr(where, 'path', '')} line {getattr(where, 'line', 0)}")


class _Walk:
    def __init__(self, chains: dict[str, Chain], port: int, work: int) -> None:
        self.accepted_for_some: list[Evidence] = []
        self.blocked_for_some: list[Evidence] = []
        self.blocked_for_most: list[Evidence] = []
        self._chains = chains
        self._port = port
        self.work = work

    def through(self, hook: str) -> Outcome:
        outcome = self._chain(hook, Match.YES, 0)
        if outcome is not None:
            return outcome
        chain = self._chains[hook]
        return Outcome("block" if chain.policy == "drop" else "allow", chain.policy_where)

    def _chain(self, name: str, certainty: Match, depth: int) -> Outcome | None:
        """Return what decides in a chain, None where it is left without a decision."""
        if depth > DEPTH:
            raise LimitExceeded(f"more than {DEPTH} chains jump into each other")
        chain = self._chains.get(name)
        if chain is None:
            raise UnsupportedFormat(f"a rule jumps to the chain {name!r}, which is not defined")
        for rule in chain.rules:
            self.work += _RULE_COST + rule.cost
            if self.work > WORK:
                raise LimitExceeded(f"following the rules takes more than {WORK} comparisons")
            matches = all_of(certainty, rule.match(self._port))
            if matches == Match.NO:
                continue
            verb, _, target = rule.verdict.partition(" ")
            if verb == "return":
                if matches in {Match.YES, Match.MOST, certainty}:
                    if matches == Match.MOST:  # what stands behind it is for certain addresses
                        self.accepted_for_some.append(rule.where)
                    return None
                if matches == Match.UNSURE:
                    certainty = Match.UNSURE  # what stands behind it may not be reached
            elif verb in {"jump", "goto"}:
                outcome = self._chain(target, matches, depth + 1)
                if outcome is not None:
                    return outcome
                if verb == "goto" and matches in {Match.YES, Match.MOST}:
                    return None
            elif verb != "continue":
                outcome = self._terminal(verb, matches, rule.where)
                if outcome is not None:
                    return outcome
        return None

    def _terminal(self, verb: str, matches: Match, where: Evidence) -> Outcome | None:
        if verb == "accept":
            if matches in {Match.YES, Match.MOST}:
                if self.blocked_for_most:  # what is left here are those few addresses
                    raise _depends("it is accepted for certain addresses only", self.blocked_for_most[0])
                return Outcome("allow", where)
            self.accepted_for_some.append(where)
        elif verb == "drop":
            if matches == Match.YES:
                return Outcome("block", where)
            if matches == Match.UNSURE:
                self.blocked_for_some.append(where)
            if matches == Match.MOST:
                self.blocked_for_most.append(where)
        else:
            if matches in {Match.YES, Match.MOST}:
                raise _depends(f"what {verb!r} does is not known", where)
            self.accepted_for_some.append(where)
            if matches == Match.UNSURE:
                self.blocked_for_some.append(where)
        return None


def matches_interface(name: str) -> Match:
    """Return whether a connection from outside comes in at an interface (`+` or `*` at its end is any rest)."""
    stem = name.rstrip("+*")
    if not stem:
        return Match.YES
    inside = (
        "lo",
        "docker",
        "br-",
        "virbr",
        "veth",
        "tun",
        "tap",
        "wg",
        "cni",
        "flannel",
        "lxc",
        "lxd",
        "podman",
        "vnet",
    )
    if stem.startswith(inside):
        return Match.NO
    return Match.UNSURE  # the migrated machine's interface may have another name


def matches_address(text: str) -> Match:
    """Return whether a connection comes from an address, or goes to it (IPv4, as text; the machine's own changes).

    Of a very large network, or a range across several, an address that is not named may well be a part.
    """
    if text in {"any", "anywhere"}:
        return Match.YES
    if text.startswith(("127.", "224.", "239.", "255.255.255.255", "ff")) or ":" in text:
        return Match.NO
    address, _, mask = text.partition("/")
    bits = _prefix(mask)
    if bits is not None and bits < _LARGE_NETWORK:
        return Match.UNSURE if bits else Match.YES
    first, is_range, last = address.partition("-")
    is_large = is_range and first.strip().partition(".")[0] != last.strip().partition(".")[0]
    return Match.UNSURE if is_large else Match.SOME


def _prefix(mask: str) -> int | None:
    """Return the length of a network's prefix, from a number or a mask of four; None where there is none."""
    parts = mask.split(".")
    if not all(part.isdecimal() and len(part) <= 3 for part in parts):
        return None
    return int(mask) if len(parts) == 1 else sum(int(part).bit_count() for part in parts)


SERVICES: Final = {
    "ssh": 22, "http": 80, "www": 80, "https": 443, "domain": 53, "smtp": 25, "ftp": 21, "telnet": 23, "ntp": 123,
    "snmp": 161, "ldap": 389, "ldaps": 636, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "mysql": 3306,
    "postgresql": 5432, "sunrpc": 111, "nfs": 2049, "microsoft-ds": 445, "netbios-ssn": 139, "bootpc": 68,
    "bootps": 67, "submission": 587, "ipp": 631, "rsync": 873, "auth": 113, "syslog": 514, "mdns": 5353,
}  # fmt: skip
"""Ports by name, as /etc/services has them."""


def matches_port(text: str, port: int, separator: str = ":") -> Match:
    """Return whether a port is one, or in the range `low:high`, in which either may be left out."""
    low, is_range, high = text.strip().partition(separator)
    first = _number(low, 0)
    last = _number(high, 65535) if is_range else first
    if first is None or last is None:
        return Match.UNSURE
    return Match.YES if first <= port <= last else Match.NO


def _number(text: str, default: int) -> int | None:
    text = text.strip()
    if text.isdecimal():
        return int(text[:6])
    return SERVICES.get(text) if text else default


def matches_source_port(text: str, separator: str = ":") -> Match:
    """Return whether a client's port, which is above 32767 as a rule, is in a range."""
    first, last = matches_port(text, 33000, separator), matches_port(text, 60000, separator)
    return first if first == last == Match.YES else Match.SOME
