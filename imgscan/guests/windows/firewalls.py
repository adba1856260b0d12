"""The firewalls of a Windows that start with it, and what they do with new connections to Remote Desktop's port."""

from __future__ import annotations

from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.services import those_that_start
from imgscan.model.access import Firewall
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.windows import RemoteDesktop

_PRODUCTS: Final = {
    "mfefire": "McAfee Firewall",
    "mfefirek": "McAfee Firewall",
    "Teefer2": "Symantec Endpoint Protection",
    "SepMasterService": "Symantec Endpoint Protection",
    "SmcService": "Symantec Endpoint Protection",
    "TmPfw": "Trend Micro Personal Firewall",
    "vsmon": "ZoneAlarm",
    "cmdAgent": "Comodo Firewall",
    "acssrv": "Agnitum Outpost",
    "epfw": "ESET Firewall",
    "epfwwfp": "ESET Firewall",
    "klwfp": "Kaspersky",
    "BdfNdisf": "Bitdefender Firewall",
    "aswbIDSAgent": "Avast",
    "aswFW": "Avast Firewall",
    "AVGFwSrv": "AVG Firewall",
    "SPFdrv": "Sophos Client Firewall",
    "Sophos Client Firewall": "Sophos Client Firewall",
    "KPF4": "Kerio Personal Firewall",
    "ds_agent": "Trend Micro Deep Security",
    "tmwfp": "Trend Micro",
}
"""Services and drivers of other firewalls; whether they let a connection in is not in the registry."""


def read_firewalls(
    software: HiveFile, system: SystemHive, version: Fact[str | None], desktop: Fact[RemoteDesktop]
) -> Fact[tuple[Firewall, ...]]:
    """Return the firewalls that start, each with its decision."""
    if not desktop.is_known:
        return Fact(unread=desktop.unread, detail=desktop.detail, evidence=desktop.evidence)
    if not isinstance(version.value, str):
        why = version if not version.is_known else unread("missing", "Windows does not say its version")
        return Fact(unread=why.unread, detail=why.detail, evidence=version.evidence)
    port = desktop.get().port
    try:
        where = system.at(system.control("Services"))
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    if version.value.startswith(("4.", "5.")):
        from imgscan.guests.windows.old_firewall import read_old_firewall  # noqa: PLC0415 - few systems have it

        own = read_old_firewall(software, system, port)
    else:
        from imgscan.guests.windows.firewall import read_windows_firewall  # noqa: PLC0415 - the same

        own = read_windows_firewall(software, system, version.value, port)
    others: dict[str, Firewall] = {}
    for service, start in those_that_start(system, _PRODUCTS).items():
        if not start.is_known:
            return Fact(unread=start.unread, detail=start.detail, evidence=start.evidence)
        product = _PRODUCTS[service]
        detail = f"{product} starts with the system, and imgscan does not know what it lets in"
        others.setdefault(product, Firewall(name=product, decision=unread("unsupported", detail, *start.evidence)))
    return known((*((own,) if own is not None else ()), *others.values()), where)
