from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_linux_machine, a_windows_machine, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.network import Interface, NetworkFile, StaticAddress

RULE = "dhcp-client-disabled"
WHERE = AtPath("disk0/p1", "/etc/network/interfaces")
DHCP = Interface(name="eth0", dhcp4=True)
FIXED = Interface(name="eth0", addresses=(StaticAddress("10.0.0.5", "address 10.0.0.5", WHERE),))


def network(*interfaces: Interface) -> Any:
    return known((NetworkFile(by="ifupdown", evidence=WHERE, interfaces=known(interfaces)),), WHERE)


@pytest.mark.parametrize(
    ("client", "interfaces", "expected"),
    [
        ("/sbin/dhclient", (DHCP,), "pass"),
        (None, (DHCP,), "fail"),
        (None, (FIXED,), "fail"),
        ("/sbin/dhclient", (FIXED,), "pass"),  # the importer replaces it
        ("/sbin/dhclient", (), "fail"),
        ("/sbin/dhclient", (Interface(name="lo", kind="loopback"),), "fail"),
        ("NetworkManager.service", (), "pass"),
        ("systemd-networkd.service", (), "fail"),
    ],
)
def test_clients(client: str | None, interfaces: tuple[Interface, ...], expected: str) -> None:
    machine = a_linux_machine(dhcp_client=known(client, WHERE), network=network(*interfaces))
    assert outcome(RULE, machine) == expected


def test_what_was_not_read_is_no_pass() -> None:
    assert outcome(RULE, a_linux_machine(dhcp_client=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(network=lost())) == "unknown"
    unread = NetworkFile(by="netplan", evidence=WHERE, interfaces=lost())
    assert outcome(RULE, a_linux_machine(network=known((unread,)))) == "unknown"


def test_windows_asks_for_the_service_alone() -> None:
    assert outcome(RULE, a_windows_machine(dhcp_client=known("the service Dhcp"))) == "pass"
    assert outcome(RULE, a_windows_machine(dhcp_client=known(None))) == "fail"
    assert outcome(RULE, a_windows_machine(dhcp_client=lost(), network=lost())) == "unknown"
