"""Rules of nftables, as far as they say something of a new TCP connection by IPv4.

Source: nft(8), "Expressions", "Statements". A condition that is not known here makes its rule unsure, never a match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.nftables_script import ScriptChain, Table, Token, read_script
from imgscan.guests.linux.packet_filter import (
    RULES,
    WORK,
    Chain,
    FilterRule,
    Match,
    PacketFilter,
    all_of,
    inverted,
    matches_address,
    matches_interface,
    matches_port,
    matches_source_port,
)

_HOOKS: Final = ("ingress", "prerouting", "input")
_OTHER_PROTOCOLS: Final = frozenset(
    {"udp", "icmp", "icmpv6", "icmp6", "sctp", "udplite", "dccp", "esp", "ah", "comp", "igmp", "ip6", "arp", "vlan"}
)
"""Headers that a TCP connection by IPv4 does not have."""
_STATEMENTS_WITH_A_WORD: Final = frozenset(
    {"prefix", "level", "group", "snaplen", "queue-threshold", "packets", "bytes", "name", "comment", "burst", "with"}
)
_ENDS: Final = frozenset(
    {"accept", "drop", "reject", "return", "continue", "jump", "goto", "queue", "dnat", "snat", "redirect",
     "masquerade", "tproxy", "synproxy"}
)  # fmt: skip
_TCP_FLAGS: Final = frozenset({"syn", "ack", "fin", "rst", "urg", "psh", "ecn", "cwr"})

_TEXT: Final = 16
"""Characters that are compared in one go."""
Condition = Callable[[int], Match]
Test = Callable[[str, int], Match]
"""Compares one element of a value with what the connection has, which may be its port."""


def parse_nftables(tree: GuestTree, files: Sequence[ConfigFile]) -> PacketFilter:
    """Return the rules that scripts load one after the other; raises as `read_script`."""
    chains: dict[str, Chain] = {}
    hooks: list[tuple[int, int, str]] = []
    count = 0
    for (family, name), table in read_script(tree, files).items():
        if family not in {"ip", "inet", "netdev"} or table.is_dormant:
            continue
        for chain_name, chain in table.chains.items():
            count += len(chain.rules)
            if count > RULES:
                raise LimitExceeded(f"there are more than {RULES} rules", where=files[0].path)
            prefix = f"{family} {name}/"
            chains[f"{prefix}{chain_name}"] = _chain(chain, table, prefix)
            if chain.hook in _HOOKS:
                hooks.append((_HOOKS.index(chain.hook), chain.priority, f"{prefix}{chain_name}"))
    return PacketFilter(chains, [name for _, _, name in sorted(hooks)])


def _chain(chain: ScriptChain, table: Table, prefix: str) -> Chain:
    rules = [rule for words in chain.rules for rule in _Rule(words, table, prefix).rules()]
    return Chain(rules, "drop" if chain.policy == "drop" else "accept", chain.policy_where)


class _Value(msgspec.Struct, frozen=True):
    """The right side of a comparison: its elements, and whether it is compared with `!=`; a map has verdicts."""

    elements: list[str]
    is_not: bool
    verdicts: list[tuple[str, str]] | None
    operator: str


class _Rule:
    """One rule, read from the left."""

    def __init__(self, words: list[Token], table: Table, prefix: str) -> None:
        self._words = words
        self._table = table
        self._prefix = prefix
        self._at = 0
        self._conditions: list[Condition] = []
        self._maps: list[tuple[Condition, str]] | None = None
        self._compared = 0

    def rules(self) -> list[FilterRule]:
        """Return the rule; one with a verdict map is one for each of its entries."""
        where = self._words[0].where
        verdict = "continue"
        while self._at < len(self._words) and self._maps is None:
            word = self._next()
            if word in _ENDS:
                verdict = self._verdict(word)
                break
            self._read(word)
        cost = 1 + len(self._conditions) + self._compared
        if self._maps is not None:
            return [FilterRule(_both([*self._conditions, each]), verdict, where, cost) for each, verdict in self._maps]
        return [FilterRule(_both(self._conditions), verdict, where, cost)]

    def _next(self) -> str:
        if self._at >= len(self._words):
            return ""
        self._at += 1
        return self._words[self._at - 1].text

    def _peek(self) -> str:
        return self._words[self._at].text if self._at < len(self._words) else ""

    def _verdict(self, word: str) -> str:
        if word in {"jump", "goto"}:
            return f"{word} {self._prefix}{self._next()}"
        return {"reject": "drop"}.get(word, word)

    def _read(self, word: str) -> None:
        if word in {"meta", "ct", "ip", "tcp", "th", "ether"}:
            self._compare(f"{word} {self._next()}")
        elif word in {"iif", "iifname", "iifgroup", "oif", "oifname", "mark", "pkttype", "skuid", "l4proto", "nfproto"}:
            self._compare(f"meta {word}")
        elif word in _OTHER_PROTOCOLS:
            self._next()
            self._value()
            self._add(Match.NO)
        elif word == "fib":
            self._fib()
        elif word == "limit":
            self._limit()
        elif word in {"add", "update", "delete", "meter"}:
            self._dynamic_set()
        elif word in {"counter", "log"}:
            while self._peek() in _STATEMENTS_WITH_A_WORD or self._peek() in {"flags", "all"}:
                self._next()
                self._next()
        elif word == "comment":
            self._next()
        elif word == "quota":
            self._add(Match.NO if self._peek() == "over" else Match.YES)
            self._skip_to_end()
        elif word not in {"notrack", "flow"}:
            self._add(Match.UNSURE)
            self._skip_to_end()

    def _skip_to_end(self) -> None:
        """Skip to the verdict, past what is not known here."""
        depth = 0
        while self._at < len(self._words):
            text = self._peek()
            depth += {"{": 1, "}": -1}.get(text, 0)
            if depth == 0 and text in _ENDS:
                return
            self._at += 1

    def _add(self, match: Match) -> None:
        self._conditions.append(lambda _: match)

    def _limit(self) -> None:
        """`limit rate [over] 10/minute [burst 5 packets]`: the first connection is below the rate."""
        self._next()
        is_over = self._peek() == "over"
        self._next() if is_over else None
        self._next()
        if self._peek() == "burst":
            self._next(), self._next(), self._next()
        self._add(Match.NO if is_over else Match.YES)

    def _dynamic_set(self) -> None:
        """`add @name { ip saddr limit rate over 3/minute }`, `meter name { ... }`: the first connection is below it."""
        texts: list[str] = []
        while self._peek() and self._peek() != "{":
            self._next()
        if self._peek() == "{":
            texts = self._braces()
        self._add(Match.NO if "over" in texts else Match.YES)

    def _fib(self) -> None:
        """`fib daddr type local`, `fib saddr . iif oif missing`."""
        keys: list[str] = []
        while self._peek() in {"saddr", "daddr", "mark", "iif", "oif", "oifname", "type", "."}:
            keys.append(self._next())
        value = self._value()
        if keys[-1:] == ["type"] and "daddr" in keys:
            self._test(value, lambda text, _: Match.YES if text == "local" else Match.NO)
        elif keys[-1:] == ["type"]:
            self._test(value, lambda text, _: Match.YES if text == "unicast" else Match.NO)
        else:  # an address that the machine can answer has a route
            absent = {"missing", "0"}
            self._test(value, lambda text, _: Match.NO if text in absent else Match.YES)

    def _compare(self, key: str) -> None:
        if self._peek() == "set":  # `meta mark set 1` changes the packet
            self._at += 2
            return
        if self._peek() == ".":  # several fields at once
            while self._peek() == ".":
                self._next(), self._next(), self._next()
            self._value()
            self._add(Match.UNSURE)
            return
        if key == "tcp flags":
            self._flags()
            return
        if key == "ct count":
            is_over = self._peek() == "over"
            self._next() if is_over else None
            number = self._next()
            self._add(Match.NO if is_over and number != "0" else Match.YES)
            return
        value = self._value()
        test = _TESTS.get(key)
        if test is None:
            self._add(Match.UNSURE)
        elif value.operator in {"<", ">", "<=", ">="}:
            self._ordered(key, value)
        elif value.operator == "&":
            self._add(Match.UNSURE)
        else:
            self._test(value, test)

    def _ordered(self, key: str, value: _Value) -> None:
        number = value.elements[0] if value.elements else ""
        if key not in {"tcp dport", "th dport"} or not number.isdecimal():
            self._add(Match.UNSURE)
            return
        limit, operator = int(number[:6]), value.operator

        def holds(port: int) -> Match:
            by_operator = {"<": port < limit, ">": port > limit, "<=": port <= limit, ">=": port >= limit}
            return Match.YES if by_operator[operator] else Match.NO

        self._conditions.append(holds)

    def _test(self, value: _Value, test: Test) -> None:
        """Compare what the connection has with the elements of a value, or with the keys of a verdict map."""
        if value.verdicts is not None:
            maps: list[tuple[Condition, str]] = []
            for key, verdict in value.verdicts:
                word, _, target = verdict.partition(" ")
                result = f"{word} {self._prefix}{target}" if target else {"reject": "drop"}.get(word, word)
                maps.append((_one(test, key), result))
            self._maps = maps
            return

        def holds(port: int) -> Match:
            match = min((test(element, port) for element in value.elements), default=Match.NO)
            return inverted(match) if value.is_not else match

        self._conditions.append(holds)

    def _flags(self) -> None:
        """`tcp flags syn`, `tcp flags & (fin | syn) == syn`, `tcp flags syn / syn, ack`: the packet has SYN only."""
        texts: list[str] = []
        while self._peek() in _TCP_FLAGS | {"&", "|", "(", ")", "==", "!=", ",", "/", "{", "}", "0", "0x0"}:
            texts.append(self._next())
        text = " ".join(texts)
        match = Match.UNSURE
        if "/" in texts:
            value, mask = (frozenset(part.split()) & _TCP_FLAGS for part in text.split("/", 1))
            match = Match.YES if mask & {"syn"} == value else Match.NO
            match = inverted(match) if "!=" in texts else match
        elif texts[:1] == ["&"]:
            mask_text, is_not, value_text = text.partition("!=" if "!=" in texts else "==")
            mask, value = (frozenset(part.split()) & _TCP_FLAGS for part in (mask_text, value_text))
            match = Match.YES if (mask & {"syn"} == value) == (is_not != "!=") else Match.NO
        elif texts[:1] in (["=="], ["!="]):
            is_syn = frozenset(texts) & _TCP_FLAGS == {"syn"}
            match = Match.YES if is_syn == (texts[0] == "==") else Match.NO
        elif texts:
            match = Match.YES if "syn" in texts else Match.NO
        self._add(match)

    def _value(self) -> _Value:
        operator = ""
        if self._peek() in {"==", "!=", "<", ">", "<=", ">=", "&", "eq", "ne", "lt", "gt", "and", "vmap"}:
            operator = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "and": "&"}.get(self._peek(), self._peek())
            self._next()
        if operator == "&":
            self._skip_to_end()
            return _Value([], False, None, operator)
        texts = self._elements()
        self._compared += sum(1 + len(text) // _TEXT for text in texts)
        if operator == "vmap":
            return _Value([], False, _verdict_map(texts), operator)
        elements = [" ".join(group) for group in _groups(texts)]
        return _Value(elements, operator == "!=", None, operator)

    def _elements(self) -> list[str]:
        text = self._peek()
        if text == "{":
            return self._braces()
        if text.startswith("@"):
            self._next()
            elements = self._table.sets.get(text[1:], [])
            self._table.compared += len(elements)
            if self._table.compared > WORK:
                raise LimitExceeded(f"the rules compare with more than {WORK} elements of sets")
            return [token.text for token in elements]
        texts = [self._next()]
        while self._peek() == ",":
            texts += [self._next(), self._next()]
        return texts

    def _braces(self) -> list[str]:
        depth, texts = 0, list[str]()
        while self._at < len(self._words):
            text = self._next()
            depth += {"{": 1, "}": -1}.get(text, 0)
            if depth == 0:
                break
            if text not in {"{", "}"}:
                texts.append(text)
        return texts


def _one(test: Test, key: str) -> Condition:
    return lambda port: Match.YES if key == "_" else test(key, port)


def _both(conditions: Sequence[Condition]) -> Condition:
    return lambda port: all_of(*(condition(port) for condition in conditions))


def _groups(texts: list[str]) -> list[list[str]]:
    """Split at commas; what describes an element (`timeout 1h`, `comment "x"`, `counter`) is left out."""
    groups: list[list[str]] = [[]]
    for text in texts:
        if text == ",":
            groups.append([])
        else:
            groups[-1].append(text)
    described = {"timeout", "expires", "comment", "counter"}
    cut = [group[: next((at for at, text in enumerate(group) if text in described), len(group))] for group in groups]
    return [group for group in cut if group]


def _verdict_map(texts: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for group in _groups(texts):
        if ":" in group:
            at = group.index(":")
            found.append((" ".join(group[:at]), " ".join(group[at + 1 :])))
    return found


def _port(text: str, port: int) -> Match:
    return matches_port(text.strip('"').replace(" ", ""), port, "-")


def _address(text: str, _: int) -> Match:
    return matches_address(text.strip('"'))


_TESTS: Final[dict[str, Test]] = {
    "tcp dport": _port,
    "th dport": _port,
    "tcp sport": lambda text, _: matches_source_port(text, "-"),
    "th sport": lambda text, _: matches_source_port(text, "-"),
    "ip saddr": _address,
    "ip daddr": _address,
    "ip protocol": lambda text, _: Match.YES if text in {"tcp", "6"} else Match.NO,
    "ip version": lambda text, _: Match.YES if text == "4" else Match.NO,
    "ether saddr": lambda *_: Match.SOME,
    "meta l4proto": lambda text, _: Match.YES if text in {"tcp", "6"} else Match.NO,
    "meta nfproto": lambda text, _: Match.YES if text in {"ipv4", "2"} else Match.NO,
    "meta protocol": lambda text, _: Match.YES if text in {"ip", "ipv4"} else Match.NO,
    "meta iif": lambda text, _: matches_interface(text.strip('"')),
    "meta iifname": lambda text, _: matches_interface(text.strip('"')),
    "meta oif": lambda *_: Match.NO,
    "meta oifname": lambda *_: Match.NO,
    "meta pkttype": lambda text, _: Match.YES if text in {"host", "unicast"} else Match.NO,
    "ct state": lambda text, _: Match.YES if text == "new" else Match.NO,
    "ct direction": lambda text, _: Match.YES if text in {"original", "0"} else Match.NO,
    "ct status": lambda *_: Match.NO,
}
"""What the connection has for each field, compared with one element."""
