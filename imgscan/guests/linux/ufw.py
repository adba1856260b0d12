"""ufw, the uncomplicated firewall: rule files in the form of iptables-save, tied together by its start script.

Sources: ufw(8), ufw-framework(8) ("BOOT INITIALIZATION": before.rules, user.rules, after.rules, then the policy).
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, MissingPart, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, first_config, read_config
from imgscan.guests.linux.iptables import add_iptables, new_chains, packet_filter
from imgscan.guests.linux.packet_filter import Chain, FilterRule, Match
from imgscan.guests.linux.shell_file import assignments
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known

CONF: Final = "/etc/ufw/ufw.conf"
_DEFAULTS: Final = "/etc/default/ufw"
_OWN_CHAINS: Final = (
    "ufw-before-logging-input", "ufw-before-input", "ufw-after-input", "ufw-after-logging-input", "ufw-reject-input",
    "ufw-track-input", "ufw-logging-deny", "ufw-logging-allow", "ufw-user-input", "ufw-user-limit",
    "ufw-user-limit-accept", "ufw-user-logging-input", "ufw-skip-to-policy-input", "ufw-not-local",
    "ufw-before-output", "ufw-before-forward", "ufw-after-output", "ufw-after-forward", "ufw-user-output",
    "ufw-user-forward",
)  # fmt: skip
_INPUT: Final = (
    "ufw-before-logging-input", "ufw-before-input", "ufw-after-input", "ufw-after-logging-input", "ufw-reject-input",
    "ufw-track-input",
)  # fmt: skip
"""What INPUT calls, in this order."""


def ufw_is_on(tree: GuestTree) -> Evidence | None:
    """Return the line of ufw.conf that switches it on, None when it is off."""
    conf = read_config(tree, CONF)
    enabled = assignments(conf.text).get("ENABLED") if conf is not None else None
    if conf is None or enabled is None or enabled.value.lower() != "yes":
        return None
    return conf.at(enabled.line)


def read_ufw(tree: GuestTree, ports: tuple[int, ...], switched_on: Evidence) -> Firewall:
    """Return what ufw does with a connection to any of the ports.

    :raises ImageError: a file cannot be read, or it depends on where the connection comes from
    """
    defaults = read_config(tree, _DEFAULTS)
    if defaults is None:
        raise MissingPart("ufw is enabled, and its defaults are missing", where=_DEFAULTS)
    setting = assignments(defaults.text).get("DEFAULT_INPUT_POLICY")
    policy = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop"}.get(setting.value if setting else "")
    if policy is None or setting is None:
        raise CorruptStructure("DEFAULT_INPUT_POLICY is none that ufw takes", where=_DEFAULTS)
    for script in ("/etc/ufw/before.init", "/etc/ufw/after.init"):
        place = tree.find(script)
        if place is not None and place.entry.mode & 0o111:
            raise UnsupportedFormat("it is executable, and may add rules of its own", where=script)
    where = defaults.at(setting.line)
    chains = new_chains()
    for name in _OWN_CHAINS:
        chains[f"filter/{name}"] = Chain()
    chains["filter/ufw-skip-to-policy-input"].rules = [FilterRule(_always, policy, where)]
    chains["filter/INPUT"] = Chain([_jump(name, where) for name in _INPUT], policy, where)
    if policy == "drop" and setting.value == "REJECT":
        chains["filter/ufw-reject-input"].rules = [FilterRule(_always, "drop", where)]
    for names in (
        ("/etc/ufw/before.rules",),
        ("/etc/ufw/after.rules",),
        ("/etc/ufw/user.rules", "/lib/ufw/user.rules"),
    ):
        add_iptables(_required(tree, *names), chains)
    chains["filter/ufw-before-input"].rules.append(_jump("ufw-user-input", where))
    decision: Fact[Decision] = known("block", where)
    for port in ports:
        decision = packet_filter(chains).decide(port)
        if decision.value == "allow":
            break
    return Firewall(name="ufw", decision=known(decision.get(), *decision.evidence, switched_on))


def _required(tree: GuestTree, *names: str) -> ConfigFile:
    file = first_config(tree, *names)
    if file is None:
        raise MissingPart("ufw is enabled, and these rules of it are missing", where=names[0])
    return file


def _always(_: int) -> Match:
    return Match.YES


def _jump(name: str, where: Evidence) -> FilterRule:
    return FilterRule(_always, f"jump filter/{name}", where)
