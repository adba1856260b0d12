"""Windows Firewall since Vista: what it does with new connections to the port of Remote Desktop.

Asked is the public profile: a network that Windows has not seen before is public. Source: [MS-FASP] 2.2 (profiles,
DefaultInboundAction), [MS-GPFAS] (rules, policy), and the registry keys below `FirewallPolicy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.windows import services
from imgscan.guests.windows.firewall_rule import FirewallRule, parse_rule
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.registry_value import Value
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.text import shown

NAME: Final = "Windows Firewall"
LOCAL: Final = "Services\\SharedAccess\\Parameters\\FirewallPolicy"
POLICY: Final = "Policies\\Microsoft\\WindowsFirewall"
_SERVICE: Final = "MpsSvc"
_PROFILE: Final = "PublicProfile"
_MANAGED: Final = "Mdm"
"""Where device management (the Firewall CSP) keeps the same keys."""
_RULES: Final = 20_000
"""Rules that are looked at; a terminal server with many users has thousands."""
_MAX_EVIDENCE: Final = 8


def read_windows_firewall(software: HiveFile, system: SystemHive, version: str, port: int) -> Firewall | None:
    """Return the firewall and its decision about a TCP port, None when its service does not start."""
    start = services.start_of(system, _SERVICE)
    if start.is_known and start.value in {None, services.DISABLED}:
        return None
    if not start.is_known:
        return _unread(start)
    try:
        return _decide(software, system, port, in_kernel=version.startswith(("6.0", "6.1")))
    except ImageError as error:
        return Firewall(name=NAME, decision=unread_because(error, AtPath(system.volume, system.path)))


def _decide(software: HiveFile, system: SystemHive, port: int, *, in_kernel: bool) -> Firewall:
    profile, managed = system.control(f"{LOCAL}\\{_PROFILE}"), system.control(f"{LOCAL}\\{_MANAGED}")
    settings: dict[str, Fact[int | None]] = {}
    for name in ("EnableFirewall", "DoNotAllowExceptions", "DefaultInboundAction", "AllowLocalPolicyMerge"):
        found = _by_policy(software, system, f"{managed}\\{_PROFILE}", name)
        if found.is_known and found.value is None and name != "AllowLocalPolicyMerge":
            found = system.fact(profile, name, Value.number)
        if not found.is_known:
            return _unread(found)
        settings[name] = found
    on, no_exceptions, default, merge = settings.values()
    if on.value == 0:
        return _decided("allow", "it is off in the public profile", *on.evidence)
    if no_exceptions.value:
        return _decided("block", "the public profile allows no exceptions", *no_exceptions.evidence)
    places = [(software, f"{POLICY}\\FirewallRules"), (system, f"{managed}\\FirewallRules")]
    if merge.value != 0:
        places.append((system, system.control(f"{LOCAL}\\FirewallRules")))
    rules = [each for hive, key in places for each in _rules(hive, key, port, in_kernel=in_kernel)]
    return _by_rules(rules, default, system.at(profile))


def _by_policy(software: HiveFile, system: SystemHive, managed: str, name: str) -> Fact[int | None]:
    """Return what the group policy says of the profile, else what device management says."""
    by_group = software.fact(f"{POLICY}\\{_PROFILE}", name, Value.number)
    if not by_group.is_known:
        return by_group
    by_device = system.fact(managed, name, Value.number)
    if by_group.value is None or not by_device.is_known:
        return by_device
    if by_device.value not in {None, by_group.value}:
        detail = f"group policy and device management disagree about {name}"
        return unread("unsupported", detail, *by_group.evidence, *by_device.evidence)
    return by_group


def _by_rules(found: list[tuple[FirewallRule | str, Evidence]], default: Fact[int | None], where: Evidence) -> Firewall:
    """Decide by the rules that are about the port; a text stands for one that is not understood."""
    elsewhere = [rule for rule, _ in found if isinstance(rule, FirewallRule) and not _is_public(rule)]
    found = [(rule, at) for rule, at in found if isinstance(rule, str) or _is_public(rule)]
    sure = [(rule, at) for rule, at in found if isinstance(rule, FirewallRule) and not rule.conditions]
    blocking = [at for rule, at in sure if rule.action == "block" and not rule.addresses]
    if blocking:  # block beats allow
        return _decided("block", "a rule blocks the port", *blocking[:_MAX_EVIDENCE])
    unclear = [(rule, at) for rule, at in found if isinstance(rule, str) or rule.conditions]
    allowing = [at for rule, at in sure if rule.action == "allow" and not rule.addresses]
    could_block = [pair for pair in unclear if isinstance(pair[0], str) or pair[0].action == "block"]
    limited = [at for rule, at in sure if rule.action == "block" and rule.addresses]
    if allowing and not could_block and not limited:
        return _decided("allow", "a rule allows the port", *allowing[:_MAX_EVIDENCE])
    if default.value == 0 and not could_block and not limited:
        return _decided("allow", "the public profile allows what no rule names", *default.evidence)
    if unclear:
        rule, at = (could_block or unclear)[0]
        about = rule if isinstance(rule, str) else f"has conditions: {', '.join(rule.conditions)}"
        return Firewall(name=NAME, decision=unread("unsupported", shown(f"a rule for the port {about}"), at))
    if limited and (allowing or default.value == 0):
        detail = "the port is blocked for certain addresses"
        return Firewall(name=NAME, decision=unread("unsupported", detail, *limited[:_MAX_EVIDENCE]))
    some = [at for rule, at in sure if rule.action == "allow"]
    if some:
        detail = "the port is open to certain addresses only"
        return Firewall(name=NAME, decision=unread("unsupported", detail, *some[:_MAX_EVIDENCE]))
    others = dict.fromkeys(name for rule in elsewhere if rule.action == "allow" for name in rule.profiles)
    only = f", only in {' and '.join(others)}" if others else ""
    return _decided("block", shown(f"no rule allows the port in the public profile{only}"), where, *default.evidence)


def _is_public(rule: FirewallRule) -> bool:
    return not rule.profiles or "public" in rule.profiles


def _rules(hive: HiveFile, path: str, port: int, *, in_kernel: bool) -> Iterator[tuple[FirewallRule | str, Evidence]]:
    """Yield the rules that are about the port, of all profiles, or a few words about one that is no rule.

    :raises ImageError: the rules cannot be read
    """
    key = hive.key(path)
    for count, value in enumerate(key.values() if key is not None else ()):
        if count >= _RULES:
            raise LimitExceeded(f"there are more than {_RULES} firewall rules", where=hive.path)
        try:
            rule = parse_rule(value.text(), port, in_kernel=in_kernel)
        except ValueError as error:
            yield f"cannot be read: {error}", hive.at(path, value)
            continue
        if rule is not None:
            yield rule, hive.at(path, value)


def _decided(decision: Decision, detail: str, *evidence: Evidence) -> Firewall:
    return Firewall(name=NAME, decision=known(decision, *evidence), detail=detail)


def _unread(fact: Fact[int | None]) -> Firewall:
    return Firewall(name=NAME, decision=Fact(unread=fact.unread, detail=fact.detail, evidence=fact.evidence))
