"""Faults that keep people out: no SSH server that starts, and firewalls. The files are as each tool writes them."""

from __future__ import annotations

import firewall_rules
import ufw_files
from disk_builder import SSHD_CONFIG, Link, elf
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, linux, one_disk

Files = dict[str, "str | bytes | None"]
BORN: Files = {"etc/machine-id": "0123456789abcdef0123456789abcdef\n"}
"""A system that ran before: presets do not count any more."""
SSH, FIREWALL = "ssh-disabled/0", "firewall-blocks-ssh/0"
NO_LINK: Files = {
    "etc/systemd/system/multi-user.target.wants/ssh.service": None,
    "etc/systemd/system/sshd.service": None,
}


def machine(files: Files) -> Make:
    return one_disk(lambda: linux(files={**BORN, **files}))


BARE = machine({})


def case(finding: str, fault: str, files: Files, healthy: Files | None = None, *, outcome: str = "fail") -> Case:
    """Return a case; an `unknown` outcome leaves a machine ready, for the rules are warnings."""
    return Case(
        finding,
        fault,
        machine(healthy) if healthy else BARE,
        machine({**(healthy or {}), **files}),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready-with-warnings" if outcome == "fail" else "ready",
        {} if outcome == "fail" else {finding: Moved(outcome, "what decides is not followed, or damaged")},
    )


def enabled(service: str, *section: str, target: str = "multi-user.target") -> Files:
    unit = "[Unit]\nDescription=a firewall\n\n[Service]\n" + "".join(f"{line}\n" for line in section)
    return {
        f"lib/systemd/system/{service}.service": f"{unit}\n[Install]\nWantedBy={target}\n",
        f"etc/systemd/system/{target}.wants/{service}.service": Link(f"/lib/systemd/system/{service}.service".encode()),
    }


# an SSH server that only a socket starts, as `systemctl disable ssh.service; systemctl enable ssh.socket` leaves it
SOCKET_ONLY: Files = {
    **NO_LINK,
    "lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\nAccept=no\n\n[Install]\nWantedBy=sockets.target\n",
    "etc/systemd/system/sockets.target.wants/ssh.socket": Link(b"/lib/systemd/system/ssh.socket"),
}
# EL6: Upstart runs the links of the default runlevel
EL6: Files = {
    **NO_LINK,
    "sbin/init": elf(),
    "lib/systemd/systemd": None,
    "lib/systemd/system/ssh.service": None,
    "etc/init/rc.conf": "start on runlevel [0123456]\n",
    "etc/inittab": "# Default runlevel\nid:3:initdefault:\n",
    "etc/rc.d/init.d/sshd": "#!/bin/bash\n",
    "etc/rc.d/rc3.d/S55sshd": Link(b"../init.d/sshd"),
}

PERSISTENT = enabled("netfilter-persistent", "ExecStart=/usr/sbin/netfilter-persistent start")
NFT = enabled("nftables", "ExecStart=/usr/sbin/nft -f /etc/nftables.conf", target="sysinit.target")
DROP_FIRST = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -p tcp -m tcp --dport 22 -j DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
)
ZONE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<zone>\n  <short>Public</short>\n{}'
    '  <service name="dhcpv6-client"/>\n  <forward/>\n</zone>\n'
)
SERVICE = '<?xml version="1.0" encoding="utf-8"?>\n<service>\n  <port protocol="{}" port="{}"/>\n</service>\n'
FIREWALLD: Files = {
    **enabled("firewalld", "ExecStart=/usr/sbin/firewalld --nofork --nopid", "Type=dbus"),
    "etc/firewalld/firewalld.conf": "# firewalld config file\nDefaultZone=public\nCleanupOnExit=yes\n",
    "usr/lib/firewalld/zones/public.xml": ZONE.format('  <service name="ssh"/>\n'),
    "usr/lib/firewalld/services/ssh.xml": SERVICE.format("tcp", 22),
    "usr/lib/firewalld/services/dhcpv6-client.xml": SERVICE.format("udp", 546),
}
UFW: Files = {
    **enabled("ufw", "ExecStart=/lib/ufw/ufw-init start quiet"),
    "etc/ufw/ufw.conf": ufw_files.CONF.format("yes"),
    "etc/default/ufw": ufw_files.DEFAULTS.format("DROP"),
    "etc/ufw/before.rules": ufw_files.BEFORE,
    "etc/ufw/after.rules": ufw_files.AFTER,
    "etc/ufw/user.rules": ufw_files.USER_RULES["allow 22/tcp"][0],
}
LINKED: Files = {"usr/sbin/sshd": elf() + b"\0libwrap.so.0\0"}

CASES = (
    case(SSH, "no server installed", {"usr/sbin/sshd": None}),
    case(SSH, "disabled", NO_LINK),
    case(SSH, "masked", {"etc/systemd/system/ssh.service": Link(b"/dev/null")}),
    case(SSH, "not to be run", {"etc/ssh/sshd_not_to_be_run": ""}),
    case(SSH, "on the loopback interface", {"etc/ssh/sshd_config": f"{SSHD_CONFIG}ListenAddress 127.0.0.1\n"}),
    case(
        SSH,
        "a socket whose service is masked",
        {"etc/systemd/system/ssh.service": Link(b"/dev/null")},
        SOCKET_ONLY,
    ),
    case(SSH, "no start link in the default runlevel", {"etc/inittab": "id:5:initdefault:\n"}, EL6),
    case(SSH, "a configuration that is no text", {"etc/ssh/sshd_config": b"\0" * 512}, outcome="unknown"),
    case(FIREWALL, "iptables drops before it accepts", {"etc/iptables/rules.v4": DROP_FIRST}, PERSISTENT),
    case(
        FIREWALL,
        "iptables of EL6 without its line",
        {"etc/sysconfig/iptables": firewall_rules.RED_HAT_6.replace("22", "80")},
        {
            **EL6,
            "etc/rc.d/init.d/iptables": "#!/bin/sh\n",
            "etc/rc.d/rc3.d/S08iptables": Link(b"../init.d/iptables"),
            "etc/sysconfig/iptables": firewall_rules.RED_HAT_6,
        },
    ),
    case(
        FIREWALL,
        "iptables does not know the changed port",
        {"etc/ssh/sshd_config": f"Port 2222\n{SSHD_CONFIG}"},
        {**PERSISTENT, "etc/iptables/rules.v4": firewall_rules.RED_HAT_6},
    ),
    case(
        FIREWALL,
        "damaged rules",
        {"etc/iptables/rules.v4": firewall_rules.RED_HAT_6[:200]},
        {**PERSISTENT, "etc/iptables/rules.v4": firewall_rules.RED_HAT_6},
        outcome="unknown",
    ),
    case(
        FIREWALL,
        "nftables drops the rest",
        {"etc/nftables.conf": firewall_rules.WORKSTATION},
        {**NFT, "etc/nftables.conf": firewall_rules.DEBIAN_12},
    ),
    case(
        FIREWALL,
        "the default zone of firewalld without ssh",
        {"etc/firewalld/zones/public.xml": ZONE.format("")},
        FIREWALLD,
    ),
    case(
        FIREWALL,
        "direct rules of firewalld",
        {
            "etc/firewalld/direct.xml": '<direct>\n  <rule ipv="ipv4" table="filter" chain="INPUT" priority="0">'
            "-p tcp --dport 22 -j DROP</rule>\n</direct>\n"
        },
        FIREWALLD,
        outcome="unknown",
    ),
    case(FIREWALL, "ufw without a rule", {"etc/ufw/user.rules": ufw_files.USER_RULES[""][0]}, UFW),
    case(FIREWALL, "hosts.deny", {"etc/hosts.deny": "ALL: ALL\n"}, {**LINKED, "etc/hosts.allow": "# none\n"}),
    case(FIREWALL, "CSF", enabled("csf", "ExecStart=/usr/sbin/csf --initup"), outcome="unknown"),
)
