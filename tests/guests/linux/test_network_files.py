"""Network configuration as each distribution and its tools write it; the expected values stand in the texts."""

from __future__ import annotations

from typing import Any

import pytest
from memory_filesystem import Device, Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.guests.linux.network import read_dhcp_client, read_interface_names, read_network
from imgscan.guests.linux.network.files import FILE_BYTES
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import AtPath
from imgscan.model.network import Interface, NetworkFile, StaticAddress

Files = dict[str, Any]


def files_of(files: Files) -> tuple[NetworkFile, ...]:
    return read_network(GuestTree({"/": MemoryFileSystem({"/etc/passwd": "", **files})})).get()


def interfaces_of(path: str, text: str) -> list[Interface]:
    (file,) = files_of({path: text})
    return list(file.interfaces.get())


def line_of(address: StaticAddress) -> int:
    assert isinstance(address.evidence, AtPath)
    return address.evidence.line


def path_of(file: NetworkFile) -> str:
    assert isinstance(file.evidence, AtPath)
    return file.evidence.path


def short(interface: Interface) -> tuple[Any, ...]:
    dynamic = "4" * interface.dhcp4 + "6" * interface.dhcp6
    return interface.name, interface.kind, dynamic, [each.address for each in interface.addresses]


EL5 = """# Intel Corporation 82545EM Gigabit Ethernet Controller (Copper)
DEVICE=eth0
BOOTPROTO=static
BROADCAST=192.168.1.255
HWADDR=00:0C:29:AA:BB:CC
IPADDR=192.168.1.20
NETMASK=255.255.255.0
NETWORK=192.168.1.0
ONBOOT=yes
"""
EL7 = """TYPE=Ethernet
PROXY_METHOD=none
BROWSER_ONLY=no
BOOTPROTO=dhcp
DEFROUTE=yes
IPV4_FAILURE_FATAL=no
IPV6INIT=yes
IPV6_AUTOCONF=yes
IPV6_DEFROUTE=yes
IPV6_ADDR_GEN_MODE=stable-privacy
NAME=ens192
UUID=5c2a0b7e-1111-4222-8333-944445555666
DEVICE=ens192
ONBOOT=yes
"""
EL7_STATIC = """TYPE="Ethernet"
BOOTPROTO="none"
NAME="ens192"
DEVICE="ens192"
ONBOOT="no"
IPADDR="10.1.2.3"
PREFIX="24"
IPADDR1=10.1.2.4
PREFIX1=25
GATEWAY="10.1.2.1"
IPV6ADDR=2001:db8::5/64
DHCPV6C=yes
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("eth0", EL5, ("eth0", "ethernet", "", ["192.168.1.20"])),
        ("ens192", EL7, ("ens192", "ethernet", "4", [])),
        ("ens192", EL7_STATIC, ("ens192", "ethernet", "6", ["10.1.2.3/24", "10.1.2.4/25", "2001:db8::5/64"])),
        ("eth0:1", "DEVICE=eth0:1\nIPADDR=10.0.0.9\n", ("eth0", "ethernet", "", ["10.0.0.9"])),
        ("eth0-range0", "IPADDR_START=10.0.0.10\nIPADDR_END=10.0.0.20\n", ("eth0", "ethernet", "", ["10.0.0.10"])),
        (
            "bond0",
            'DEVICE=bond0\nBONDING_OPTS="mode=1 miimon=100"\nBOOTPROTO=none\nIPADDR=10.0.0.2\nPREFIX=24\n',
            ("bond0", "bond", "", ["10.0.0.2/24"]),
        ),
        ("eth1", "DEVICE=eth1\nMASTER=bond0\nSLAVE=yes\nBOOTPROTO=none\n", ("eth1", "ethernet", "", [])),
        ("br0", "DEVICE=br0\nTYPE=Bridge\nBOOTPROTO=dhcp\n", ("br0", "bridge", "4", [])),
        ("eth0.100", "DEVICE=eth0.100\nVLAN=yes\nBOOTPROTO=dhcp\n", ("eth0.100", "vlan", "4", [])),
        ("Wired_1", "NAME='Wired 1'\nTYPE=Ethernet\nBOOTPROTO=dhcp\n", (None, "ethernet", "4", [])),
    ],
)
def test_ifcfg_of_red_hat(name: str, text: str, expected: tuple[Any, ...]) -> None:
    (interface,) = interfaces_of(f"/etc/sysconfig/network-scripts/ifcfg-{name}", text)
    assert short(interface) == expected


def test_details_of_an_ifcfg_file() -> None:
    (interface,) = interfaces_of("/etc/sysconfig/network-scripts/ifcfg-eth0", EL5)
    assert (interface.mac, interface.at_boot) == ("00:0C:29:AA:BB:CC", True)
    (address,) = interface.addresses
    assert (address.text, line_of(address)) == ("IPADDR=192.168.1.20", 6)
    (interface,) = interfaces_of("/etc/sysconfig/network-scripts/ifcfg-ens192", EL7_STATIC)
    assert not interface.at_boot


SLES11 = """BOOTPROTO='static'
BROADCAST=''
ETHTOOL_OPTIONS=''
IPADDR='192.168.5.7/24'
IPADDR_1='192.168.5.8/24'
IPADDR_2='fd00::7/64'
NAME='82545EM Gigabit Ethernet Controller (Copper)'
STARTMODE='auto'
USERCONTROL='no'
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("eth0", SLES11, ("eth0", "ethernet", "", ["192.168.5.7/24", "192.168.5.8/24", "fd00::7/64"])),
        ("eth0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nIPADDR=''\n", ("eth0", "ethernet", "4", [])),
        ("eth0", "BOOTPROTO='dhcp4'\n", ("eth0", "ethernet", "4", [])),
        ("eth0", "BOOTPROTO='dhcp6'\n", ("eth0", "ethernet", "6", [])),
        ("eth-id-00:50:56:aa:bb:cc", "BOOTPROTO='dhcp'\n", (None, "ethernet", "4", [])),
        ("bond0", "BONDING_MASTER='yes'\nBONDING_SLAVE0='eth0'\nBONDING_SLAVE1='eth1'\nBOOTPROTO='dhcp'\n",
         ("bond0", "bond", "4", [])),
        ("vlan10", "ETHERDEVICE='eth0'\nVLAN_ID='10'\nIPADDR='10.0.0.1'\nPREFIXLEN='8'\n",
         ("vlan10", "vlan", "", ["10.0.0.1/8"])),
    ],
)  # fmt: skip
def test_ifcfg_of_suse(name: str, text: str, expected: tuple[Any, ...]) -> None:
    (interface,) = interfaces_of(f"/etc/sysconfig/network/ifcfg-{name}", text)
    assert short(interface) == expected


def test_details_of_suse() -> None:
    (interface,) = interfaces_of("/etc/sysconfig/network/ifcfg-eth-id-00:50:56:aa:bb:cc", "BOOTPROTO='dhcp'\n")
    assert interface.mac == "00:50:56:aa:bb:cc"
    text = "BONDING_MASTER='yes'\nBONDING_SLAVE0='eth0'\nBONDING_SLAVE1='eth1'\nSTARTMODE='off'\n"
    (interface,) = interfaces_of("/etc/sysconfig/network/ifcfg-bond0", text)
    assert (interface.on, interface.at_boot) == (("eth0", "eth1"), False)


def test_files_that_no_program_reads() -> None:
    folder = "/etc/sysconfig/network-scripts"
    names = ("ifcfg-lo", "ifcfg-eth0.bak", "ifcfg-eth0.rpmsave", "ifcfg-eth0~", "ifup-eth", "route-eth0")
    assert files_of({f"{folder}/{name}": EL5 for name in names}) == ()
    assert files_of({"/etc/sysconfig/network/ifcfg.template": "", "/etc/netplan/x.yaml.bak": "a"}) == ()


def test_interfaces_of_ifupdown() -> None:
    main = """# The loopback network interface
auto lo
iface lo inet loopback

source /etc/network/interfaces.d/*
source-directory /etc/network/more

allow-hotplug ens3
iface ens3 inet dhcp
# This is an autoconfigured IPv6 interface
iface ens3 inet6 auto

auto eth1 eth1:0
iface eth1 inet static
    address 10.0.0.5
    netmask 255.255.255.0
    hwaddress ether 00:11:22:33:44:55
iface eth1:0 inet static
    address 10.0.0.6/24
iface eth1 inet6 static
    address 2001:db8::2
    netmask 64
    up ip route add \\
        default via fe80::1
iface eth2 inet manual
"""
    bond = "auto bond0\niface bond0 inet dhcp\n  bond-slaves eth3 eth4\n  bond-mode 1\n"
    found = files_of(
        {
            "/etc/network/interfaces": main,
            "/etc/network/interfaces.d/bond": bond,
            "/etc/network/more/br": "iface br0 inet manual\n bridge_ports eth5\n",
            "/etc/network/more/x.dpkg-old": "broken",
        }
    )
    assert [path_of(file).rpartition("/")[2] for file in found] == ["interfaces", "bond", "br"]
    assert [short(interface) for file in found for interface in file.interfaces.get()] == [
        ("lo", "loopback", "", []),
        ("ens3", "ethernet", "4", []),
        ("ens3", "ethernet", "", []),
        ("eth1", "ethernet", "", ["10.0.0.5"]),
        ("eth1", "ethernet", "", ["10.0.0.6/24"]),
        ("eth1", "ethernet", "", ["2001:db8::2/64"]),
        ("eth2", "ethernet", "", []),
        ("bond0", "bond", "4", []),
        ("br0", "bridge", "", []),
    ]
    eth1 = found[0].interfaces.get()[3]
    assert (eth1.mac, eth1.at_boot, line_of(eth1.addresses[0])) == ("00:11:22:33:44:55", True, 15)
    assert not found[0].interfaces.get()[6].at_boot
    assert found[1].interfaces.get()[0].on == ("eth3", "eth4")


@pytest.mark.parametrize(
    "text", ["mapping eth0\n script /x\n", "source /etc/*/x\n", "source $HOME/x\n", "address 10.0.0.1\n"]
)
def test_interfaces_that_are_not_followed(text: str) -> None:
    (file,) = files_of({"/etc/network/interfaces": text})
    assert file.interfaces.unread == "unsupported"


def test_sources_in_a_circle_end() -> None:
    (file,) = files_of({"/etc/network/interfaces": "source /etc/network/interfaces\niface eth0 inet dhcp\n"})
    assert len(file.interfaces.get()) == 1


NETPLAN_STATIC = """# This is the network config written by 'subiquity'
network:
  ethernets:
    ens160:
      addresses:
      - 10.10.0.5/24
      - "2001:db8::5/64"
      gateway4: 10.10.0.1
      nameservers:
        addresses: [8.8.8.8, 1.1.1.1]
        search: []
  version: 2
"""
NETPLAN_CLOUD = """network:
    ethernets:
        eth0:
            dhcp4: true
            dhcp6: false
            match:
                macaddress: 00:0d:3a:11:22:33
            set-name: eth0
    version: 2
"""
NETPLAN_LAYERS = """network:
  version: 2
  renderer: networkd
  ethernets:
    slaves:
      match: {name: "enp*"}
    any:
      match: {macaddress: "00:11:22:33:44:55"}
      dhcp6: yes
  bonds:
    bond0:
      interfaces: [slaves]
      dhcp4: yes
  vlans:
    v10: {id: 10, link: bond0, addresses: [10.0.10.2/24, {10.0.10.3/24: {lifetime: 0}}]}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NETPLAN_STATIC, [("ens160", "ethernet", "", ["10.10.0.5/24", "2001:db8::5/64"])]),
        (NETPLAN_CLOUD, [("eth0", "ethernet", "4", [])]),
        (
            NETPLAN_LAYERS,
            [
                ("enp*", "ethernet", "", []),
                (None, "ethernet", "6", []),
                ("bond0", "bond", "4", []),
                ("v10", "vlan", "", ["10.0.10.2/24", "10.0.10.3/24"]),
            ],
        ),
        ("# Let NetworkManager manage all devices\nnetwork:\n  version: 2\n  renderer: NetworkManager\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_netplan(text: str, expected: list[tuple[Any, ...]]) -> None:
    assert [short(each) for each in interfaces_of("/etc/netplan/00-installer-config.yaml", text)] == expected


def test_the_line_of_a_netplan_address() -> None:
    (interface,) = interfaces_of("/etc/netplan/x.yaml", NETPLAN_STATIC)
    assert [line_of(address) for address in interface.addresses] == [6, 7]


@pytest.mark.parametrize(
    "text",
    [
        "network: {version: 2, ethernets: {a: &x {dhcp4: yes}, b: *x}}\n",
        "network:\n\tversion: 2\n",
        "network:\n  ethernets: !!map {}\n",
        "network:\n  x: |\n    text\n",
        "---\nnetwork: {}\n---\nnetwork: {}\n",
        "network:\n  ethernets:\n    a:\n      dhcp4: yes\n      dhcp4: no\n",
        "network:\n  ethernets:\n    a:\n      addresses: [10.0.0.1/24,\n",
        "network:\n  something-new:\n    a: {}\n",
        "network: text\n",
        "- a\n",
        "network:\n    a: 1\n  b: 2\n",
        "network:\n  ethernets:\n    a:\n      dhcp4: 'yes\n",
    ],
)
def test_yaml_that_is_not_read(text: str) -> None:
    (file,) = files_of({"/etc/netplan/x.yaml": text})
    assert file.interfaces.unread == "unsupported"


@pytest.mark.parametrize("text", ["network:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 60)), "a: " + "[" * 60])
def test_deep_yaml_is_a_limit(text: str) -> None:
    (file,) = files_of({"/etc/netplan/x.yaml": text})
    assert file.interfaces.unread in {"limit", "unsupported"}


KEYFILE = """[connection]
id=ens192
uuid=5c2a0b7e-1111-4222-8333-944445555666
type=ethernet
interface-name=ens192

[ethernet]
mac-address=00:50:56:AA:BB:CC

[ipv4]
address1=10.0.0.5/24,10.0.0.1
dns=10.0.0.2;
method=manual

[ipv6]
addr-gen-mode=eui64
method=auto
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEYFILE, ("ens192", "ethernet", "", ["10.0.0.5/24"])),
        (KEYFILE.replace("method=manual", "method=auto"), ("ens192", "ethernet", "4", ["10.0.0.5/24"])),
        (KEYFILE.replace("type=ethernet", "type=bond"), ("ens192", "bond", "", ["10.0.0.5/24"])),
        (
            (
                "[connection]\nid=Wired\ntype=802-3-ethernet\n[ipv4]\nmethod=manual\naddresses1=10.0.0.7;24;10.0.0.1;\n"
                "[ipv6]\nmethod=dhcp\n"
            ),
            (None, "ethernet", "6", ["10.0.0.7/24"]),
        ),
    ],
)
def test_keyfiles_of_network_manager(text: str, expected: tuple[Any, ...]) -> None:
    (interface,) = interfaces_of("/etc/NetworkManager/system-connections/ens192.nmconnection", text)
    assert short(interface) == expected


@pytest.mark.parametrize("text", ["nonsense\n", "[ipv4]\nmethod=auto\n"])
def test_a_keyfile_that_is_none(text: str) -> None:
    (file,) = files_of({"/etc/NetworkManager/system-connections/x": text})
    assert file.interfaces.unread == "corrupt"


def test_systemd_networkd() -> None:
    network = "[Match]\nName=en* eth0\n\n[Network]\nDHCP=yes\n\n"
    network += "[Address]\nAddress=10.0.0.5/24\n[Address]\nAddress=fd00::5/64\n"
    found = interfaces_of("/etc/systemd/network/20-wired.network", network)
    addresses = ["10.0.0.5/24", "fd00::5/64"]
    assert [short(each) for each in found] == [
        ("en*", "ethernet", "46", addresses),
        ("eth0", "ethernet", "46", addresses),
    ]
    assert [line_of(address) for address in found[0].addresses] == [8, 10]
    (bond,) = interfaces_of("/etc/systemd/network/bond1.netdev", "[NetDev]\nName=bond1\nKind=bond\n")
    assert (bond.name, bond.kind) == ("bond1", "bond")
    assert interfaces_of("/etc/systemd/network/x.network", "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n") == []


def test_a_stanza_that_inherits_from_one_before_it() -> None:
    """interfaces(5), "inherits"."""
    path = "/etc/network/interfaces"
    base = "iface base inet static\n  address 10.0.0.9/24\niface base inet6 static\n  address 2001:db8::1/64\n"
    *_, found = interfaces_of(path, f"{base}auto ens3\niface ens3 inet static inherits base\n  mtu 9000\n")
    assert short(found) == ("ens3", "ethernet", "", ["10.0.0.9/24"])
    assert [line_of(each) for each in found.addresses] == [2]
    many = "".join(f"  up route add {number}\n" for number in range(70))
    for text in (
        "iface ens3 inet static inherits gone\n",
        "iface ens3 inherits base\n",
        f"{base}iface ens3 inet dhcp inherits base other\n",
        f"{base.replace('  address 10', f'{many}  address 10')}iface ens3 inet static inherits base\n",
    ):
        (file,) = files_of({path: text})
        assert file.interfaces.unread == "unsupported", text


WICKED = """\
<config>
  <interface origin="compat:suse:/etc/sysconfig/network/ifcfg-eth0">
    <name>eth0</name>
    <control><mode>boot</mode></control>
    <firewall/>
    <ipv4><enabled>true</enabled></ipv4>
    <ipv4:dhcp>
      <enabled>true</enabled>
      <flags>group</flags>
    </ipv4:dhcp>
    <ipv6:auto><enabled>true</enabled></ipv6:auto>
  </interface>
  <interface>
    <name>bond0</name>
    <control><mode>manual</mode></control>
    <bond>
      <mode>active-backup</mode>
      <slaves><slave><device>eth1</device></slave><slave><device>eth2</device></slave></slaves>
    </bond>
    <ipv4:static>
      <address><local>192.168.1.2/24</local></address>
    </ipv4:static>
    <ipv6:static>
      <address><local>2001:db8::2/64</local></address>
    </ipv6:static>
  </interface>
</config>
"""


def test_wicked() -> None:
    eth0, bond0 = interfaces_of("/etc/wicked/ifconfig/all.xml", WICKED)
    assert short(eth0) == ("eth0", "ethernet", "4", [])
    assert (eth0.at_boot, eth0.evidence[0]) == (True, AtPath("disk0/p1", "/etc/wicked/ifconfig/all.xml", 7))
    assert short(bond0) == ("bond0", "bond", "", ["192.168.1.2/24", "2001:db8::2/64"])
    assert (bond0.at_boot, bond0.on) == (False, ("eth1", "eth2"))
    assert [each.evidence for each in bond0.addresses] == [
        AtPath("disk0/p1", "/etc/wicked/ifconfig/all.xml", line) for line in (21, 24)
    ]
    (plain,) = interfaces_of("/etc/wicked/ifconfig/eth0.xml", "<interface><name>eth0</name></interface>")
    assert short(plain) == ("eth0", "ethernet", "", [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<interface><name>eth0", "corrupt"),
        ("<interface><control/></interface>", "unsupported"),
        ("<interface><name>a</name><ipv4:static><address><local/></address></ipv4:static></interface>", "unsupported"),
        (f"<interface><name>a</name>{'<ipv4:dhcp/>' * 5000}</interface>", "limit"),
    ],
)
def test_wicked_in_forms_that_are_not_understood(text: str, why: str) -> None:
    (file,) = files_of({"/etc/wicked/ifconfig/eth0.xml": text})
    assert file.interfaces.unread == why


def test_drop_ins_of_networkd() -> None:
    """systemd.network(5): the files of foo.network.d are read behind foo.network, in the order of their names."""
    (file,) = files_of(
        {
            "/etc/systemd/network/10-lan.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
            "/etc/systemd/network/10-lan.network.d/20-fixed.conf": "[Network]\nDHCP=no\nAddress=10.0.0.5/24\n",
            "/etc/systemd/network/10-lan.network.d/10-first.conf": "[Network]\nDHCP=ipv6\n",
            "/etc/systemd/network/10-lan.network.d/notes.txt": "no configuration\n",
        }
    )
    (interface,) = file.interfaces.get()
    assert short(interface) == ("eth0", "ethernet", "", ["10.0.0.5/24"])
    (address,) = interface.addresses
    assert address.evidence == AtPath("disk0/p1", "/etc/systemd/network/10-lan.network.d/20-fixed.conf", 3)


def test_a_drop_in_that_cannot_be_read_leaves_its_file_open() -> None:
    (file,) = files_of(
        {
            "/etc/systemd/network/10-lan.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
            "/etc/systemd/network/10-lan.network.d/a.conf": CorruptStructure("bad block", where="disk0/p1"),
        }
    )
    assert file.interfaces.unread == "corrupt"


def test_a_link_to_the_empty_device_switches_a_file_off() -> None:
    """systemd.network(5), udev(7): with the device in the image, as debootstrap makes it, and without."""
    links = {
        "/etc/systemd/network/80-lan.network": Link("/dev/null"),
        "/etc/systemd/network/80-lan.link": Link("/dev/null"),
        "/etc/udev/rules.d/70-persistent-net.rules": Link("/dev/null"),
    }
    for device in ({"/dev/null": Device()}, {}):
        tree = GuestTree({"/": MemoryFileSystem({"/etc/passwd": "", **links, **device})})
        assert read_network(tree).get() == ()
        assert read_interface_names(tree).get() == ()


def test_one_damaged_file_loses_itself_only() -> None:
    folder = "/etc/sysconfig/network-scripts"
    found = files_of(
        {
            f"{folder}/ifcfg-eth0": CorruptStructure("bad block", where="disk0/p1"),
            f"{folder}/ifcfg-eth1": EL5,
            f"{folder}/ifcfg-eth2": "#" * (FILE_BYTES + 1),
            f"{folder}/ifcfg-eth3": "IPADDR=$(hostname -i)\n",
            f"{folder}/ifcfg-eth4": Link("nowhere"),
            f"{folder}/ifcfg-eth5": b"\0" * 100,
        }
    )
    assert [file.interfaces.unread if not file.interfaces.is_known else "read" for file in found] == [
        "corrupt", "read", "limit", "unsupported", "corrupt",
    ]  # fmt: skip


def test_more_files_than_are_read() -> None:
    folder = "/etc/sysconfig/network-scripts"
    tree = GuestTree({"/": MemoryFileSystem({f"{folder}/ifcfg-eth{n}": Link("ifcfg-eth0") for n in range(1, 600)})})
    assert len(read_network(tree).get()) == 0
    found = files_of({f"{folder}/ifcfg-eth{n}": "#" * 60_000 for n in range(100)})
    assert {file.interfaces.unread for file in found if not file.interfaces.is_known} == {"limit"}
    assert sum(file.interfaces.is_known for file in found) == 8


UDEV = """# This file was automatically generated by the /lib/udev/write_net_rules
# program, run by the persistent-net-generator.rules rules file.

# PCI device 0x14e4:0x1639 (bnx2)
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:22:19:aa:bb:cc", ATTR{type}=="1", KERNEL=="eth*", NAME="eth0"

# PCI device 0x15ad:0x07b0 (vmxnet3)
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:50:56:aa:bb:cc", ATTR{dev_id}=="0x0", ATTR{type}=="1", KERNEL=="eth*", NAME="eth1"
"""  # noqa: E501


def test_names_by_mac_address() -> None:
    tree = GuestTree(
        {
            "/": MemoryFileSystem(
                {
                    "/etc/udev/rules.d/70-persistent-net.rules": UDEV,
                    "/etc/systemd/network/10-lan.link": "[Match]\nMACAddress=00:11:22:33:44:55\n\n[Link]\nName=lan0\n",
                }
            )
        }
    )
    assert [(each.name, each.mac, each.driver, each.evidence.line) for each in read_interface_names(tree).get()] == [
        ("eth0", "00:22:19:aa:bb:cc", "bnx2", 5),
        ("eth1", "00:50:56:aa:bb:cc", "vmxnet3", 8),
        ("lan0", "00:11:22:33:44:55", None, 5),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/sbin/dhclient": ""}, "/sbin/dhclient"),
        ({"/usr/sbin/dhcpcd": ""}, "/usr/sbin/dhcpcd"),
        ({"/lib/systemd/systemd": ""}, None),
        (
            {
                "/lib/systemd/systemd": "",
                "/etc/machine-id": "01\n",
                "/usr/lib/systemd/system/NetworkManager.service": "[Install]\nWantedBy=multi-user.target\n",
            },
            None,
        ),
        (
            {
                "/lib/systemd/systemd": "",
                "/usr/lib/systemd/system/NetworkManager.service": "[Install]\nWantedBy=multi-user.target\n",
                "/etc/systemd/system/multi-user.target.wants/NetworkManager.service": Link(
                    "/usr/lib/systemd/system/NetworkManager.service"
                ),
            },
            "NetworkManager.service",
        ),
        (  # its own client, and it serves interfaces that nothing configures: dhclient beside it changes nothing
            {
                "/sbin/dhclient": "",
                "/lib/systemd/systemd": "",
                "/usr/lib/systemd/system/NetworkManager.service": "[Install]\nWantedBy=multi-user.target\n",
                "/etc/systemd/system/multi-user.target.wants/NetworkManager.service": Link(
                    "/usr/lib/systemd/system/NetworkManager.service"
                ),
            },
            "NetworkManager.service",
        ),
        (  # Ubuntu 18.04: netplan's generator starts what no link enables
            {
                "/lib/systemd/systemd": "",
                "/etc/machine-id": "01\n",
                "/lib/systemd/system/systemd-networkd.service": "[Install]\nWantedBy=multi-user.target\n",
                "/lib/systemd/system-generators/netplan": "",
                "/etc/netplan/01-netcfg.yaml": "network:\n  version: 2\n",
            },
            "systemd-networkd.service",
        ),
        (
            {
                "/lib/systemd/systemd": "",
                "/etc/machine-id": "01\n",
                "/lib/systemd/system/systemd-networkd.service": "[Install]\nWantedBy=multi-user.target\n",
                "/etc/systemd/system/systemd-networkd.service": Link("/dev/null"),
                "/lib/systemd/system-generators/netplan": "",
                "/etc/netplan/01-netcfg.yaml": "network:\n  version: 2\n",
            },
            None,
        ),
        (
            {
                "/lib/systemd/systemd": "",
                "/etc/machine-id": "01\n",
                "/lib/systemd/system/systemd-networkd.service": "[Install]\nWantedBy=multi-user.target\n",
                "/lib/systemd/system-generators/netplan": "",
            },
            None,
        ),
    ],
)
def test_the_dhcp_client(files: Files, expected: str | None) -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/etc/passwd": "", **files})})
    assert read_dhcp_client(tree, Services(tree)).get() == expected


HOSTILE = {
    "flow": "a: [\n" + "x,\n" * 4000 + "]",
    "brackets": "a: " + "[" * 60_000,
    "dashes": "- " * 30_000,
    "sources": "source /etc/*\n" * 4000,
    "interfaces": "iface a inet static\n" * 3000,
    "keys": "".join(f"IPADDR{number}=1\n" for number in range(4000)),
    "circle": "source /etc/network/*\nsource-directory /etc/network\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_soon_and_lose_their_own_file(name: str) -> None:
    paths = ("network/interfaces", "netplan/x.yaml", "sysconfig/network/ifcfg-a", "NetworkManager/system-connections/a")
    found = files_of({f"/etc/{path}": HOSTILE[name] for path in paths})
    assert len(found) >= len(paths)
    assert all(
        file.interfaces.is_known or file.interfaces.unread in {"limit", "unsupported", "corrupt"} for file in found
    )


MANUAL = "auto eth0\niface eth0 inet manual\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("up ip addr add 192.168.10.5/24 dev eth0", ["192.168.10.5/24"]),
        ("post-up /sbin/ip -4 a a 10.0.0.5/24 dev $IFACE && ip link set eth0 up", ["10.0.0.5/24"]),
        ("up ip link set $IFACE up; ip address replace dev eth0 10.0.0.6/24 || true", ["10.0.0.6/24"]),
        ("up ip -6 addr add 2001:db8::5/64 dev eth0", ["2001:db8::5/64"]),
        ("pre-up ifconfig $IFACE 10.0.0.7 netmask 255.255.255.0 broadcast 10.0.0.255 up", ["10.0.0.7"]),
        ("up ifconfig eth0 inet6 add 2001:db8::6/64", ["2001:db8::6/64"]),
        ("up ifconfig eth0 0.0.0.0 up", []),
        ("up ifconfig eth0 hw ether 52:54:00:12:34:56", []),
        ("up ip route add 10.0.0.0/8 via 10.0.0.1", []),
        ("up ip link set eth0 promisc on", []),
        ("down ip addr add 10.0.0.5/24 dev eth0", []),
        ("pre-down ip addr del 10.0.0.5/24 dev eth0", []),
        ("up iptables-restore < /etc/ip/rules", []),
    ],
)
def test_addresses_that_commands_of_ifupdown_set(command: str, expected: list[str]) -> None:
    (interface,) = interfaces_of("/etc/network/interfaces", f"{MANUAL}  {command}\n")
    assert [(each.address, line_of(each)) for each in interface.addresses] == [(each, 3) for each in expected]


@pytest.mark.parametrize("command", ["up ip addr add $ADDRESS dev eth0", "up ip a a", "up ifconfig eth0 ${IP} up"])
def test_a_command_that_sets_an_address_not_told_leaves_the_file_open(command: str) -> None:
    (file,) = files_of({"/etc/network/interfaces": f"{MANUAL}  {command}\n"})
    assert file.interfaces.unread == "unsupported"


@pytest.mark.parametrize(
    ("method", "counts"), [("auto", True), ("manual", True), ("shared", True), ("disabled", False), ("ignore", False)]
)
def test_addresses_beside_a_method_of_network_manager(method: str, counts: bool) -> None:
    text = f"[connection]\ntype=ethernet\n[ipv4]\nmethod={method}\naddress1=10.0.0.9/24,10.0.0.1\n"
    (interface,) = interfaces_of("/etc/NetworkManager/system-connections/a", text)
    assert [each.address for each in interface.addresses] == (["10.0.0.9/24"] if counts else [])
    assert interface.dhcp4 == (method == "auto")


FIXED = "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.5/24\n"
DYNAMIC = "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/usr/lib/systemd/network/10.network": FIXED}, [("eth0", "ethernet", "", ["10.0.0.5/24"])]),
        ({"/run/systemd/network/10.network": FIXED}, [("eth0", "ethernet", "", ["10.0.0.5/24"])]),
        (
            {"/usr/lib/systemd/network/10.network": FIXED, "/etc/systemd/network/10.network": DYNAMIC},
            [("eth0", "ethernet", "4", [])],
        ),
        ({"/usr/lib/systemd/network/10.network": FIXED, "/etc/systemd/network/10.network": Link("/dev/null")}, []),
        ({"/usr/lib/systemd/network/10.network": FIXED, "/etc/systemd/network/10.network": ""}, []),
        (
            {
                "/usr/lib/systemd/network/10.network": DYNAMIC,
                "/etc/systemd/network/10.network.d/a.conf": "[Network]\nAddress=10.0.0.6/24\n",
                "/usr/lib/systemd/network/10.network.d/a.conf": "[Network]\nAddress=10.0.0.7/24\n",
                "/usr/lib/systemd/network/10.network.d/b.conf": "[Network]\nAddress=10.0.0.8/24\n",
            },
            [("eth0", "ethernet", "4", ["10.0.0.6/24", "10.0.0.8/24"])],
        ),
        (
            {"/usr/lib/systemd/network/10.network": FIXED, "/lib": Link("usr/lib")},
            [("eth0", "ethernet", "", ["10.0.0.5/24"])],
        ),
        ({"/usr/lib/systemd/network/80-container-ve.network": FIXED}, []),
        ({"/etc/systemd/network/a.network.d/a.conf": "[Network]\nAddress=10.0.0.6/24\n"}, []),
    ],
)
def test_folders_of_networkd(files: Files, expected: list[tuple[Any, ...]]) -> None:
    found = [short(each) for file in files_of(files) for each in file.interfaces.get()]
    assert found == expected


def test_fixed_addresses_of_dhcpcd() -> None:
    """dhcpcd.conf(5), "static" and "inform"."""
    text = "hostname\n#static ip_address=10.9.9.9/24\noption rapid_commit\nstatic domain_name_servers=10.0.0.2\n"
    assert files_of({"/etc/dhcpcd.conf": text}) == ()
    text += "interface eth0\nstatic ip_address=192.168.10.5/24\nstatic ip6_address=fd51:42f8::5/64\n"
    text += "interface eth1\ninform 10.0.0.7/24\nprofile fixed\nstatic ip_address=10.0.0.8/24\n"
    found = interfaces_of("/etc/dhcpcd.conf", text)
    assert [short(each) for each in found] == [
        ("eth0", "ethernet", "", ["192.168.10.5/24", "fd51:42f8::5/64"]),
        ("eth1", "ethernet", "", ["10.0.0.7/24"]),
        (None, "ethernet", "", ["10.0.0.8/24"]),
    ]
    assert line_of(found[0].addresses[0]) == 6


def test_an_anchor_of_yaml_is_named() -> None:
    text = "network:\n  ethernets:\n    ens160: &x\n      dhcp4: true\n    ens192:\n      <<: *x\n"
    (file,) = files_of({"/etc/netplan/a.yaml": text})
    assert file.interfaces.unread == "unsupported"
    assert "an anchor" in str(file.interfaces.detail)
