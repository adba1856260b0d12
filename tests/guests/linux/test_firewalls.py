from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from firewall_rules import DEBIAN_12, RED_HAT_6, WORKSTATION
from memory_filesystem import Content, Link, MemoryFileSystem
from ufw_files import AFTER, BEFORE, CONF, DEFAULTS, USER_RULES

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ReadFailed, UnsupportedFormat
from imgscan.guests.linux import boot_commands, config_file, firewalld
from imgscan.guests.linux.config_file import read_config
from imgscan.guests.linux.firewalls import read_firewalls
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import read_ssh_server
from imgscan.guests.linux.xml_file import parse_xml
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
OTHERS = '<source invert="yes" address="10.0.0.0/8"/>'
ALL = '<source address="0.0.0.0/0"/>'
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
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format("", OTHERS, "drop"))}, "unknown"),
        ({PUBLIC: zone(RICH.format("", OTHERS, "accept"))}, "allow"),
        ({PUBLIC: zone('<service name="ssh"/>', RICH.format("", '<source address="0.0.0.0/1"/>', "drop"))}, "unknown"),
        # a zone bound to sources comes first
        ({"/etc/firewalld/zones/drop.xml": zone(ALL, target="DROP")}, "block"),
        ({PUBLIC: zone(), "/etc/firewalld/zones/mine.xml": zone(ALL, '<service name="ssh"/>')}, "unknown"),
        (
            {PUBLIC: zone(), "/etc/firewalld/zones/mine.xml": zone(ALL, '<service name="ssh"/>', target="DROP")},
            "allow",
        ),
        ({"/etc/firewalld/zones/drop.xml": zone(SOURCE, target="DROP")}, "allow"),
        ({"/etc/firewalld/zones/drop.xml": zone('<source address="0.0.0.0/1"/>', target="DROP")}, "unknown"),
        ({PUBLIC: zone('<forward-port port="22" protocol="tcp" to-port="2222"/>')}, "unknown"),
        ({PUBLIC: zone(
            '<service name="ssh"/>', '<forward-port port="22" protocol="tcp" to-port="2222"/>')}, "unknown"),
        ({PUBLIC: zone(
            '<service name="ssh"/>', '<forward-port port="80" protocol="tcp" to-port="8080"/>')}, "allow"),
        ({PUBLIC: zone(
            '<service name="ssh"/>', '<rule><forward-port port="22" protocol="tcp" to-port="2222"/></rule>')},
         "unknown"),
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


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of what is read at most, for the sake of the suite's time."""
    monkeypatch.setattr(config_file, "CONFIGS_BYTES", config_file.CONFIGS_BYTES // 10)
    monkeypatch.setattr(firewalld, "ELEMENTS", firewalld.ELEMENTS // 10)
    monkeypatch.setattr(boot_commands, "LINES", boot_commands.LINES // 10)


@pytest.mark.usefixtures("small_limits")
def test_many_links_to_one_large_file_end_soon() -> None:
    large = "<zone>" + "<a/>" * 10_000 + "</zone>"
    zones: Files = {f"/etc/firewalld/zones/l{number:04}.xml": Link("/etc/large") for number in range(1000)}
    started = time.process_time()
    assert decided({**FIREWALLD, **VENDOR, **zones, "/etc/large": large}) == "unknown"
    cards: Files = {f"/etc/sysconfig/network-scripts/ifcfg-{number:04}": Link("/etc/large") for number in range(1000)}
    assert decided({**FIREWALLD, **VENDOR, **cards, "/etc/large": 'A="b"\n' * 15_000}) == "unknown"
    assert time.process_time() - started < 8  # 0.2 s as a rule; all of them take minutes


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


FIRST = "[Service]\nExecStart=\nExecStart={}\n"
NFT_DROP_IN = "/etc/systemd/system/nftables.service.d/own.conf"
DROP = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
RESTORE = enabled("iptables", "[Service]\nExecStart=/sbin/iptables-restore -n -w 5 /etc/own.rules\n")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # commands of units and their drop-ins
        ({**NFT, "/etc/nftables.conf": DEBIAN_12, "/etc/own": WORKSTATION,
          NFT_DROP_IN: FIRST.format("/usr/sbin/nft -f /etc/own")}, "block"),
        ({**NFT, "/etc/nftables.conf": DEBIAN_12, "/etc/own": DEBIAN_12.replace("flush ruleset", ""),
          NFT_DROP_IN: "[Service]\nExecStart=/usr/sbin/nft -f /etc/own\n"}, "allow"),
        ({**NFT, "/etc/nftables.conf": DEBIAN_12,
          "/etc/own": "table ip f { chain i { type filter hook input priority 0; policy drop; } }\n",
          NFT_DROP_IN: "[Service]\nExecStart=/usr/sbin/nft -f /etc/own\n"}, "block"),
        ({**NFT, "/etc/nftables.conf": DEBIAN_12,
          NFT_DROP_IN: "[Service]\nExecStartPost=/usr/sbin/nft add rule inet filter input drop\n"}, "unknown"),
        ({**NFT, "/etc/nftables.conf": DEBIAN_12, NFT_DROP_IN: FIRST.format("/usr/local/bin/load-rules")}, "unknown"),
        ({**RESTORE, "/etc/own.rules": DROP, "/etc/sysconfig/iptables": RED_HAT_6}, "block"),
        # two that load rules into the same tables
        ({**RESTORE, "/etc/own.rules": DROP, **PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6}, "unknown"),
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


def test_two_services_that_load_rules_are_both_read() -> None:
    both: Files = {**RESTORE, "/etc/own.rules": RED_HAT_6, **PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6}
    assert [each.decision.get() for each in firewalls(both)] == ["allow", "allow"]
    alias: Files = {**PERSISTENT, "/etc/iptables/rules.v4": RED_HAT_6}
    alias["/etc/systemd/system/iptables.service"] = Link("/lib/systemd/system/netfilter-persistent.service")
    assert decided(alias) == "allow"


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


def test_long_lists_of_ports_end_soon() -> None:
    ports = "".join(f"Port {number}\n" for number in range(100, 116))
    for name in ("FW_SERVICES_EXT_TCP", "FW_SERVICES_ACCEPT_EXT", "FW_CONFIGURATIONS_EXT"):
        assert decided({**suse(**{name: "1, " * 20_000}), "/etc/ssh/sshd_config": ports}) == "unknown"


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
        # in any case, and other words for all
        ("", "all: all\n", "block"),
        ("", "SSHD: All\n", "block"),
        ("sshd: all\n", "ALL: ALL\n", "none"),
        ("", "sshd: 0.0.0.0/0.0.0.0\n", "block"),
        ("", "sshd: 0.0.0.0/0\n", "block"),
        ("", "ssh*: *\n", "block"),
        ("", "all except SSHD: all\n", "none"),
        ("", "ALL EXCEPT sshd EXCEPT sshd: ALL\n", "block"),
        # certain clients only
        ("", "sshd: ALL EXCEPT 10.0.0.0/255.0.0.0\n", "unknown"),
        ("sshd: ALL EXCEPT /etc/enemies\n", "ALL: ALL\n", "unknown"),
        ("sshd: KNOWN\n", "ALL: ALL\n", "unknown"),
        ("", "ALL: PARANOID\n", "none"),
        ("", "sshd: 10.0.0.0/8 127.0.0.1 .example.com @netgroup\n", "none"),
        ("sshd: 127.0.0.1\n", "ALL: ALL\n", "block"),
        # commands
        ("sshd: ALL: twist /bin/echo go away\n", "", "unknown"),
        ("sshd: ALL: aclexec /etc/ask %a\n", "", "unknown"),
        ("sshd: ALL: spawn /etc/tell %a\n", "", "unknown"),
    ],
)
def test_tcp_wrappers(allow: str, deny: str | bytes, expected: str) -> None:
    assert decided({**LINKED, "/etc/hosts.allow": allow, "/etc/hosts.deny": deny}) == expected


def test_a_server_without_the_library_does_not_ask_them() -> None:
    assert decided({"/etc/hosts.deny": "ALL: ALL\n"}) == "none"


# --- what imgscan does not follow ------------------------------------------------------------------------------------


RESTORES = "#!/bin/sh\n\n/sbin/iptables-restore < /etc/r\n"
SYSV: Files = {"/sbin/init": b"\x7fELF", "/lib/systemd/systemd": None, "/etc/inittab": "id:2:initdefault:\n"}
UPSTART: Files = {"/sbin/init": b"\x7fELF", "/lib/systemd/systemd": None, "/etc/init/rc.conf": ""}
TIMER = "[Timer]\nOnBootSec=5\n[Install]\nWantedBy=timers.target\n"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (enabled("csf"), None),
        (enabled("shorewall"), None),
        (enabled("ds_agent"), None),
        ({"/etc/rc.local": RESTORES}, ("/etc/rc.local", 3)),
        ({"/etc/rc.d/rc.local": "service iptables start\n"}, ("/etc/rc.d/rc.local", 1)),
        ({"/etc/rc.local": "systemctl start nftables.service\n"}, ("/etc/rc.local", 1)),
        ({"/etc/rc.local": "/usr/local/sbin/fw start\n", "/usr/local/sbin/fw": RESTORES}, ("/usr/local/sbin/fw", 3)),
        ({"/etc/rc.local": "sh /root/a\n", "/root/a": ". /etc/b.sh\n", "/etc/b.sh": RESTORES}, ("/etc/b.sh", 3)),
        ({"/etc/rc.local": "cd /root && ./my-firewall.sh\n"}, ("/etc/rc.local", 1)),
        # services of one's own
        (enabled("own", "[Service]\nExecStart=/usr/sbin/nft -f /etc/site.nft\n"),
         ("/lib/systemd/system/own.service", 2)),
        (enabled("own", "[Service]\nExecStart=/bin/sh -c \\\n 'iptables -P INPUT DROP'\n"),
         ("/lib/systemd/system/own.service", 2)),
        ({**enabled("own", "[Service]\nExecStart=/opt/own/start\n"), "/opt/own/start": RESTORES},
         ("/opt/own/start", 3)),
        (enabled("own@a", "[Service]\nExecStart=/usr/sbin/ufw enable\n"), ("/lib/systemd/system/own@a.service", 2)),
        ({**enabled("app", "[Service]\nExecStart=/usr/bin/app\n"),
          "/etc/systemd/system/app.service.d/a.conf": "[Service]\nExecStartPost=/sbin/iptables -A INPUT -j DROP\n"},
         ("/etc/systemd/system/app.service.d/a.conf", 2)),
        ({**enabled("app", "[Unit]\nWants=own.service\n"),
          "/etc/systemd/system/own.service": "[Service]\nExecStart=/sbin/ebtables-restore\n"},
         ("/etc/systemd/system/own.service", 2)),
        ({"/etc/systemd/system/own.timer": TIMER, "/etc/systemd/system/own.service": "[Service]\nExecStart=/sbin/nft\n",
          "/etc/systemd/system/timers.target.wants/own.timer": Link("../own.timer")},
         ("/etc/systemd/system/own.service", 2)),
        ({"/etc/init.d/own": RESTORES, "/etc/rc2.d/S20own": Link("../init.d/own")}, ("/etc/init.d/own", 3)),
        # other init systems
        ({**SYSV, "/etc/init.d/own": RESTORES, "/etc/rc2.d/S20own": Link("../init.d/own")}, ("/etc/init.d/own", 3)),
        ({**SYSV, "/etc/init.d/own": RESTORES, "/etc/rcS.d/S20own": Link("../init.d/own")}, ("/etc/init.d/own", 3)),
        ({**UPSTART, "/etc/init/own.conf": "start on my-event\npre-start exec nft -f /etc/x\n"},
         ("/etc/init/own.conf", 2)),
        ({**UPSTART, "/etc/init.d/own": RESTORES, "/etc/rc2.d/S20own": Link("../init.d/own")}, ("/etc/init.d/own", 3)),
        ({"/sbin/init": b"", "/lib/systemd/systemd": None, "/etc/runlevels/default/own": Link("/etc/init.d/own"),
          "/etc/init.d/own": RESTORES}, ("/etc/init.d/own", 3)),
        # network hooks, and cron
        ({"/etc/network/if-pre-up.d/a": RESTORES}, ("/etc/network/if-pre-up.d/a", 3)),
        ({"/etc/NetworkManager/dispatcher.d/10-a": RESTORES}, ("/etc/NetworkManager/dispatcher.d/10-a", 3)),
        ({"/etc/network/interfaces": "iface eth0 inet dhcp\n  pre-up iptables-restore < /etc/r\n"},
         ("/etc/network/interfaces", 2)),
        ({"/etc/network/interfaces": "source /etc/network/interfaces.d/*\n",
          "/etc/network/interfaces.d/eth0": "iface eth0 inet dhcp\n  up ip6tables-restore < /etc/r\n"},
         ("/etc/network/interfaces.d/eth0", 2)),
        ({"/etc/network/interfaces": "source-directory interfaces.d\n", "/etc/network/interfaces.d/a": "up /opt/a up\n",
          "/opt/a": RESTORES}, ("/opt/a", 3)),
        ({"/etc/crontab": "MAILTO=root\n@reboot root iptables-restore < /etc/r\n"}, ("/etc/crontab", 2)),
        ({"/var/spool/cron/crontabs/root": "@reboot /root/fw.sh\n", "/root/fw.sh": RESTORES}, ("/root/fw.sh", 3)),
        # what may do so
        ({"/etc/rc.local": ReadFailed("bad sector")}, None),
        ({"/etc/network/interfaces": "source /etc/*/eth0\n"}, None),
        ({**enabled("firewalld", "[Service]\nExecStart=/usr/sbin/firewalld\n"),
            "/etc/systemd/system/firewalld.service.d/a.conf": "[Service]\nExecStartPost=/sbin/nft -f /etc/r\n",
            "/usr/lib/firewalld/zones/public.xml": "<zone target='ACCEPT'/>"},
         ("/etc/systemd/system/firewalld.service.d/a.conf", 2)),
    ],
)  # fmt: skip
def test_other_firewalls_are_unknown(files: Files, place: tuple[str, int] | None) -> None:
    found = [each for each in firewalls(files) if not each.decision.is_known]
    assert len(found) == 1, found
    if place is not None:
        piece = found[0].decision.evidence[0]
        assert (getattr(piece, "path", ""), getattr(piece, "line", 0)) == place


@pytest.mark.parametrize(
    "files",
    [
        # not started
        {"/lib/systemd/system/own.service": "[Service]\nExecStart=/usr/sbin/nft -f /etc/site.nft\n"},
        {**enabled("own", "[Service]\nExecStart=/usr/sbin/nft -f /etc/site.nft\n"),
         "/etc/systemd/system/own.service": Link("/dev/null")},
        enabled("own", "[Unit]\nConditionPathExists=/nope\n[Service]\nExecStart=/usr/sbin/nft -f /etc/site.nft\n"),
        enabled("own", "[Service]\nExecStopPost=/usr/sbin/nft flush ruleset\nExecReload=/usr/sbin/nft -f /etc/x\n"),
        {**SYSV, "/etc/init.d/own": RESTORES, "/etc/rc2.d/K20own": Link("../init.d/own")},
        {**SYSV, "/etc/init.d/ip6tables": RESTORES, "/etc/rc2.d/S08ip6tables": Link("../init.d/ip6tables")},
        {**UPSTART, "/etc/init/own.conf": "start on runlevel [5]\nexec nft -f /etc/x\n"},
        # only spoken of
        {"/etc/rc.local": "#!/bin/sh\n# iptables -A INPUT -j DROP\ntrue # iptables\nexit 0\n"},
        {"/etc/rc.local": "iptables-save > /root/rules\ncp /etc/csf/a /etc/ufw/b\nnft-stat my-nft nft.log\n"},
        {"/etc/rc.local": "/opt/a\n/opt/b\n/opt/c\n", "/opt/a": b"\x7fELF nft ", "/opt/b": bytes(2 << 20)},
    ],
)  # fmt: skip
def test_what_does_not_start_or_is_no_command_is_none(files: Files) -> None:
    assert decided(files) == "none"


def test_long_words_are_no_commands() -> None:
    text = "firewall" * 50_000 + "\n" + "iptables-" * 20_000 + "\n" + "/a" * 200_000 + "\n"
    assert decided({"/etc/rc.local": text}) == "none"
    assert decided({**LINKED, "/etc/hosts.deny": "ALL:" + "x " * 100_000 + "\n"}) == "none"


@pytest.mark.usefixtures("small_limits")
def test_hostile_boot_scripts_end_soon() -> None:
    large = "#!/bin/sh\n" + "/opt/a/b/c\n" * 10_000
    links: Files = {f"/etc/network/if-up.d/l{number:04}": Link("/etc/large") for number in range(1000)}
    units: Files = {"/etc/large": "[Service]\n" + "ExecStart=/x\n" * 1_000}
    for number in range(500):
        units[f"/etc/systemd/system/u{number}.service"] = Link("/etc/large")
        units[f"/etc/systemd/system/multi-user.target.wants/u{number}.service"] = Link(f"../u{number}.service")
    targets = "[Unit]\n" + "Wants=a\n" * 40_000
    started = time.process_time()
    assert decided({**links, "/etc/large": large}) == "unknown"
    assert decided(units) == "unknown"
    assert decided({"/etc/systemd/system/default.target": targets}) == "none"
    assert time.process_time() - started < 8


def test_a_script_that_only_speaks_of_it_is_none() -> None:
    assert decided({"/etc/rc.local": "#!/bin/sh\n# iptables -A INPUT -j DROP\nexit 0\n"}) == "none"


@pytest.mark.parametrize("encoding", ["nonsense", "rot13", "GBK"])
def test_xml_in_an_encoding_that_is_not_known_is_an_error_of_that_file(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<zone/>'
    file = read_config(GuestTree({"/": MemoryFileSystem({PUBLIC: text})}), PUBLIC)
    assert file is not None
    with pytest.raises((CorruptStructure, UnsupportedFormat)):
        parse_xml(file)
