"""Firewalls of a real Debian 12 as their own tools configure them: imgscan decides as the tool lists it."""

from __future__ import annotations

import re

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
NAME = "debian12-tools"
FROM_SOME = "--add-rich-rule=rule family=ipv4 source address=10.0.0.0/8 service name=ssh accept"
WITHOUT_SSH = ("--zone=public", "--remove-service-from-zone=ssh")
FIREWALLD: dict[str, list[tuple[str, ...]]] = {
    "as installed": [],
    "without ssh": [WITHOUT_SSH],
    "a port": [WITHOUT_SSH, ("--zone=public", "--add-port=22/tcp")],
    "ports": [WITHOUT_SSH, ("--zone=public", "--add-port=20-30/tcp")],
    "another port": [WITHOUT_SSH, ("--zone=public", "--add-port=2222/tcp")],
    "udp": [WITHOUT_SSH, ("--zone=public", "--add-port=22/udp")],
    "dropped": [("--set-default-zone=drop",)],
    "blocked": [("--set-default-zone=block",)],
    "trusted": [("--set-default-zone=trusted",)],
    "an own zone": [("--new-zone=office",), ("--zone=office", "--add-service=ssh"), ("--set-default-zone=office",)],
    "an own zone without": [("--new-zone=office",), ("--set-default-zone=office",)],
    "a target": [WITHOUT_SSH, ("--zone=public", "--set-target=ACCEPT")],
    "an own service": [
        WITHOUT_SSH,
        ("--new-service=remote",),
        ("--service=remote", "--add-port=22/tcp"),
        ("--zone=public", "--add-service=remote"),
    ],
    "from some addresses": [WITHOUT_SSH, ("--zone=public", FROM_SOME)],
    "forwarded": [("--zone=public", "--add-forward-port=port=22:proto=tcp:toport=2222")],
}


def firewalld_says(guest: RealSystem) -> str:
    """Return what firewalld's own listing of the default zone means for a new connection to TCP port 22."""
    zone = guest.run("firewall-offline-cmd", "--get-default-zone").strip()
    listed = guest.run("firewall-offline-cmd", f"--zone={zone}", "--list-all")
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in listed.splitlines())}
    if "port=22:proto=tcp" in listed.partition("forward-ports:")[2]:
        return "unknown"  # the server is not the one that answers there
    ports = said["ports"].split()
    for service in said["services"].split():
        ports += guest.run("firewall-offline-cmd", f"--service={service}", "--get-ports").split()
    if said["target"] == "ACCEPT" or any(_has_port_22(port) for port in ports):
        return "allow"
    return "unknown" if "rule" in listed.partition("rich rules:")[2] else "block"


def _has_port_22(text: str) -> bool:
    numbers, _, protocol = text.partition("/")
    first, _, last = numbers.partition("-")
    return protocol == "tcp" and int(first) <= 22 <= int(last or first)


@pytest.mark.parametrize("case", FIREWALLD)
def test_firewalld(case: str) -> None:
    with real_system(NAME) as guest:
        for command in FIREWALLD[case]:
            guest.run("firewall-offline-cmd", *command)
        (firewall,) = guest.system().firewalls.get()
        decision = firewall.decision.get() if firewall.decision.is_known else "unknown"
        assert (firewall.name, decision) == ("firewalld", firewalld_says(guest))


def test_firewalld_that_does_not_start_decides_nothing() -> None:
    with real_system(NAME) as guest:
        guest.run("firewall-offline-cmd", "--set-default-zone=drop")
        for command in ("disable", "mask"):
            guest.run("systemctl", "--root=/", command, "firewalld.service")
            assert guest.system().firewalls.get() == ()


UFW: dict[str, tuple[list[str], str]] = {
    "denied": ([], "block"),
    "a port": (["allow 22/tcp"], "allow"),
    "a name": (["allow ssh"], "allow"),
    "an application": (["allow OpenSSH"], "allow"),
    "limited": (["limit 22/tcp"], "allow"),
    "denied first": (["deny 22/tcp", "allow 20:30/tcp"], "block"),
    "allowed first": (["allow 20:30/tcp", "deny 22/tcp"], "allow"),
    "put in front": (["allow 22/tcp", "insert 1 deny 20:30/tcp"], "block"),
    "taken away": (["allow 22/tcp", "delete allow 22/tcp"], "block"),
    "from some addresses": (["allow from 10.0.0.0/8 to any port 22 proto tcp"], "unknown"),
    "by default": (["default allow incoming"], "allow"),
    "rejected": (["default allow incoming", "reject 22/tcp"], "block"),
    "another port": (["allow 2222/tcp"], "block"),
}
"""Commands, and what `ufw status` prints of them: the first rule that names the port counts, then the default."""


def ufw_says(status: str) -> str:
    """Return what `ufw status verbose` means for a new IPv4 connection to TCP port 22."""
    default = re.search(r"Default: (\w+) \(incoming\)", status)
    assert default is not None
    for line in status.partition("----\n")[2].splitlines():
        to, action, source = re.split(r"\s{2,}", line.strip())[:3] if line.strip() else ("", "", "")
        if "(v6)" in to or not to:
            continue
        numbers = re.match(r"(\d+)(?::(\d+))?(?:/tcp)?(?: \(OpenSSH\))?$", to)
        if (numbers and int(numbers[1]) <= 22 <= int(numbers[2] or numbers[1])) or to == "OpenSSH":
            if source != "Anywhere":
                return "unknown"
            return "allow" if action.startswith(("ALLOW", "LIMIT")) else "block"
    return "allow" if default[1] == "allow" else "block"


OLDER = [(name, case) for name in ("ubuntu16.04", "ubuntu18.04") for case in ("denied", "limited", "denied first")]


@pytest.mark.parametrize(("name", "case"), [*((NAME, case) for case in UFW), *OLDER])
def test_ufw(name: str, case: str) -> None:
    commands, meant = UFW[case]
    with real_system(name) as guest:
        if name == NAME:
            guest.run("systemctl", "--root=/", "disable", "firewalld.service")
        script = "; ".join(["ufw --force enable", *(f"ufw {each}" for each in commands), "ufw status verbose"])
        status = guest.run("sh", "-ec", script)
        assert ufw_says(status.partition("Status: active")[2]) == meant, status
        (firewall,) = guest.system().firewalls.get()
        decision = firewall.decision.get() if firewall.decision.is_known else "unknown"
        assert (firewall.name, decision) == ("ufw", meant)
        guest.run("sh", "-ec", "ufw --force enable; ufw disable")
        assert guest.system().firewalls.get() == ()


NFTABLES = {
    "accepted": (["add rule inet filter input tcp dport 22 accept"], "allow"),
    "a set": (["add rule inet filter input tcp dport { 80, 22, 443 } accept"], "allow"),
    "a range": (["add rule inet filter input tcp dport 1-1023 accept"], "allow"),
    "new connections": (["add rule inet filter input ct state new tcp dport ssh counter accept"], "allow"),
    "another port": (["add rule inet filter input tcp dport 80 accept"], "block"),
    "dropped first": (
        ["add rule inet filter input tcp dport 22 drop", "add rule inet filter input tcp dport 1-1023 accept"],
        "block",
    ),
    "a chain": (
        [
            "add chain inet filter services",
            "add rule inet filter services tcp dport 22 accept",
            "add rule inet filter input meta l4proto tcp jump services",
        ],
        "allow",
    ),
    "a named set": (
        [
            "add set inet filter open { type inet_service; }",
            "add element inet filter open { 22, 80 }",
            "add rule inet filter input tcp dport @open accept",
        ],
        "allow",
    ),
    "some addresses": (["add rule inet filter input ip saddr 10.0.0.0/8 tcp dport 22 accept"], "unknown"),
    "rejected": (["add rule inet filter input tcp dport 22 reject"], "block"),
    "a map": (["add rule inet filter input tcp dport vmap { 22 : accept, 80 : drop }"], "allow"),
    "a rate": (
        [
            "add rule inet filter input tcp dport 22 ct state new limit rate over 10/minute drop",
            "add rule inet filter input tcp dport 22 accept",
        ],
        "allow",
    ),
    "another table drops it": (
        [
            "add rule inet filter input tcp dport 22 accept",
            "add table ip other",
            "add chain ip other input { type filter hook input priority 10; policy drop; }",
        ],
        "block",
    ),
    "dropped before": (
        [
            "add rule inet filter input tcp dport 22 accept",
            "add table ip raw",
            "add chain ip raw prerouting { type filter hook prerouting priority -300; policy accept; }",
            "add rule ip raw prerouting tcp dport 22 drop",
        ],
        "block",
    ),
    "redirected": (
        [
            "add rule inet filter input tcp dport 22 accept",
            "add table ip nat",
            "add chain ip nat prerouting { type nat hook prerouting priority -100; }",
            "add rule ip nat prerouting tcp dport 22 redirect to :2222",
        ],
        "unknown",
    ),
    "an interface": (['add rule inet filter input iifname "ens3" tcp dport 22 accept'], "unknown"),
    "only ipv6": (["add rule inet filter input meta nfproto ipv6 tcp dport 22 accept"], "block"),
}
TABLE = [
    "add table inet filter",
    "add chain inet filter input { type filter hook input priority 0; policy drop; }",
    "add rule inet filter input ct state established,related accept",
    "add rule inet filter input iif lo accept",
]


@pytest.mark.parametrize("case", NFTABLES)
def test_nftables_as_nft_lists_its_rules(case: str) -> None:
    """The kernel's own answer to such rules is in test_packet_filters_in_kernel.py; here nft writes the file."""
    commands, meant = NFTABLES[case]
    with real_system(NAME) as guest:
        guest.run("systemctl", "--root=/", "disable", "firewalld.service")
        guest.run("systemctl", "--root=/", "enable", "nftables.service")
        rules = "\n".join([*TABLE, *commands])
        listed = guest.run("sh", "-ec", "nft -f -; nft list ruleset", text=f"{rules}\n")
        assert "chain input" in listed
        guest.write("etc/nftables.conf", f"#!/usr/sbin/nft -f\n\nflush ruleset\n\n{listed}")
        (firewall,) = guest.system().firewalls.get()
        decision = firewall.decision.get() if firewall.decision.is_known else "unknown"
        assert (firewall.name, decision) == ("nftables", meant), (listed, firewall)
