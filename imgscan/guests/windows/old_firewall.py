"""Windows Firewall of XP SP2 and Server 2003 SP1: what it does with new connections to the port of Remote Desktop.

Asked is the standard profile, which holds where no domain controller answers. Source: Microsoft, "Deploying Windows
Firewall Settings" (GloballyOpenPorts, DoNotAllowExceptions, RemoteDesktop).
"""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows import services
from imgscan.guests.windows.firewall import LOCAL, NAME, POLICY
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.registry_value import Value
from imgscan.model.access import Decision, Firewall
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because

_SERVICE: Final = "SharedAccess"
_PROFILE: Final = "StandardProfile"
_DEFAULT_PORT: Final = 3389
_ANYWHERE: Final = ("*", "")


def read_old_firewall(software: HiveFile, system: SystemHive, port: int) -> Firewall | None:
    """Return the firewall and its decision about a TCP port, None when its service does not start."""
    start = services.start_of(system, _SERVICE)
    if start.is_known and start.value in {None, services.DISABLED}:
        return None
    if not start.is_known:
        return _unread(start)
    try:
        return _decide(software, system, port)
    except ImageError as error:
        return Firewall(name=NAME, decision=unread_because(error, AtPath(system.volume, system.path)))


def _decide(software: HiveFile, system: SystemHive, port: int) -> Firewall:
    profile, policy = system.control(f"{LOCAL}\\{_PROFILE}"), f"{POLICY}\\{_PROFILE}"
    on = _setting(software, system, policy, profile, "EnableFirewall")
    no_exceptions = _setting(software, system, policy, profile, "DoNotAllowExceptions")
    for fact in (on, no_exceptions):
        if not fact.is_known:
            return _unread(fact)
    if on.value is None:
        return Firewall(name=NAME, decision=unread("missing", "it does not say whether it is on", *on.evidence))
    if on.value == 0:
        return _decided("allow", "it is off in the standard profile", *on.evidence)
    if no_exceptions.value:
        return _decided("block", "the standard profile allows no exceptions", *no_exceptions.evidence)
    opened = [
        (software, f"{policy}\\GloballyOpenPorts\\List", f"{port}:TCP"),
        (system, f"{profile}\\GloballyOpenPorts\\List", f"{port}:TCP"),
    ]
    scopes: list[tuple[str, Evidence]] = []
    for hive, key, name in opened:
        listed = hive.text(key, name)
        if not listed.is_known:
            decision: Fact[Decision] = Fact(unread=listed.unread, detail=listed.detail, evidence=listed.evidence)
            return Firewall(name=NAME, decision=decision)
        if isinstance(listed.value, str):
            # 3389:TCP:scope:Enabled:name
            parts = listed.value.split(":")
            state = parts[3].lower() if len(parts) > 3 else ""
            if state == "disabled" and hive is software:
                return _decided("block", "a policy closes the port", *listed.evidence)
            if state == "enabled":
                scopes.append((parts[2], listed.evidence[0]))
    service = f"{policy}\\Services\\RemoteDesktop"
    by_service = software.fact(service, "Enabled", Value.number)
    if not by_service.is_known:
        return _unread(by_service)
    if by_service.value and port == _DEFAULT_PORT:
        scope = software.text(service, "RemoteAddresses")
        scopes.append((scope.value if isinstance(scope.value, str) else "*", by_service.evidence[0]))
    anywhere = [at for scope, at in scopes if scope in _ANYWHERE]
    if anywhere:
        return _decided("allow", "the port is open", *anywhere)
    if scopes:
        detail = "the port is open to certain addresses only"
        return Firewall(name=NAME, decision=unread("unsupported", detail, *(at for _, at in scopes)))
    return _decided("block", "the port is not among the open ones of the standard profile", system.at(profile))


def _setting(software: HiveFile, system: SystemHive, policy: str, profile: str, name: str) -> Fact[int | None]:
    """Return a value of the policy, else of the profile."""
    by_policy = software.fact(policy, name, Value.number)
    is_local = by_policy.is_known and by_policy.value is None
    return system.fact(profile, name, Value.number) if is_local else by_policy


def _decided(decision: Decision, detail: str, *evidence: Evidence) -> Firewall:
    return Firewall(name=NAME, decision=known(decision, *evidence), detail=detail)


def _unread(fact: Fact[int | None]) -> Firewall:
    return Firewall(name=NAME, decision=Fact(unread=fact.unread, detail=fact.detail, evidence=fact.evidence))
