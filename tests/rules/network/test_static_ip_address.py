from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_kernel, a_linux_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.network import Interface, NetworkFile, StaticAddress

RULE = "static-ip-address"
LINE = AtPath("disk0/p1", "/etc/network/interfaces", 9)


def network(*interfaces: Interface) -> Any:
    where = AtPath("disk0/p1", "/etc/network/interfaces")
    return known((NetworkFile(by="ifupdown", evidence=where, interfaces=known(interfaces)),))


def with_address(address: str, **fields: Any) -> Interface:
    return Interface(name="eth0", addresses=(StaticAddress(address, f"address {address}", LINE),), **fields)


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (Interface(name="eth0", dhcp4=True), "pass"),
        (with_address("10.0.0.5/24"), "fail"),
        (with_address("10.0.0.5", at_boot=False), "fail"),
        (with_address("fd00::5/64"), "pass"),
        (with_address("127.0.0.2"), "pass"),
        (with_address("10.0.0.5", kind="loopback"), "pass"),
        (with_address("10.0.0.5", kind="stale"), "pass"),
        (with_address("10.0.0.5", kind="other"), "fail"),
    ],
)
def test_addresses(interface: Interface, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(network=network(interface))) == expected


def test_the_line_is_shown() -> None:
    result = answer(RULE, a_linux_machine(network=network(with_address("10.0.0.5/24"))))
    assert (result.summary, result.evidence) == ("eth0 has the address 10.0.0.5/24", (LINE,))


def test_what_was_not_read_is_no_pass() -> None:
    where = AtPath("disk0/p1", "/etc/netplan/x.yaml")
    files = (NetworkFile(by="netplan", evidence=where, interfaces=lost()), *network(with_address("10.0.0.5")).get())
    assert outcome(RULE, a_linux_machine(network=known(files[:1]))) == "unknown"
    assert outcome(RULE, a_linux_machine(network=known(files))) == "fail"
    assert outcome(RULE, a_linux_machine(network=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(network=known(()))) == "pass"


@pytest.mark.parametrize(
    ("arguments", "ipv4", "ipv6"),
    [
        ("ro ip=10.0.0.5::10.0.0.1:255.255.255.0::eth0:off", "fail", "pass"),
        ("ro ip=[2001:db8::5]::[2001:db8::1]:64::eth0:none", "pass", "fail"),
        ("ro ip=dhcp", "pass", "pass"),
        ("ro ip=eth0:dhcp ip=:::::eth1:dhcp", "pass", "pass"),
        ("ro", "pass", "pass"),
    ],
)
def test_the_command_line_of_the_default_entry(arguments: str, ipv4: str, ipv6: str) -> None:
    place = AtPath("disk0/p1", "/boot/grub/grub.cfg", 117)
    machine = a_linux_machine(default_kernel=known(a_kernel(arguments=arguments, evidence=(place,))))
    assert (outcome(RULE, machine), outcome("ipv6-configured", machine)) == (ipv4, ipv6)
    if ipv4 == "fail":
        assert answer(RULE, machine).evidence == (place,)
    assert outcome(RULE, a_linux_machine(default_kernel=lost(), menu=lost())) == "unknown"
