"""ufw's files as the tool (0.36) writes them: rule files with their chains in order, fewer of the rules for ICMP.

Each of `USER_RULES` was made by `ufw COMMAND` on a system where ufw is off; what a kernel does with a new connection to
TCP port 22 was then tried with the rules that `ufw-init start` loads. `unknown` is where that depends on the client.
"""

from __future__ import annotations

CONF = "# /etc/ufw/ufw.conf\n#\n\n# Set to yes to start on boot.\nENABLED={}\n\nLOGLEVEL=low\n"
DEFAULTS = (
    "# /etc/default/ufw\n#\n\nIPV6=yes\n\n"
    'DEFAULT_INPUT_POLICY="{}"\n\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n\nDEFAULT_FORWARD_POLICY="DROP"\n\n'
    "MANAGE_BUILTINS=no\n\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n"
)
BEFORE = """\
#
# rules.before
#

# Don't delete these required lines, otherwise there will be errors
*filter
:ufw-before-input - [0:0]
:ufw-before-output - [0:0]
:ufw-before-forward - [0:0]
:ufw-not-local - [0:0]
# End required lines

# allow all on loopback
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT
COMMIT
"""
AFTER = """\
*filter
:ufw-after-input - [0:0]
:ufw-after-output - [0:0]
:ufw-after-forward - [0:0]
-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-input -p tcp --dport 139 -j ufw-skip-to-policy-input
-A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input
COMMIT
"""


def user_rules(*rules: str) -> str:
    """Return user.rules with these rules, the first of them on line 17."""
    chains = ("ufw-user-input", "ufw-user-output", "ufw-user-forward", "ufw-before-logging-input",
              "ufw-before-logging-output", "ufw-before-logging-forward", "ufw-user-logging-input",
              "ufw-after-logging-input", "ufw-logging-deny", "ufw-logging-allow", "ufw-user-limit",
              "ufw-user-limit-accept")  # fmt: skip
    declared = "".join(f":{chain} - [0:0]\n" for chain in chains)
    end = (
        "\n### END RULES ###\n\n### LOGGING ###\n"
        '-A ufw-after-logging-input -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10\n'
        "-I ufw-logging-deny -m conntrack --ctstate INVALID -j RETURN -m limit --limit 3/min --limit-burst 10\n"
        '-A ufw-logging-deny -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10\n'
        "### END LOGGING ###\n\n### RATE LIMITING ###\n"
        '-A ufw-user-limit -m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "\n'
        "-A ufw-user-limit -j REJECT\n-A ufw-user-limit-accept -j ACCEPT\n### END RATE LIMITING ###\nCOMMIT\n"
    )
    return f"*filter\n{declared}### RULES ###\n\n### tuple ###\n" + "".join(f"{rule}\n" for rule in rules) + end


USER_RULES = {
    "": (user_rules(), "block"),
    "allow 22/tcp": (user_rules("-A ufw-user-input -p tcp --dport 22 -j ACCEPT"), "allow"),
    "limit ssh": (
        user_rules(
            "-A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set",
            "-A ufw-user-input -p tcp --dport 22 -m conntrack --ctstate NEW"
            " -m recent --update --seconds 30 --hitcount 6 -j ufw-user-limit",
            "-A ufw-user-input -p tcp --dport 22 -j ufw-user-limit-accept",
        ),
        "allow",
    ),
    "deny 22, then allow 22": (
        user_rules(
            "-A ufw-user-input -p tcp --dport 22 -j DROP",
            "-A ufw-user-input -p udp --dport 22 -j DROP",
            "-A ufw-user-input -p tcp --dport 22 -j ACCEPT",
        ),
        "block",
    ),
    "allow 80/tcp": (user_rules("-A ufw-user-input -p tcp --dport 80 -j ACCEPT"), "block"),
    "allow from 10.0.0.0/8 to any port 22 proto tcp": (
        user_rules("-A ufw-user-input -p tcp --dport 22 -s 10.0.0.0/8 -j ACCEPT"),
        "unknown",
    ),
    "allow in on eth1 to any port 22 proto tcp": (
        user_rules("-A ufw-user-input -i eth1 -p tcp --dport 22 -j ACCEPT"),
        "unknown",
    ),
}
"""The command, its rules, and what happens under the policy DROP."""
