"""Rules as iptables-save writes them and iptables-restore loads them.

Sources: iptables-save(8), iptables(8), iptables-extensions(8). A table begins with ``*name`` and ends with ``COMMIT``;
``:CHAIN POLICY [packets:bytes]`` declares a chain, ``-A CHAIN conditions -j TARGET`` adds a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.guests.linux.packet_filter import (
    RULES,
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
from imgscan.guests.linux.shell_file import shell_words
from imgscan.model.text import shown

_HOOKS: Final = ("raw/PREROUTING", "mangle/PREROUTING", "nat/PREROUTING", "mangle/INPUT", "filter/INPUT")
"""The chains that a packet for this host meets, in their order."""
_DROPS: Final = frozenset({"DROP", "REJECT", "TARPIT", "STEAL"})
_GO_ON: Final = frozenset(
    {"LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "TRACE", "TCPMSS", "CT", "NOTRACK", "SET", "AUDIT", "CLASSIFY", "TOS",
     "DSCP", "TTL", "CONNSECMARK", "SECMARK", "CHECKSUM", "TCPOPTSTRIP", "RATEEST", "ACCOUNT"}
)  # fmt: skip
_COMMANDS: Final = frozenset({"-A", "--append", "-I", "--insert", "-P", "--policy", "-N", "--new-chain"})
_IGNORED: Final = frozenset({"-F", "-X", "-Z", "--flush", "--delete-chain", "--zero"})
_TCP_FLAGS: Final = frozenset({"SYN", "ACK", "FIN", "RST", "URG", "PSH"})
_TAKES_NONE: Final = frozenset(
    {"--syn", "-f", "--fragment", "--set", "--rcheck", "--update", "--remove", "--rttl", "--rsource", "--rdest",
     "--log-tcp-sequence", "--log-tcp-options", "--log-ip-options", "--log-uid", "--limit-iface-in",
     "--limit-iface-out", "--physdev-is-in", "--physdev-is-out", "--physdev-is-bridged", "--socket-exists",
     "--hashlimit-rate-match", "--clamp-mss-to-pmtu", "--save-mark", "--restore-mark", "--connlimit-saddr",
     "--connlimit-daddr", "--strict", "--next", "--random", "--persistent", "--transparent", "--nowildcard",
     "--validmark", "--loose", "--invert", "--accept-local", "--contiguous", "--kerneltz", "--every-packet",
     "--notrack", "--reap", "--icase"}
)  # fmt: skip
"""Options without an argument."""
_CONDITIONS: Final = frozenset(
    {"-p", "--protocol", "--proto", "-s", "--source", "--src", "-d", "--destination", "--dst", "-i", "--in-interface",
     "-m", "--match", "--dport", "--destination-port", "--dports", "--destination-ports", "--ports", "--sport",
     "--source-port", "--sports", "--source-ports", "--state", "--ctstate", "--syn", "--tcp-flags", "--dst-type",
     "--src-type", "--pkt-type", "-f", "--fragment", "--connlimit-above", "--src-range", "--match-set", "--mac-source",
     "--icmp-type", "--limit", "--limit-burst", "--rcheck", "--update", "--set", "--hitcount", "--seconds", "--name"}
)  # fmt: skip
"""Options that are a rule's conditions also behind its target."""
_QUOTES: Final = frozenset("\"'\\")
_TEXT: Final = 16
"""Characters that are compared in one go."""
_INSERTED: Final = 10_000
"""Rules that are put before others (-I); iptables-save writes none."""
_TAKES_TWO: Final = frozenset({"--tcp-flags", "--match-set"})


def parse_iptables(files: Iterable[ConfigFile]) -> PacketFilter:
    """Return the rules of files that are loaded one after the other into the same tables.

    :raises CorruptStructure: a line is none that iptables-restore takes, so that it would load nothing
    :raises LimitExceeded: there are more than `RULES` rules
    """
    chains: dict[str, Chain] = {hook: Chain() for hook in _HOOKS}
    for file in files:
        add_iptables(file, chains)
    return packet_filter(chains)


def packet_filter(chains: dict[str, Chain]) -> PacketFilter:
    """Return chains of iptables, by `table/CHAIN`, as a filter."""
    return PacketFilter(chains, [hook for hook in _HOOKS if chains[hook].rules or chains[hook].policy])


def new_chains() -> dict[str, Chain]:
    """Return the chains that a kernel has."""
    return {hook: Chain() for hook in _HOOKS}


def add_iptables(file: ConfigFile, chains: dict[str, Chain]) -> None:
    """Add a file's rules to `chains`, by `table/CHAIN`; raises as `parse_iptables`."""
    table, count = "", 0
    for number, line in file.lines():
        count += 1
        if count > RULES:
            raise LimitExceeded(f"there are more than {RULES} lines", where=file.path)
        if not line or line.startswith("#"):
            continue
        if line.startswith("*"):
            table = line[1:].strip()
        elif not table:
            raise _wrong(file, number, line)
        elif line == "COMMIT":
            table = ""
        elif line.startswith(":"):
            words = line[1:].split()
            if not words:
                raise _wrong(file, number, line)
            policy = {"DROP": "drop", "ACCEPT": "accept"}.get(words[1] if len(words) > 1 else "", "")
            chains[f"{table}/{words[0]}"] = Chain(policy=policy, policy_where=file.at(number))
        else:
            _add_rule(file, number, line, table, chains)
    if table:
        raise CorruptStructure(f"the table {shown(table)} has no COMMIT at its end", where=file.path)


def _wrong(file: ConfigFile, number: int, line: str) -> CorruptStructure:
    return CorruptStructure(f"line {number} is no line of iptables-save: {shown(line[:80])}", where=file.path)


def _add_rule(file: ConfigFile, number: int, line: str, table: str, chains: dict[str, Chain]) -> None:
    if line.startswith("["):  # counters of packets and bytes
        line = line.partition("]")[2]
    try:
        words = line.split() if _QUOTES.isdisjoint(line) else shell_words(line)
    except ValueError:
        words = []
    if words and words[0] in _IGNORED:
        return
    if len(words) < 2 or words[0] not in _COMMANDS:
        raise _wrong(file, number, line)
    command, name, *rest = words
    chain = chains.setdefault(f"{table}/{name}", Chain())
    if command in {"-P", "--policy"}:
        chain.policy = "drop" if rest[:1] == ["DROP"] else "accept"
        chain.policy_where = file.at(number)
    elif command not in {"-N", "--new-chain"}:
        at = 0 if command in {"-I", "--insert"} else len(chain.rules)
        if at == 0 and rest and rest[0].isdecimal():
            at = max(0, int(rest.pop(0)[:6]) - 1)
        if at < len(chain.rules) > _INSERTED:
            raise LimitExceeded(f"a rule is put before more than {_INSERTED} others", where=file.path)
        chain.rules.insert(at, _rule(file, number, table, rest, chains))


def _rule(file: ConfigFile, number: int, table: str, words: list[str], chains: dict[str, Chain]) -> FilterRule:
    conditions: list[Callable[[int], Match]] = []
    verdict = "continue"
    at, negated, has_target = 0, False, False
    options: list[tuple[str, bool, list[str]]] = []
    while at < len(words):
        word = words[at]
        at += 1
        if word == "!":
            negated = True
            continue
        if word in {"-j", "--jump", "-g", "--goto"}:
            target = words[at] if at < len(words) else ""
            verdict = _verdict(table, target, word in {"-g", "--goto"}, chains)
            at, has_target = at + 1, True
            continue
        if not word.startswith("-"):
            raise _wrong(file, number, " ".join(words))
        takes = 0 if word in _TAKES_NONE else 2 if word in _TAKES_TWO else 1
        arguments = words[at : at + takes]
        if arguments[:1] == ["!"]:  # iptables before 1.4.3 wrote it behind the option
            negated = True
            arguments = words[at + 1 : at + 1 + takes]
            at += 1
        if len(arguments) < takes:
            raise _wrong(file, number, " ".join(words))
        at += takes
        if has_target and word not in _CONDITIONS:
            negated = False  # the target's own option
            continue
        if word not in {"-m", "--match"}:
            options.append((word, negated, arguments))
        negated = False
    for option, is_not, arguments in options:
        conditions.append(_condition(option, is_not, arguments))
    cost = 1 + sum(1 + value.count(",") + len(value) // _TEXT for _, _, values in options for value in values)
    return FilterRule(_both(conditions), verdict, file.at(number), cost)


def _both(conditions: Sequence[Callable[[int], Match]]) -> Callable[[int], Match]:
    return lambda port: all_of(*(condition(port) for condition in conditions))


def _verdict(table: str, target: str, is_goto: bool, chains: dict[str, Chain]) -> str:
    if target == "ACCEPT":
        # in other tables it only ends that table
        return "accept"
    if target in _DROPS:
        return "drop"
    if target == "RETURN":
        return "return"
    if target in _GO_ON:
        return "continue"
    if f"{table}/{target}" in chains:
        return f"{'goto' if is_goto else 'jump'} {table}/{target}"
    return target or "continue"


def _condition(option: str, negated: bool, arguments: list[str]) -> Callable[[int], Match]:
    value = arguments[0] if arguments else ""
    if option in {"--dport", "--destination-port"}:
        return lambda port: _if(negated, matches_port(value, port))
    if option in {"--dports", "--destination-ports", "--ports"}:
        return lambda port: _if(negated, _any(matches_port(each, port) for each in value.split(",")))
    found = _if(negated, _fixed(option, value, arguments))
    return lambda _: found


def _if(negated: bool, match: Match) -> Match:
    return inverted(match) if negated else match


def _any(matches: Iterable[Match]) -> Match:
    return min(matches, default=Match.NO)


_ALWAYS: Final = frozenset(
    {"--comment", "--limit", "--limit-burst", "--set", "--name", "--rsource", "--rdest", "--mask", "--seconds",
     "--hitcount", "--reap", "--rttl", "--hashlimit", "--hashlimit-upto", "--hashlimit-burst", "--hashlimit-mode",
     "--hashlimit-name", "--hashlimit-srcmask", "--hashlimit-dstmask", "--hashlimit-htable-expire",
     "--hashlimit-htable-size", "--hashlimit-htable-max", "--hashlimit-htable-gcinterval",
     "--connlimit-mask", "--connlimit-saddr", "--connlimit-daddr", "-c", "--set-counters"}
)  # fmt: skip


def _fixed(option: str, value: str, arguments: list[str]) -> Match:
    """Return the match of a condition that does not ask for the port."""
    if option in _ALWAYS:
        return Match.YES
    if option in {"-p", "--protocol", "--proto"}:
        return Match.YES if value.lower() in {"tcp", "6", "all", "0"} else Match.NO
    if option in {"-s", "--source", "--src", "-d", "--destination", "--dst"}:
        return _any(matches_address(each) for each in value.split(","))
    if option in {"-i", "--in-interface"}:
        return matches_interface(value)
    if option in {"--sport", "--source-port"}:
        return matches_source_port(value)
    if option in {"--sports", "--source-ports"}:
        return _any(matches_source_port(each) for each in value.split(","))
    if option in {"--state", "--ctstate"}:
        return Match.YES if "NEW" in value.upper().split(",") else Match.NO
    if option == "--syn":
        return Match.YES
    if option == "--tcp-flags":
        mask, compared = (_flags(each) for each in arguments)
        return Match.YES if mask & {"SYN"} == compared else Match.NO
    if option == "--dst-type":
        return Match.YES if "LOCAL" in value.upper().split(",") else Match.NO
    if option == "--pkt-type":
        return Match.YES if value.lower() in {"unicast", "host"} else Match.NO
    if option in {"--connlimit-above", "--connlimit-upto"}:
        return Match.YES if (option == "--connlimit-above") == (value == "0") else Match.NO
    if option in {"-f", "--fragment", "--hashlimit-above", "--icmp-type", "--tcp-option"}:
        return Match.NO
    if option in {"--src-range", "--dst-range"}:
        return matches_address(value)
    if option in {"--match-set", "--mac-source", "--source-country", "--src-cc", "--rcheck", "--update", "--remove"}:
        return Match.SOME  # of `recent` those that were there before
    return Match.UNSURE


def _flags(text: str) -> frozenset[str]:
    names = frozenset(text.upper().split(","))
    return _TCP_FLAGS if "ALL" in names else names - {"NONE"}
