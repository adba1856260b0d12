from __future__ import annotations

from collections.abc import Mapping

import pytest
from firewall_rules import DEBIAN_12, RED_HAT_6, WORKSTATION
from memory_filesystem import Content, Link, MemoryFileSystem
from ufw_files import AFTER, BEFORE, CONF, DEFAULTS, USER_RULES

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ReadFailed
from imgscan.guests.linux.firewalls import read_firewalls
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import read_ssh_server
from imgscan.model.access import Firewall

Files = dict[str, Content]
BASE: Files = {
    "/sbin/init": Link("/lib/systemd/systemd"),
    "/lib/systemd/systemd": b"\x7fELF",
    "/usr/sbin/sshd": b"\x7fELF\0libcrypto.so.3\0",
    "/etc/ssh/sshd_config": "#Port 22\n",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
}


def enabled(
    service: str, unit: str = "[Install]\nWantedBy=multi-user.target\n", target: str = "multi-user.target"
) -> Files:
    """Return a unit as its package installs it, enabled as `systemctl enable` does."""
    return {
        f"/lib/systemd/system/{service}.service": unit,
        f"/etc/systemd/system/{target}.wants/{service}.service": Link(f"/lib/systemd/system/{service}.service"),
    }


def firewalls(files: Mapping[str, Content]) -> tuple[Firewall, ...]:
    tree = GuestTree({"/": MemoryFileSystem({**BASE, **files})})
    services = Services(tree)
    return read_firewalls(tree, services, read_ssh_server(tree, services)).get()


def decided(files: Mapping[str, Content]) -> str:
    """Return the decision of the only firewall; `unknown` when it is unread, `none` when there is none."""
    found = firewalls(files)
    assert len(found) <= 1, found
    if not found:
        return "none"
    assert found[0].decision.evidence or not found[0].decision.is_known
    return found[0].decision.get() if found[0].decision.is_known else "unknown"


def where(files: Mapping[str, Content]) -> tuple[str, int]:
    """Return the file and line that decided."""
    (firewall,) = firewalls(files)
    piece = firewall.decision.evidence[0]
    return getattr(piece, "path", ""), getattr(piece, "line", 0)


def test_without_any_there_is_none() -> None:
    assert firewalls({}) == ()


# What each zone of its own does was tried with firewalld 1.3's own code in a network namespace, by a connection.
# --- firewalld: files as firewall-offline-cmd 1.3 writes them --------------------------------------------------------

XML = '<?xml version="1.0" encoding="utf-8"?>\n'
FIREWALLD = enabled(
    "firewalld", "[Install]\nWantedBy=multi-user.target\nAlias=dbus-org.fedoraproject.FirewallD1.service\n"
)
SSH = XML + '<service>\n  <short>SSH</short>\n  <port protocol="tcp" port="22"/>\n</service>\n'


def zone(*elements: str, target: str = "") -> str:
    """Return a zone; its first element stands on line 4."""
    head = f'<zone target="{target}">' if target else "<zone>"
    return (
        f"{XML}{head}\n  <short>A zone</short>\n"
        + "".join(f"  {each}\n" for each in elements)
        + "  <forward/>\n</zone>\n"
    )


VENDOR: Files = {
    "/etc/firewalld/firewalld.conf": "# firewalld config file\n\nDefaultZone=public\nCleanupOnExit=yes\n",
    "/usr/lib/firewalld/zones/public.xml": zone('<service name="ssh"/>', '<service name="dhcpv6-client"/>'),
    "/usr/lib/firewalld/zones/drop.xml": zone(target="DROP"),
    "/usr/lib/firewalld/zones/block.xml": zone(target="%%REJECT%%"),
    "/usr/lib/firewalld/zones/trusted.xml": zone(target="ACCEPT"),
    "/usr/lib/firewalld/services/ssh.xml": SSH,
    "/usr/lib/firewalld/services/dhcpv6-client.xml": XML
    + '<service>\n  <port protocol="udp" port="546"/>\n</service>\n',
}
RICH = '<rule{}>\n    {}\n    <service name="ssh"/>\n    <{}/>\n  </rule>'
SOURCE = '<source address="10.0.0.0/8"/>'
PUBLIC = "/etc/firewalld/zones/public.xml"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "allow"),
        ({PUBLIC: zone('<service name="dhcpv6-client"/>')}, "block"),
        ({PUBLIC: zone('<port port="22" protocol="tcp"/>')}, "allow"),
        ({PUBLIC: zone('<port port="20-30" protocol="tcp"/>')}, "allow"),
        ({PUBLIC: zone('<port port="22" protocol="udp"/>')}, "block"),
        ({PUBLIC: zone(RICH.format("", "", "accept"))}, "allow"),
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format("", "", "reject"))}, "block"),
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format(' priority="5"', "", "drop"))}, "allow"),
        ({PUBLIC: zone(RICH.format(' priority="-5"', "", "accept"), RICH.format("", "", "drop"))}, "allow"),
        ({PUBLIC: zone(RICH.format(' family="ipv4"', SOURCE, "accept"))}, "unknown"),
        (
            {PUBLIC: zone('<service name="ssh"/>', RICH.format(' priority="-9"', SOURCE, "accept"),
                          RICH.format(' priority="-5"', "", "drop"))},
            "unknown",
        ),
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format(' family="ipv4"', SOURCE, "drop"))}, "allow"),
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format(' family="ipv6"', "", "drop"))}, "allow"),
        ({PUBLIC: zone('<forward-port port="22" protocol="tcp" to-port="2222"/>')}, "unknown"),
        ({PUBLIC: zone('<protocol value="tcp"/>')}, "allow"),
        ({PUBLIC: zone('<service name="ssh"/>', target="DROP")}, "allow"),
        ({PUBLIC: zone(RICH.format("", "", "drop"), target="ACCEPT")}, "block"),
        ({PUBLIC: zone(RICH.format(' priority="5"', "", "accept"), RICH.format(' priority="9"', "", "drop"))}, "allow"),
        ({PUBLIC: zone(RICH.format(' priority="9"', "", "accept"), RICH.format(' priority="5"', "", "drop"))}, "block"),
        ({"/etc/firewalld/firewalld.conf": "DefaultZone=public\nDefaultZone=drop\n"}, "allow"),
        ({"/etc/firewalld/firewalld.conf": "DefaultZone=drop\n"}, "block"),
        ({"/etc/firewalld/firewalld.conf": "DefaultZone=block\n"}, "block"),
        ({"/etc/firewalld/firewalld.conf": "DefaultZone=trusted\n"}, "allow"),
        ({"/etc/firewalld/firewalld.conf": "DefaultZone=gone\n"}, "unknown"),
        ({"/etc/firewalld/services/ssh.xml": SSH.replace('"22"', '"2222"')}, "block"),
        ({"/etc/ssh/sshd_config": "Port 2222\n"}, "block"),
        ({"/etc/ssh/sshd_config": "Port 2222\n", PUBLIC: zone('<port port="2222" protocol="tcp"/>')}, "allow"),
        ({"/etc/firewalld/zones/drop.xml": zone('<interface name="eth0"/>', target="DROP")}, "unknown"),
        ({"/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nZONE=drop\n"}, "unknown"),
        ({"/etc/NetworkManager/system-connections/a.nmconnection": "[connection]\nid=a\nzone=drop\n"}, "unknown"),
        ({"/etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nZONE=trusted\n"}, "allow"),
        (
            {PUBLIC: zone(), "/etc/firewalld/zones/office.xml": zone(SOURCE, '<service name="ssh"/>')},
            "unknown",
        ),
        (
            {"/etc/firewalld/direct.xml": XML + '<direct>\n  <rule ipv="ipv4" table="filter" chain="INPUT"'
             ' priority="0">-p tcp --dport 22 -j DROP</rule>\n</direct>\n'},
            "unknown",
        ),
        ({"/etc/firewalld/direct.xml": XML + "<direct>\n</direct>\n"}, "allow"),
        ({"/etc/firewalld/policies/mine.xml": XML + '<policy target="CONTINUE">\n</policy>\n'}, "unknown"),
        ({PUBLIC: "<zone>\n  <service name='ssh'>\n"}, "unknown"),
        ({PUBLIC: '<!DOCTYPE z [<!ENTITY a "b">]><zone/>'}, "unknown"),
        ({PUBLIC: ReadFailed("bad sector")}, "unknown"),
        ({PUBLIC: zone('<service name="../../../etc/passwd"/>')}, "unknown"),
    ],
)  # fmt: skip
def test_firewalld(files: Files, expected: str) -> None:
    assert decided({**FIREWALLD, **VENDOR, **files}) == expected


def test_firewalld_names_the_line() -> None:
    assert where({**FIREWALLD, **VENDOR}) == ("/usr/lib/firewalld/zones/public.xml", 4)
    assert where({**FIREWALLD, **VENDOR, PUBLIC: zone()}) == (PUBLIC, 2)


def test_services_that_include_each_other_end() -> None:
    service = XML + '<service>\n  <include service="{}"/>\n</service>\n'
    loop: Files = {f"/etc/firewalld/services/{a}.xml": service.format(b) for a, b in (("a", "b"), ("b", "a"))}
    assert decided({**FIREWALLD, **VENDOR, **loop, PUBLIC: zone('<service name="a"/>')}) == "block"
    loop["/etc/firewalld/services/b.xml"] = service.format("ssh")
    assert decided({**FIREWALLD, **VENDOR, **loop, PUBLIC: zone('<service name="a"/>')}) == "allow"


def test_firewalls_that_exclude_each_other_have_to_agree() -> None:
    rival = enabled("nftables", "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n")
    both: Files = {**FIREWALLD, **VENDOR, **rival, "/etc/nftables.conf": WORKSTATION}
    assert decided(both) == "unknown"
    assert {each.decision.value for each in firewalls({**both, PUBLIC: zone()})} == {"block"}
    assert {each.decision.value for each in firewalls({**both, "/etc/nftables.conf": DEBIAN_12})} == {"allow"}


# --- a firewall that is not enabled does not count -------------------------------------------------------------------


@pytest.mark.parametrize("service", ["firewalld", "nftables", "iptables", "ufw", "csf", "SuSEfirewall2"])
def test_one_that_is_installed_and_not_enabled_does_not_count(service: str) -> None:
    files: Files = {**VENDOR, PUBLIC: zone(), "/etc/nftables.conf": WORKSTATION, "/etc/sysconfig/iptables": "*filter\n"}
    files[f"/lib/systemd/system/{service}.service"] = "[Install]\nWantedBy=multi-user.target\n"
    assert decided(files) == "none"


def test_one_that_is_masked_does_not_count() -> None:
    mask: Files = {"/etc/systemd/system/firewalld.service": Link("/dev/null")}
    assert decided({**FIREWALLD, **VENDOR, PUBLIC: zone(), **mask}) == "none"


# --- nftables and iptables by their services -------------------------------------------------------------------------

NFT_UNIT = "[Service]\nExecStart=/usr/sbin/nft -f {}\n[Install]\nWantedBy=sysinit.target\n"
NFT = enabled("nftables", NFT_UNIT.format("/etc/nftables.conf"), "sysinit.target")
PERSISTENT = enabled("netfilter-persistent", "[Service]\nExecStart=/usr/sbin/netfilter-persistent start\n")
RED_HAT = enabled("iptables", "[Service]\nExecStart=/usr/libexec/iptables/iptables.init start\n")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**NFT, "/etc/nftables.conf": DEBIAN_12}, "allow"),
        ({**NFT, "/etc/nftables.conf": WORKSTATION}, "block"),
        ({**NFT, "/etc/nftables.conf": b"\0" * 64}, "unknown"),
        (NFT, "none"),
        ({**enabled("nftables", NFT_UNIT.format("/etc/sysconfig/nftables.conf")),
          "/etc/nftables.conf": DEBIAN_12, "/etc/sysconfig/nftables.conf": WORKSTATION}, "block"),
        ({**PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6}, "allow"),
        ({**PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6.replace("22", "80")}, "block"),
        ({**PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6[:200]}, "unknown"),
        (PERSISTENT, "none"),
        ({**RED_HAT, "/etc/sysconfig/iptables": RED_HAT_6.replace("22", "80")}, "block"),
        ({**RED_HAT, "/etc/sysconfig/iptables": RED_HAT_6, "/etc/ssh/sshd_config": "Port 2222\n"}, "block"),
        ({**RED_HAT, "/etc/sysconfig/iptables": RED_HAT_6, "/etc/ssh/sshd_config": "Port 2222\nPort 22\n"}, "allow"),
        ({**RED_HAT, "/etc/sysconfig/iptables": RED_HAT_6, "/etc/ssh/sshd_config": "Port none\n"}, "unknown"),
    ],
)  # fmt: skip
def test_packet_filters_by_their_services(files: Files, expected: str) -> None:
    assert decided(files) == expected


def test_the_rules_of_a_system_without_systemd_count_by_its_links() -> None:
    files: Files = {
        "/sbin/init": b"\x7fELF",
        "/lib/systemd/systemd": None,
        "/etc/inittab": "# Default runlevel\nid:3:initdefault:\n",
        "/etc/rc.d/init.d/iptables": "#!/bin/sh\n",
        "/etc/rc3.d": Link("rc.d/rc3.d"),
        "/etc/sysconfig/iptables": RED_HAT_6.replace("22", "80"),
    }
    assert decided({**files, "/etc/rc.d/rc3.d/K92iptables": Link("../init.d/iptables")}) == "none"
    assert decided({**files, "/etc/rc.d/rc3.d/S08iptables": Link("../init.d/iptables")}) == "block"


# --- ufw -------------------------------------------------------------------------------------------------------------


def ufw(user_rules: str, policy: str = "DROP", switch: str = "yes") -> Files:
    return {
        **enabled("ufw"),
        "/etc/ufw/ufw.conf": CONF.format(switch),
        "/etc/default/ufw": DEFAULTS.format(policy),
        "/etc/ufw/before.rules": BEFORE,
        "/etc/ufw/after.rules": AFTER,
        "/etc/ufw/user.rules": user_rules,
    }


@pytest.mark.parametrize("command", USER_RULES)
def test_ufw(command: str) -> None:
    rules, expected = USER_RULES[command]
    assert decided(ufw(rules)) == expected


def test_ufw_by_its_switch_and_policy() -> None:
    rules, _ = USER_RULES[""]
    assert decided(ufw(rules, switch="no")) == "none"
    assert decided(ufw(rules, policy="ACCEPT")) == "allow"
    assert decided(ufw(rules, policy="REJECT")) == "block"
    assert decided(ufw(rules, policy="odd")) == "unknown"
    assert where(ufw(rules)) == ("/etc/default/ufw", 6)
    missing = {name: text for name, text in ufw(rules).items() if name != "/etc/ufw/user.rules"}
    assert decided(missing) == "unknown"


# --- SuSEfirewall2 ---------------------------------------------------------------------------------------------------

SUSE = enabled("SuSEfirewall2")


def suse(**changes: str) -> Files:
    """Return its configuration as SLES 12 has it, with FW_SERVICES_EXT_TCP on line 4."""
    values = {"FW_DEV_EXT": "any", "FW_DEV_INT": "", "FW_DEV_DMZ": "", "FW_SERVICES_EXT_TCP": "",
              "FW_CONFIGURATIONS_EXT": "", "FW_SERVICES_ACCEPT_EXT": "", "FW_SERVICES_DROP_EXT": "",
              "FW_TRUSTED_NETS": "", "FW_CUSTOMRULES": ""} | changes  # fmt: skip
    text = "".join(f'{name}="{value}"\n' for name, value in values.items())
    service = '## Name: Secure Shell Server\nTCP="ssh"\nUDP=""\n'
    return {**SUSE, "/etc/sysconfig/SuSEfirewall2": text, "/etc/sysconfig/SuSEfirewall2.d/services/sshd": service}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "block"),
        ({"FW_SERVICES_EXT_TCP": "http ssh"}, "allow"),
        ({"FW_SERVICES_EXT_TCP": "20:25"}, "allow"),
        ({"FW_SERVICES_EXT_TCP": "80 443"}, "block"),
        ({"FW_CONFIGURATIONS_EXT": "apache2 sshd"}, "allow"),
        ({"FW_SERVICES_ACCEPT_EXT": "0/0,tcp,22"}, "allow"),
        ({"FW_SERVICES_ACCEPT_EXT": "10.0.0.0/8,tcp,22"}, "unknown"),
        ({"FW_SERVICES_DROP_EXT": "0/0,tcp,22", "FW_CONFIGURATIONS_EXT": "sshd"}, "unknown"),
        ({"FW_TRUSTED_NETS": "10.0.0.0/8"}, "unknown"),
        ({"FW_DEV_INT": "eth1"}, "unknown"),
        ({"FW_CUSTOMRULES": "/etc/sysconfig/scripts/SuSEfirewall2-custom"}, "unknown"),
    ],
)
def test_suse_firewall(changes: dict[str, str], expected: str) -> None:
    assert decided(suse(**changes)) == expected


# --- TCP wrappers ----------------------------------------------------------------------------------------------------

LINKED: Files = {"/usr/sbin/sshd": b"\x7fELF" + bytes(65530) + b"\0libwrap.so.0\0libaudit.so.1\0"}


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        ("", "ALL: ALL\n", "block"),
        ("", "# nothing\n", "none"),
        ("", "sshd: ALL\n", "block"),
        ("", "sshd : ALL : spawn (echo %h) &\n", "block"),
        ("", "in.telnetd: ALL\n", "none"),
        ("", "ALL EXCEPT sshd: ALL\n", "none"),
        ("", "ALL: 192.0.2.0/24\n", "none"),
        ("sshd: ALL\n", "ALL: ALL\n", "none"),
        ("ALL: ALL\n", "ALL: ALL\n", "none"),
        ("sshd: 10.0.0.0/255.0.0.0\n", "ALL: ALL\n", "unknown"),
        ("sshd: ALL EXCEPT 192.0.2.1\n", "ALL: ALL\n", "none"),
        ("sshd: ALL: deny\n", "", "block"),
        ("", "in.telnetd, \\\n  sshd: ALL\n", "block"),
        ("", b"\0\0\0\0", "unknown"),
    ],
)
def test_tcp_wrappers(allow: str, deny: str | bytes, expected: str) -> None:
    assert decided({**LINKED, "/etc/hosts.allow": allow, "/etc/hosts.deny": deny}) == expected


def test_a_server_without_the_library_does_not_ask_them() -> None:
    assert decided({"/etc/hosts.deny": "ALL: ALL\n"}) == "none"


# --- what imgscan does not follow ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        enabled("csf"),
        enabled("shorewall"),
        enabled("ds_agent"),
        {"/etc/rc.local": "#!/bin/sh\niptables-restore < /etc/my-rules\nexit 0\n"},
        {"/etc/network/if-pre-up.d/iptables": "#!/bin/sh\n/sbin/iptables-restore < /etc/iptables.up.rules\n"},
        {"/etc/network/interfaces": "iface eth0 inet dhcp\n  pre-up iptables-restore < /etc/iptables.rules\n"},
    ],
)
def test_other_firewalls_are_unknown(files: Files) -> None:
    assert decided(files) == "unknown"


def test_a_script_that_only_speaks_of_it_is_none() -> None:
    assert decided({"/etc/rc.local": "#!/bin/sh\n# iptables -A INPUT -j DROP\nexit 0\n"}) == "none"
