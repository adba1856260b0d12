from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_linux_machine, a_windows_machine, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.network import Interface, NetworkFile, StaticAddress

RULE = "ipv6-configured"
WHERE = AtPath("disk0/p1", "/etc/netplan/x.yaml", 3)


def network(interface: Interface) -> Any:
    return known((NetworkFile(by="netplan", evidence=WHERE, interfaces=known((interface,))),))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:db8::5/64", "fail"),
        ("FD00::5", "fail"),
        ("fe80::1/64", "pass"),
        ("FEBF::1", "pass"),
        ("::1/128", "pass"),
        ("10.0.0.5/24", "pass"),
    ],
)
def test_addresses(address: str, expected: str) -> None:
    interface = Interface(name="eth0", addresses=(StaticAddress(address, address, WHERE),))
    assert outcome(RULE, a_linux_machine(network=network(interface))) == expected


def test_dhcp() -> None:
    assert outcome(RULE, a_linux_machine(network=network(Interface(name="eth0", dhcp4=True)))) == "pass"
    assert outcome(RULE, a_linux_machine(network=network(Interface(name="eth0", dhcp6=True)))) == "fail"
    assert outcome(RULE, a_linux_machine(network=lost())) == "unknown"


def test_windows_where_ipv6_is_off() -> None:
    fixed = network(Interface(name="LAN", addresses=(StaticAddress("2001:db8::5", "", WHERE),)))
    assert outcome(RULE, a_windows_machine(network=fixed)) == "fail"
    assert outcome(RULE, a_windows_machine(network=fixed, ipv6_disabled=known(True))) == "pass"
    assert outcome(RULE, a_windows_machine(ipv6_disabled=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(network=lost())) == "unknown"
