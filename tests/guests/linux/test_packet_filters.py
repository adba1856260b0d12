from __future__ import annotations

import contextlib
import time

import pytest
from firewall_rules import IPTABLES, NFTABLES, Rules
from memory_filesystem import MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux import packet_filter
from imgscan.guests.linux.config_file import read_config
from imgscan.guests.linux.iptables import parse_iptables
from imgscan.guests.linux.nftables import parse_nftables
from imgscan.guests.linux.packet_filter import PacketFilter
from imgscan.model.access import Decision
from imgscan.model.fact import Fact

PATH = "/etc/rules"


def filter_of(kind: str, text: str, **files: str) -> PacketFilter:
    tree = GuestTree(
        {"/": MemoryFileSystem({PATH: text, **{f"/etc/nft/{name}.nft": each for name, each in files.items()}})}
    )
    file = read_config(tree, PATH)
    assert file is not None
    return parse_iptables([file]) if kind == "iptables" else parse_nftables(tree, [file])


def decided(rules: Rules, port: int = 22) -> Fact[Decision]:
    return filter_of(rules.kind, rules.text).decide(port)


@pytest.mark.parametrize("rules", [*IPTABLES, *NFTABLES], ids=lambda rules: f"{rules.kind}: {rules.name}")
def test_each_ruleset(rules: Rules) -> None:
    if rules.expected == "unknown":
        with pytest.raises(UnsupportedFormat):
            decided(rules)
        return
    fact = decided(rules)
    assert fact.get() == rules.expected
    lines = [getattr(piece, "line", 0) for piece in fact.evidence]
    assert (lines[-1] if lines else 0) == rules.line


def test_the_port_is_the_servers() -> None:
    text = next(rules for rules in IPTABLES if rules.name == "RHEL 6 as installed").text
    assert filter_of("iptables", text).decide(2222).get() == "block"


@pytest.mark.parametrize(
    "text",
    [
        "iptables -A INPUT -j DROP\n",
        "*filter\n-A INPUT -j DROP\n",
        "*filter\n-X\n-A INPUT nonsense\nCOMMIT\n",
        "*filter\n:\nCOMMIT\n",
        "*filter\n-A INPUT -p\nCOMMIT\n",
        '*filter\n-A INPUT -m comment --comment "open -j DROP\nCOMMIT\n',
    ],
)
def test_what_iptables_restore_refuses_is_damage(text: str) -> None:
    with pytest.raises(CorruptStructure):
        filter_of("iptables", text)


@pytest.mark.parametrize(
    "text",
    [
        "table inet filter {\n\tchain input {\n",
        "}\n",
        "table inet filter { chain input { tcp dport $missing accept; } }\n",
        'include "/etc/nft/missing.nft"\n',
        "add rule inet filter nowhere drop\n",
        "table inet filter { chain input { \\x } }\n",
    ],
)
def test_what_nft_refuses_is_damage(text: str) -> None:
    with pytest.raises(CorruptStructure):
        filter_of("nftables", text)


def test_includes_are_followed_and_named_in_the_evidence() -> None:
    text = 'table inet f { chain i { type filter hook input priority 0; policy drop; } }\ninclude "/etc/nft/*.nft"\n'
    fact = filter_of(
        "nftables", text, b="add rule inet f i drop\n", a="\nadd rule inet f i tcp dport 22 accept\n"
    ).decide(22)
    assert fact.get() == "allow"
    assert [(getattr(e, "path", ""), getattr(e, "line", 0)) for e in fact.evidence] == [("/etc/nft/a.nft", 2)]


@pytest.mark.parametrize("pattern", ["/etc/*/a.nft", "/etc/n[a-z]t/*.nft"])
def test_a_pattern_of_folders_is_not_followed(pattern: str) -> None:
    with pytest.raises(UnsupportedFormat):
        filter_of("nftables", f'include "{pattern}"\n', a="flush ruleset\n")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nftables", 'include "/etc/nft/loop.nft"\n'),
        ("nftables", "define a = $b\ndefine b = $a\ntable ip f { chain i { tcp dport $a accept; } }\n"),
        ("nftables", "".join(f"define x{n + 1} = $x{n},$x{n}\n" for n in range(64))),
        ("iptables", "*filter\n:A - [0:0]\n-A INPUT -j A\n-A A -j A\nCOMMIT\n"),
    ],
)
def test_hostile_files_end(kind: str, text: str) -> None:
    with pytest.raises(ImageError) as raised:
        filter_of(kind, text, loop='include "/etc/nft/loop.nft"\n').decide(22)
    assert isinstance(raised.value, (LimitExceeded, CorruptStructure))


def test_chains_that_jump_often_end() -> None:
    chains = "".join(f":C{n} - [0:0]\n" for n in range(30))
    jumps = "".join(f"-A C{n} -j C{n + 1}\n" * 10 for n in range(29))
    with pytest.raises(LimitExceeded):
        filter_of("iptables", f"*filter\n{chains}-A INPUT -j C0\n{jumps}COMMIT\n").decide(22)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nftables", "table ip f { chain i { } }\nadd rule ip f i tcp dport " + "{1}" * 30_000),
        ("iptables", "*filter\n" + "-I INPUT -f\n" * 20_000 + "COMMIT\n"),
        ("iptables", "*filter\n-A INPUT -p tcp --dport " + "1" * 300_000 + " -j DROP\nCOMMIT\n"),
    ],
)
def test_long_files_end_soon(kind: str, text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ImageError):
        filter_of(kind, text).decide(22)
    assert time.process_time() - started < 8  # below 2 s as a rule; what is not linear takes minutes


def test_long_values_that_are_compared_often_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_filter, "WORK", packet_filter.WORK // 10)
    chains = ":A - [0:0]\n" + "-A INPUT -j A\n" * 1000 + f"-A A -p tcp --dport {'1' * 500_000} -j DROP\n"
    with pytest.raises(LimitExceeded):
        filter_of("iptables", f"*filter\n{chains}COMMIT\n").decide(22)
    elements = ",".join(str(port) for port in range(1000, 11_000))
    rules = f"chain a {{ tcp dport {{ {elements} }} drop; }} chain i {{ type filter hook input priority 0; "
    with pytest.raises(LimitExceeded):
        filter_of("nftables", f"table ip f {{ {rules} {'jump a; ' * 1000} }} }}\n").decide(22)


def test_long_lists_that_are_compared_often_end() -> None:
    ports = ",".join(str(port) for port in range(30_000, 40_000))
    rules = f"-A INPUT -p tcp -m multiport --dports {ports} -j DROP\n" * 20
    chains = ":A - [0:0]\n-A INPUT -j A\n" + "-A INPUT -j A\n" * 50 + rules.replace("INPUT", "A")
    with pytest.raises(LimitExceeded):
        filter_of("iptables", f"*filter\n{chains}COMMIT\n").decide(22)
    elements = ",".join(str(port) for port in range(1000, 60_000))
    named = f"table ip f {{ set s {{ type inet_service; elements = {{ {elements} }} }} chain i {{ "
    with pytest.raises(LimitExceeded):
        filter_of("nftables", f"{named}{'tcp dport @s drop; ' * 1000} }} }}\n").decide(22)
