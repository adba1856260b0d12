r"""What else of a Windows' network stays behind: persistent routes, and proxies for the whole machine.

Sources: Microsoft, "route" (`-p`), "netsh winhttp", "Use Group Policy to apply WinHTTP proxy settings", and the policy
"Make proxy settings per-machine"; the form of `WinHttpSettings` as published by those who read it (version, a counter,
flags, then proxy and bypass list, each after its length).
"""

from __future__ import annotations

import struct
from typing import Final

from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.guests.windows.registry_value import REG_BINARY, Value
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.network import Proxy, Route
from imgscan.model.text import shown

_ROUTES: Final = "Services\\Tcpip\\Parameters\\PersistentRoutes"
_SETTINGS: Final = "Microsoft\\Windows\\CurrentVersion\\Internet Settings"
_POLICY: Final = f"Policies\\{_SETTINGS}"
_HEAD: Final = struct.Struct("<III")
_USES_PROXY: Final = 2
_MOST: Final = 1024


def read_routes(system: SystemHive) -> Fact[tuple[Route, ...]]:
    """Return the routes that were added for good: values named `destination,mask,gateway,metric`."""
    try:
        path = system.control(_ROUTES)
        key = system.key(path)
        routes: list[Route] = []
        for value in key.values() if key is not None else ():
            if len(routes) >= _MOST:
                raise LimitExceeded(f"there are more than {_MOST} persistent routes", where=system.path)
            parts = [shown(part.strip()) for part in value.name.split(",")]
            if len(parts) < 3 or not all(parts[:3]):
                raise CorruptStructure(f"a persistent route is called {shown(value.name)!r}", where=system.path)
            routes.append(Route(destination=parts[0], mask=parts[1], gateway=parts[2], evidence=system.at(path, value)))
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    return known(tuple(routes), system.at(path))


def read_proxies(software: HiveFile) -> Fact[tuple[Proxy, ...]]:
    """Return the proxy of WinHTTP, and that of Internet settings where they are the machine's and not each user's."""
    winhttp = software.fact(f"{_SETTINGS}\\Connections", "WinHttpSettings", _winhttp)
    per_user = software.fact(_POLICY, "ProxySettingsPerUser", Value.number)
    facts: tuple[Fact[str | None] | Fact[int | None], ...]
    enabled = software.fact(_SETTINGS, "ProxyEnable", Value.number)
    server, script = software.text(_SETTINGS, "ProxyServer"), software.text(_SETTINGS, "AutoConfigURL")
    facts = (winhttp, per_user, *((enabled, server, script) if per_user.value == 0 else ()))
    for fact in facts:
        if not fact.is_known:
            return Fact(unread=fact.unread, detail=fact.detail, evidence=fact.evidence)
    found: list[Proxy] = []
    evidence: tuple[Evidence, ...] = (*winhttp.evidence, *per_user.evidence)
    if isinstance(winhttp.value, str):
        found.append(Proxy(by="winhttp", server=winhttp.value, evidence=winhttp.evidence))
    if per_user.value == 0:
        evidence += (*enabled.evidence, *server.evidence, *script.evidence)
        if enabled.value and isinstance(server.value, str):
            found.append(Proxy(by="internet-settings", server=server.value, evidence=server.evidence))
        if isinstance(script.value, str):
            found.append(Proxy(by="internet-settings", server=script.value, evidence=script.evidence))
    return known(tuple(found), *evidence)


def _winhttp(value: Value) -> str | None:
    """Return the proxy, None for direct access."""
    data = value.data()
    if value.type != REG_BINARY or len(data) < _HEAD.size:
        raise CorruptStructure(f"WinHttpSettings is {value.type_name} of {value.size} bytes")
    _, _, flags = _HEAD.unpack_from(data)
    if not flags & _USES_PROXY:
        return None
    length = int.from_bytes(data[12:16], "little")
    if length > len(data) - 16:
        raise CorruptStructure(f"WinHttpSettings has no room for a proxy's name of {length} bytes")
    return shown(data[16 : 16 + length].decode("latin-1").strip("\0 ")) or None
