"""Network configuration that nmcli and netplan wrote: what was asked of them is read, and what netplan generates."""

from __future__ import annotations

import re

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

from imgscan.guests.linux.network import read_network
from imgscan.model.network import Interface, NetworkFile

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
CONNECTIONS = "etc/NetworkManager/system-connections"
STATIC = ["ipv4.method", "manual", "ipv4.addresses", "10.0.0.5/24,10.0.0.6/25", "ipv4.gateway", "10.0.0.1"]
MAC = "52:54:00:12:34:56"
NMCLI: dict[str, tuple[list[str], Interface]] = {
    "dhcp": (["type", "ethernet", "ifname", "ens3"], Interface(name="ens3", dhcp4=True)),
    "static": (["type", "ethernet", "ifname", "ens3", *STATIC], Interface(name="ens3")),
    "by address": (
        ["type", "ethernet", "ifname", "*", "ethernet.mac-address", MAC],
        Interface(name=None, dhcp4=True, mac=MAC),
    ),
    "not by itself": (
        ["type", "ethernet", "ifname", "ens3", "connection.autoconnect", "no"],
        Interface(name="ens3", dhcp4=True, at_boot=False),
    ),
    "ipv6 by dhcp": (
        ["type", "ethernet", "ifname", "ens3", "ipv6.method", "dhcp", "ipv4.method", "disabled"],
        Interface(name="ens3", dhcp6=True),
    ),
    "bond": (
        ["type", "bond", "ifname", "bond0", "mode", "active-backup"],
        Interface(name="bond0", kind="bond", dhcp4=True),
    ),
    "bridge": (["type", "bridge", "ifname", "br0"], Interface(name="br0", kind="bridge", dhcp4=True)),
    "vlan": (
        ["type", "vlan", "ifname", "ens3.5", "dev", "ens3", "id", "5"],
        Interface(name="ens3.5", kind="vlan", dhcp4=True, on=("ens3",)),
    ),
}


def network_of(guest: RealSystem, by: str) -> list[NetworkFile]:
    return [file for file in read_network(guest.tree).get() if file.by == by]


@pytest.mark.parametrize("case", NMCLI)
def test_keyfiles_of_nmcli(case: str) -> None:
    arguments, expected = NMCLI[case]
    with real_system("debian12-tools") as guest:
        text = guest.run("nmcli", "--offline", "connection", "add", "con-name", "lan", *arguments)
        guest.write(f"{CONNECTIONS}/lan.nmconnection", text)
        (file,) = network_of(guest, "networkmanager")
        (found,) = file.interfaces.get()
        for field in ("name", "kind", "at_boot", "dhcp4", "dhcp6", "mac", "on"):
            assert getattr(found, field) == getattr(expected, field), (field, text)
        addresses = ["10.0.0.5/24", "10.0.0.6/25"] if case == "static" else []
        assert [each.address for each in found.addresses] == addresses


NETPLAN: dict[str, list[str]] = {
    "dhcp": ["ethernets.ens3.dhcp4=true"],
    "dhcp of both": ["ethernets.ens3={dhcp4: true, dhcp6: true}"],
    "static": ["ethernets.ens3.addresses=[10.0.0.5/24, '2001:db8::5/64']", "ethernets.ens3.dhcp4=false"],
    "two": ["ethernets.ens3.dhcp4=true", "ethernets.ens4.addresses=[192.168.7.2/24]"],
    "a bond": ["ethernets.ens3={}", "ethernets.ens4={}", "bonds.bond0={interfaces: [ens3, ens4], dhcp4: true}"],
    "a vlan": ["ethernets.ens3={}", "vlans.vlan5={id: 5, link: ens3, addresses: [10.5.0.2/24]}"],
}
FILES = {
    "dhcp": "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4: yes\n",
    "static": (
        "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    ens3:\n      addresses:\n"
        "        - 10.0.0.5/24\n        - '2001:db8::5/64'\n      gateway4: 10.0.0.1\n"
        "      nameservers: {addresses: [10.0.0.1]}\n"
    ),
    "a match": (
        "network:\n  ethernets:\n    lan:\n      match:\n        macaddress: '52:54:00:12:34:56'\n"
        "      set-name: lan0\n      dhcp4: true\n"
    ),
    "a bridge": (
        "network:\n  version: 2\n  ethernets:\n    ens3: {dhcp4: no}\n  bridges:\n    br0:\n      interfaces: [ens3]\n"
        "      dhcp4: true\n"
    ),
}
"""As the Ubuntu Server Guide has them."""

Said = dict[str, tuple[bool, bool, list[str]]]
"""DHCP for IPv4 and IPv6, and fixed addresses, by interface."""


def generated(guest: RealSystem) -> Said:
    """Return what the files of systemd-networkd say that `netplan generate` wrote."""
    guest.run("netplan", "generate")
    said: Said = {}
    for path in sorted((guest.folder / "run/systemd/network").glob("*.network")):
        text = path.read_text()
        name = path.stem.removeprefix("10-netplan-")
        dhcp = re.findall(r"(?m)^DHCP=(\w+)", text)
        both = "yes" in dhcp
        said[name] = (both or "ipv4" in dhcp, both or "ipv6" in dhcp, re.findall(r"(?m)^Address=(\S+)", text))
    return said


def read(guest: RealSystem) -> Said:
    """Return the same of netplan's own files, by imgscan."""
    found = [each for file in network_of(guest, "netplan") for each in file.interfaces.get()]
    return {str(each.name): (each.dhcp4, each.dhcp6, [address.address for address in each.addresses]) for each in found}


@pytest.mark.parametrize("case", NETPLAN)
def test_files_of_netplan_set(case: str) -> None:
    with real_system("debian12-tools") as guest:
        for setting in NETPLAN[case]:
            guest.run("netplan", "set", setting)
        assert list((guest.folder / "etc/netplan").glob("*.yaml"))
        expected = generated(guest)
        assert expected
        assert read(guest) == expected


@pytest.mark.parametrize("case", FILES)
def test_files_of_ubuntu_18_04(case: str) -> None:
    with real_system("ubuntu18.04") as guest:
        guest.write("etc/netplan/01-netcfg.yaml", FILES[case])
        expected = generated(guest)
        names = {"lan": "lan0"} if case == "a match" else {}
        assert read(guest) == {names.get(name, name): said for name, said in expected.items()}
        # netplan's generator starts it, although no link does
        assert guest.run("systemctl", "--root=/", "is-enabled", "systemd-networkd", check=False).strip() == "disabled"
        assert guest.system().dhcp_client.get() == "systemd-networkd.service"


INTERFACES: dict[str, dict[str, str]] = {
    "dhcp": {"interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug ens3\niface ens3 inet dhcp\n"},
    "static": {
        "interfaces": (
            "auto lo ens3\niface lo inet loopback\niface ens3 inet static\n\taddress 10.0.0.5/24\n\tgateway 10.0.0.1\n"
            "iface ens3 inet6 static\n\taddress 2001:db8::5\n\tnetmask 64\n"
        )
    },
    "continued lines": {
        "interfaces": (
            "auto \\\n  ens3\niface ens3 inet \\\n  static\n    address \\\n 10.0.0.7\n    netmask 255.255.255.0\n"
        )
    },
    "sourced": {
        "interfaces": "source /etc/network/interfaces.d/*\nsource-directory more\nauto ens3\niface ens3 inet dhcp\n",
        "interfaces.d/lan": "auto ens4\niface ens4 inet static\n  address 10.4.0.2/16\n",
        "interfaces.d/other.cfg": "iface ens5 inet static\n  address 10.5.0.2/16\n",
        "more/plain": "auto ens6\niface ens6 inet static\n  address 10.6.0.2/16\n",
        "more/with.dot": "auto ens7\niface ens7 inet static\n  address 10.7.0.2/16\n",
    },
    "not at boot": {"interfaces": "iface ens3 inet static\n  address 10.0.0.5/24\n"},
    "several addresses": {
        "interfaces": (
            "auto ens3\niface ens3 inet static\n  address 10.0.0.5/24\niface ens3 inet static\n  address 10.0.0.6/24\n"
        )
    },
    "inherited": {
        "interfaces": "iface base inet static\n  address 10.0.0.9/24\nauto ens3\niface ens3 inet static inherits base\n"
    },
}


@pytest.mark.parametrize("case", INTERFACES)
def test_interfaces_as_ifquery_reads_them(case: str) -> None:
    with real_system("debian12-tools") as guest:
        for name, text in INTERFACES[case].items():
            guest.write(f"etc/network/{name}", text)
        at_boot: set[str] = set()
        for choice in ("auto", "hotplug"):
            at_boot |= set(guest.run("ifquery", "--list", f"--allow={choice}").split())
        interfaces = [each for file in network_of(guest, "ifupdown") for each in file.interfaces.get()]
        # ifupdown brings up the loopback interface whether it is named or not
        assert {str(each.name) for each in interfaces if each.at_boot} - {"lo"} == at_boot - {"lo"}
        for name in {str(each.name) for each in interfaces} - {"lo"}:
            said = guest.run("ifquery", name, check=False)
            expected = [address.partition("/")[0] for address in re.findall(r"(?m)^address: (\S+)", said)]
            found = [
                address.address.partition("/")[0]
                for each in interfaces
                if each.name == name
                for address in each.addresses
            ]
            assert found == expected, (name, said)
