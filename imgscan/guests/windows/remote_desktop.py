"""Whether a Windows takes Remote Desktop connections: its own switch, the policy's, the service and the listener."""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows import services
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.windows import RemoteDesktop

DEFAULT_PORT: Final = 3389
_POLICY: Final = "Policies\\Microsoft\\Windows NT\\Terminal Services"
_SERVER: Final = "Control\\Terminal Server"
_LISTENER: Final = f"{_SERVER}\\WinStations\\RDP-Tcp"
_SERVICE: Final = "TermService"
_WITHOUT_HOST: Final = ("core", "home", "starter")
"""How the editions of clients begin that are no host of Remote Desktop, whatever the registry says."""


def read_remote_desktop(
    software: HiveFile, system: SystemHive, edition: Fact[str | None], product_type: Fact[str | None]
) -> Fact[RemoteDesktop]:
    """Return whether connections are taken, and at which port."""
    try:
        server, listener = system.control(_SERVER), system.control(_LISTENER)
        has_listener = system.key(listener) is not None
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    policy = software.fact(_POLICY, "fDenyTSConnections", Value.number)
    local = system.fact(server, "fDenyTSConnections", Value.number)
    start = services.start_of(system, _SERVICE)
    enabled = system.fact(listener, "fEnableWinStation", Value.number)
    number = system.fact(listener, "PortNumber", Value.number)
    port = number.value if isinstance(number.value, int) else DEFAULT_PORT

    def off(detail: str, *evidence: Evidence) -> Fact[RemoteDesktop]:
        return known(RemoteDesktop(starts=False, port=port, detail=detail), *evidence)

    if isinstance(policy.value, int) and policy.value:
        return off("a policy denies connections (fDenyTSConnections)", *policy.evidence)
    is_allowed_by_policy = policy.value == 0
    if policy.is_known and policy.value is None and isinstance(local.value, int) and local.value:
        return off("connections are denied (fDenyTSConnections)", *local.evidence)
    if start.is_known and (start.value is None or start.value == services.DISABLED):
        what = "is not installed" if start.value is None else "is disabled"
        return off(f"the service {_SERVICE} {what}", *start.evidence)
    if not has_listener:
        return off("there is no listener RDP-Tcp", system.at(listener))
    if enabled.value == 0:
        return off("the listener RDP-Tcp is disabled", *enabled.evidence)
    if product_type.value == "workstation" and str(edition.value or "").lower().startswith(_WITHOUT_HOST):
        return off(f"the edition {edition.value} takes no connections", *edition.evidence, *product_type.evidence)
    for fact in (policy, local, start, enabled, number, product_type):
        if not fact.is_known and not (fact is local and is_allowed_by_policy):
            return Fact(unread=fact.unread, detail=fact.detail, evidence=fact.evidence)
    if product_type.value == "workstation" and not edition.is_known:
        return Fact(unread=edition.unread, detail=edition.detail, evidence=edition.evidence)
    if not is_allowed_by_policy and local.value is None:
        return unread("missing", "neither Windows nor a policy says whether connections are denied", *local.evidence)
    said = "by policy" if is_allowed_by_policy else "by fDenyTSConnections"
    evidence = (*(policy if is_allowed_by_policy else local).evidence, *start.evidence, *number.evidence)
    return known(RemoteDesktop(starts=True, port=port, detail=f"connections are allowed {said}"), *evidence)
