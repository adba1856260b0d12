from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_linux_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.network import Interface, NetworkFile

RULE = "multiple-network-interfaces"


def network(*interfaces: Interface) -> Any:
    where = AtPath("disk0/p1", "/etc/sysconfig/network-scripts/ifcfg-eth0")
    return known(tuple(NetworkFile(by="ifcfg", evidence=where, interfaces=known((each,))) for each in interfaces))


ETH0, ETH1 = Interface(name="eth0"), Interface(name="eth1", at_boot=False)
LO, ANY = Interface(name="lo", kind="loopback"), Interface(name=None)
BOND = Interface(name="bond0", kind="bond", on=("eth0", "eth1"))
BRIDGE = Interface(name="br0", kind="bridge", on=("eth0",))
VLAN = Interface(name="eth0.5", kind="vlan", on=("eth0",))


@pytest.mark.parametrize(
    ("interfaces", "expected"),
    [
        ((), "pass"),
        ((ETH0,), "pass"),
        ((ETH0, LO), "pass"),
        ((ETH0, ETH0), "pass"),
        ((ETH0, ETH1), "fail"),
        ((BOND,), "fail"),
        ((BRIDGE, ETH0), "pass"),
        ((VLAN, ETH0), "pass"),
        ((ANY,), "pass"),
        ((ANY, ETH0), "pass"),
        ((Interface(name="bond0"), BOND), "fail"),
        ((Interface(name="br0"), BRIDGE), "pass"),  # another file speaks of the bridge by its name
        ((Interface(name=None, mac="00:11:22:33:44:55"), ETH0), "fail"),
        ((Interface(name="wlan0", kind="wireless"), ETH0), "fail"),
        ((Interface(name="Ethernet1", kind="stale"), ETH0), "pass"),
        ((Interface(name="Team", kind="other"), ETH0), "pass"),
    ],
)
def test_counts(interfaces: tuple[Interface, ...], expected: str) -> None:
    assert outcome(RULE, a_linux_machine(network=network(*interfaces))) == expected


def test_the_names_are_shown() -> None:
    assert (
        answer(RULE, a_linux_machine(network=network(ETH0, ETH1))).summary == "2 interfaces are configured: eth0, eth1"
    )
    assert outcome(RULE, a_linux_machine(network=lost())) == "unknown"
