"""Rules of packet filters as their tools write them, and what a kernel does with a new connection to TCP port 22.

It comes from 198.51.100.7 over the interface `eth0`, which no rule names. `unknown` stands where the answer depends on
what the rules name: then a kernel's answer to that one connection is not the whole truth.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Rules(NamedTuple):
    """`kind` is the tool that loads them; `line` is the one that decides, 0 where none does."""

    name: str
    kind: Literal["iptables", "nftables"]
    text: str
    expected: Literal["allow", "block", "unknown"]
    line: int = 0


def _filter(*rules: str, policy: str = "ACCEPT", chains: str = "") -> str:
    """Return a filter table; the first of `rules` stands on line 5 (on 6 with a chain of its own)."""
    head = f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{chains}"
    return head + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n"


RED_HAT_6 = """\
# Firewall configuration written by system-config-firewall
# Manual customization of this file is not recommended.
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state NEW -m tcp -p tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
RED_HAT_5 = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:RH-Firewall-1-INPUT - [0:0]
-A INPUT -j RH-Firewall-1-INPUT
-A FORWARD -j RH-Firewall-1-INPUT
-A RH-Firewall-1-INPUT -i lo -j ACCEPT
-A RH-Firewall-1-INPUT -p icmp --icmp-type any -j ACCEPT
-A RH-Firewall-1-INPUT -p udp --dport 5353 -d 224.0.0.251 -j ACCEPT
-A RH-Firewall-1-INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A RH-Firewall-1-INPUT -m state --state NEW -m tcp -p tcp --dport 22 -j ACCEPT
-A RH-Firewall-1-INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""

IPTABLES = (
    Rules("RHEL 6 as installed", "iptables", RED_HAT_6, "allow", 10),
    Rules("RHEL 6 without its ssh line", "iptables", RED_HAT_6.replace("--dport 22", "--dport 80"), "block", 11),
    Rules("RHEL 5 as installed", "iptables", RED_HAT_5, "allow", 12),
    Rules("RHEL 5 without its ssh line", "iptables", RED_HAT_5.replace("--dport 22", "--dport 80"), "block", 13),
    Rules("empty", "iptables", _filter(), "allow", 2),
    Rules("policy", "iptables", _filter(policy="DROP"), "block", 2),
    Rules(
        "accepted under a policy",
        "iptables",
        _filter("-A INPUT -p tcp --dport 22 -j ACCEPT", policy="DROP"),
        "allow",
        5,
    ),
    Rules(
        "dropped before it is accepted",
        "iptables",
        _filter("-A INPUT -p tcp -m tcp --dport 22 -j DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"),
        "block",
        5,
    ),
    Rules(
        "accepted before all is dropped",
        "iptables",
        _filter("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "-A INPUT -j DROP"),
        "allow",
        5,
    ),
    Rules(
        "inserted in front", "iptables", _filter("-A INPUT -j DROP", "-I INPUT -p tcp --dport 22 -j ACCEPT"), "allow", 6
    ),
    Rules(
        "conditions behind the target",
        "iptables",
        _filter(
            '-A INPUT -j LOG --log-prefix "x: " -m limit --limit 3/min --limit-burst 10',
            "-A INPUT -j DROP -p udp",
            "-A INPUT -j REJECT --reject-with tcp-reset -p tcp -m tcp --dport 80",
            "-A INPUT -j ACCEPT -p tcp --dport 22",
            policy="DROP",
        ),
        "allow",
        8,
    ),
    Rules(
        "several ports",
        "iptables",
        _filter("-A INPUT -p tcp -m multiport --dports 80,443,20:22 -j ACCEPT", policy="DROP"),
        "allow",
        5,
    ),
    Rules("all ports but some", "iptables", _filter("-A INPUT -p tcp -m tcp ! --dport 80 -j DROP"), "block", 5),
    Rules("all ports but 22", "iptables", _filter("-A INPUT -p tcp -m tcp ! --dport 22 -j DROP"), "allow", 2),
    Rules("a range of ports", "iptables", _filter("-A INPUT -p tcp -m tcp --dport 1:1023 -j REJECT"), "block", 5),
    Rules("another protocol", "iptables", _filter("-A INPUT -p udp -m udp --dport 22 -j DROP"), "allow", 2),
    Rules(
        "certain addresses only",
        "iptables",
        _filter("-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT", policy="DROP"),
        "unknown",
    ),
    Rules("all but certain addresses", "iptables", _filter("-A INPUT -s 10.0.0.0/8 -j DROP"), "allow", 2),
    Rules("others than certain addresses", "iptables", _filter("-A INPUT ! -s 10.0.0.0/8 -j DROP"), "unknown"),
    Rules(
        "others than certain addresses, and then all",
        "iptables",
        _filter("-A INPUT ! -s 10.0.0.0/8 -j DROP", "-A INPUT -p tcp -j DROP"),
        "block",
        6,
    ),
    Rules(
        "others than certain addresses accepted",
        "iptables",
        _filter("-A INPUT ! -s 10.0.0.0/8 -j ACCEPT", policy="DROP"),
        "allow",
        5,
    ),
    Rules(
        "others than a set",
        "iptables",
        _filter("-A INPUT -p tcp -m set ! --match-set friends src -j DROP"),
        "unknown",
    ),
    Rules(
        "others than certain addresses in a chain",
        "iptables",
        _filter(
            "-A INPUT ! -s 10.0.0.0/8 -j STRANGERS",
            "-A INPUT -j ACCEPT",
            "-A STRANGERS -j DROP",
            chains=":STRANGERS - [0:0]\n",
        ),
        "unknown",
    ),
    Rules(
        "others than certain addresses return",
        "iptables",
        _filter(
            "-A INPUT -j FRIENDS",
            "-A FRIENDS ! -s 10.0.0.0/8 -j RETURN",
            "-A FRIENDS -j ACCEPT",
            chains=":FRIENDS - [0:0]\n",
            policy="DROP",
        ),
        "unknown",
    ),
    Rules(
        "halves of the world",
        "iptables",
        _filter("-A INPUT -s 0.0.0.0/1 -j DROP", "-A INPUT -s 128.0.0.0/1 -j DROP"),
        "unknown",
    ),
    Rules("the whole world", "iptables", _filter("-A INPUT -s 0.0.0.0/0.0.0.0 -j DROP"), "block", 5),
    Rules(
        "who knocked before",
        "iptables",
        _filter("-A INPUT -p tcp --dport 22 -m recent --name K --rcheck --seconds 30 -j ACCEPT", policy="DROP"),
        "unknown",
    ),
    Rules(
        "who did not knock before",
        "iptables",
        _filter("-A INPUT -p tcp --dport 22 -m recent ! --rcheck --seconds 30 --name K --rsource -j DROP"),
        "unknown",
    ),
    Rules(
        "no connection at all from one address",
        "iptables",
        _filter("-A INPUT -p tcp --dport 22 --syn -m connlimit --connlimit-above 0 -j DROP"),
        "block",
        5,
    ),
    Rules(
        "a certain interface only",
        "iptables",
        _filter("-A INPUT -i eth1 -p tcp -m tcp --dport 22 -j ACCEPT", policy="DROP"),
        "unknown",
    ),
    Rules("the loopback interface only", "iptables", _filter("-A INPUT -i lo -j ACCEPT", policy="DROP"), "block", 2),
    Rules("all but the loopback interface", "iptables", _filter("-A INPUT ! -i lo -j DROP"), "block", 5),
    Rules(
        "established connections only",
        "iptables",
        _filter("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", policy="DROP"),
        "block",
        2,
    ),
    Rules(
        "a chain that returns",
        "iptables",
        _filter(
            "-A INPUT -p tcp -j SERVICES",
            "-A INPUT -j DROP",
            "-A SERVICES -p tcp -m tcp --dport 22 -j RETURN",
            "-A SERVICES -j ACCEPT",
            chains=":SERVICES - [0:0]\n",
        ),
        "block",
        7,
    ),
    Rules(
        "a chain that is gone to",
        "iptables",
        _filter("-A INPUT -g OTHER", "-A INPUT -j DROP", "-A OTHER -p udp -j DROP", chains=":OTHER - [0:0]\n"),
        "allow",
        2,
    ),
    Rules(
        "logged, then dropped",
        "iptables",
        _filter('-A INPUT -p tcp -m tcp --dport 22 -j LOG --log-prefix "ssh -j ACCEPT: "', "-A INPUT -j DROP"),
        "block",
        6,
    ),
    Rules(
        "SYN packets",
        "iptables",
        _filter("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"),
        "block",
        5,
    ),
    Rules(
        "packets that are no SYN",
        "iptables",
        _filter(
            "-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP",
            "-A INPUT -p tcp -m tcp --tcp-flags SYN,RST SYN,RST -j DROP",
            "-A INPUT -p tcp -m tcp --tcp-flags ALL NONE -j DROP",
        ),
        "allow",
        2,
    ),
    Rules(
        "too many connections from one address",
        "iptables",
        _filter(
            "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name ssh",
            "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW"
            " -m recent --update --seconds 60 --hitcount 4 --name ssh -j DROP",
            "-A INPUT -p tcp --dport 22 -m connlimit --connlimit-above 3 -j REJECT",
            "-A INPUT -p tcp --dport 22 -m limit --limit 3/min -j ACCEPT",
            "-A INPUT -j DROP",
        ),
        "allow",
        8,
    ),
    Rules("dropped in another table", "iptables", "*raw\n:PREROUTING DROP [0:0]\nCOMMIT\n" + _filter(), "block", 2),
    Rules(
        "comments and counters",
        "iptables",
        _filter(
            '[12:720] -A INPUT -p tcp -m comment --comment "it\'s -j DROP" -m tcp --dport 22 -j ACCEPT', policy="DROP"
        ),
        "allow",
        5,
    ),
    Rules(
        "a target that is not known",
        "iptables",
        _filter("-A INPUT -p tcp --dport 22 -j NFQUEUE --queue-num 0"),
        "unknown",
    ),
    Rules("a match that is not known", "iptables", _filter("-A INPUT -m u32 --u32 '0&0xFF=0' -j DROP"), "unknown"),
)


def _inet(*rules: str, policy: str = "accept", more: str = "") -> str:
    """Return a table whose chain for input has these rules, the first on line 7 (behind the lines of `more`)."""
    return (
        "#!/usr/sbin/nft -f\n\nflush ruleset\ntable inet filter {\n"
        f"{more}\tchain input {{\n\t\ttype filter hook input priority 0; policy {policy};\n"
        + "".join(f"\t\t{rule}\n" for rule in rules)
        + "\t}\n}\n"
    )


DEBIAN_12 = """\
#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter;
	}
	chain forward {
		type filter hook forward priority filter;
	}
	chain output {
		type filter hook output priority filter;
	}
}
"""
WORKSTATION = """\
#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority 0;

		# accept any localhost traffic
		iif lo accept

		# accept traffic originated from us
		ct state established,related accept

		# activate the following line to accept common local services
		#tcp dport { 22, 80, 443 } ct state new accept

		# ICMPv6 packets which must not be dropped, see https://tools.ietf.org/html/rfc4890#section-4.4.1
		meta nfproto ipv6 icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, 148, 149 } accept
		ip6 saddr fe80::/10 icmpv6 type { 130, 131, 132, 143, 151, 152, 153 } accept

		# count and drop any other traffic
		counter drop
	}
}
"""

NFTABLES = (
    Rules("Debian 12 as installed", "nftables", DEBIAN_12, "allow", 7),
    Rules("Debian's example for a workstation", "nftables", WORKSTATION, "block", 23),
    Rules("the same with its services", "nftables", WORKSTATION.replace("\t\t#tcp", "\t\ttcp"), "allow", 16),
    Rules("a policy", "nftables", _inet(policy="drop"), "block", 6),
    Rules("accepted under a policy", "nftables", _inet("tcp dport ssh accept", policy="drop"), "allow", 7),
    Rules("dropped first", "nftables", _inet("tcp dport 22 drop", "tcp dport 22 accept"), "block", 7),
    Rules("a range", "nftables", _inet("tcp dport 20-25 counter packets 0 bytes 0 accept", policy="drop"), "allow", 7),
    Rules("not a port", "nftables", _inet("tcp dport != 80 reject"), "block", 7),
    Rules("not this port", "nftables", _inet("tcp dport != { 22, 80 } reject"), "allow", 6),
    Rules("smaller ports", "nftables", _inet("tcp dport < 1024 reject with tcp reset"), "block", 7),
    Rules(
        "a named set",
        "nftables",
        _inet(
            "tcp dport @open accept",
            policy="drop",
            more="\tset open {\n\t\ttype inet_service; flags interval\n\t\telements = { 22, 8000-8080 }\n\t}\n",
        ),
        "allow",
        11,
    ),
    Rules(
        "a variable",
        "nftables",
        "define services = {\n  22,\n  80\n}\n" + _inet("tcp dport $services accept", policy="drop"),
        "allow",
        11,
    ),
    Rules(
        "a verdict map",
        "nftables",
        _inet(
            "ct state vmap { established : accept, related : accept, invalid : drop }",
            "tcp dport vmap { 22 : jump ssh, 80 : accept }",
            policy="drop",
            more="\tchain ssh {\n\t\tlimit rate 10/minute burst 5 packets accept\n\t}\n",
        ),
        "allow",
        6,
    ),
    Rules(
        "certain addresses only",
        "nftables",
        _inet("ip saddr { 10.0.0.0/8, 192.0.2.1 } tcp dport 22 accept", policy="drop"),
        "unknown",
    ),
    Rules("all but certain addresses", "nftables", _inet("ip saddr 10.0.0.0/8 drop"), "allow", 6),
    Rules("others than certain addresses", "nftables", _inet("tcp dport 22 ip saddr != 10.0.0.0/8 drop"), "unknown"),
    Rules(
        "others than a set",
        "nftables",
        _inet(
            "ip saddr != @friends drop",
            more="\tset friends {\n\t\ttype ipv4_addr; flags interval\n\t\telements = { 10.0.0.0/8 }\n\t}\n",
        ),
        "unknown",
    ),
    Rules("halves of the world", "nftables", _inet("ip saddr 0.0.0.0/1 drop", "ip saddr 128.0.0.0/1 drop"), "unknown"),
    Rules("a range of the world", "nftables", _inet("ip saddr 1.0.0.0-223.255.255.255 drop"), "unknown"),
    Rules(
        "a certain interface only", "nftables", _inet('iifname "ens192" tcp dport 22 accept', policy="drop"), "unknown"
    ),
    Rules("the loopback interface only", "nftables", _inet('iifname "lo" accept', policy="drop"), "block", 6),
    Rules("IPv6 only", "nftables", _inet("meta nfproto ipv6 tcp dport 22 accept", policy="drop"), "block", 6),
    Rules("a table of IPv6", "nftables", _inet(policy="drop").replace("inet", "ip6"), "allow"),
    Rules(
        "a chain of forwarded packets", "nftables", _inet(policy="drop").replace("hook input", "hook forward"), "allow"
    ),
    Rules(
        "two tables",
        "nftables",
        _inet("tcp dport 22 accept") + "table ip other {\n\tchain in {\n\t\ttype filter hook input priority 10\n"
        "\t\ttcp dport 22 drop\n\t}\n}\n",
        "block",
        13,
    ),
    Rules(
        "too many from one address",
        "nftables",
        _inet(
            "ct state new tcp dport 22 meter ssh { ip saddr limit rate over 3/minute } drop",
            "tcp flags & (fin|syn|rst|ack) != syn ct state new drop",
            "tcp flags & (fin|syn) == fin|syn drop",
            'log prefix "seen: drop " level info',
            "tcp dport 22 limit rate 15/minute accept",
            policy="drop",
        ),
        "allow",
        11,
    ),
    Rules(
        "commands of their own",
        "nftables",
        "add table ip filter\n"
        "add chain ip filter input { type filter hook input priority 0 ; policy drop ; }\n"
        "add rule ip filter input tcp dport { 22, 80 } accept\n",
        "allow",
        3,
    ),
    Rules(
        "comments and goto",
        "nftables",
        _inet(
            'tcp dport 22 goto closed comment "accept; drop"',
            "accept",
            more="\tchain closed {\n\t\treject with icmpx type admin-prohibited\n\t}\n",
        ),
        "block",
        6,
    ),
    Rules("a condition that is not known", "nftables", _inet("ip ttl 64 tcp dport 22 drop"), "unknown"),
    Rules("a queue", "nftables", _inet("tcp dport 22 queue num 0"), "unknown"),
)
