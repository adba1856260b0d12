r"""How a Windows configures its network adapters: ``Tcpip\Parameters\Interfaces``, and what IPv6 keeps of its own.

Sources: Microsoft, "TCP/IP and NBT configuration parameters for Windows" (IPv4), "Guidance for configuring IPv6 in
Windows for advanced users" (`DisabledComponents`); the store of fixed addresses (`Control\Nsi`) as Windows 7 writes it.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.guests.windows.adapters import Adapter, adapters
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.registry_value import Value
from imgscan.guests.windows.services import DISABLED, MANUAL, start_of
from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.network import Interface, NetworkFile, StaticAddress
from imgscan.model.text import shown

_INTERFACES: Final = "Services\\Tcpip\\Parameters\\Interfaces"
_IPV6: Final = "Services\\Tcpip6\\Parameters"
_IPV6_ADDRESSES: Final = "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\10"
"""The addresses of NPI_MS_IPV6_MODULEID: values named by the adapter's NET_LUID and the address in hexadecimal."""
_NO_IPV6_ON_ADAPTERS: Final = 0x10
"""Of `DisabledComponents`; 0xFF, the documented way to switch IPv6 off, contains it."""
_NONE: Final = "0.0.0.0"  # noqa: S104 - the value of an address that is not set
_MOST: Final = 1024
"""Addresses, and interfaces without an adapter, that are looked at."""


def read_network(system: SystemHive) -> Fact[tuple[NetworkFile, ...]]:
    """Return the settings of each adapter; the fixed addresses of one that is no longer there as a `stale` interface.

    A damaged adapter, or one with damaged settings, has unread ones.
    """
    try:
        where, interfaces = system.at(system.control(_INTERFACES)), system.key(system.control(_INTERFACES))
        if interfaces is None:
            raise CorruptStructure("there are no settings of TCP/IP for interfaces", where=system.path)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    files: list[NetworkFile] = []
    fixed: dict[bytes, list[StaticAddress]] = {}
    try:
        fixed = _ipv6_addresses(system)
    except ImageError as error:
        files.append(_unread(system, f"{where.key.removesuffix(_INTERFACES)}{_IPV6_ADDRESSES}", error))
    seen: set[str] = set()
    names: set[str] = set()
    is_without_luid = False
    try:
        for path, adapter in adapters(system):
            if isinstance(adapter, ImageError):
                files.append(_unread(system, path, adapter))
                continue
            is_known = adapter.guid.lower() in seen
            seen.add(adapter.guid.lower())
            if is_known or adapter.is_hidden:
                continue
            name = adapter.name if adapter.name.lower() not in names else f"{adapter.name} {shown(adapter.guid)}"
            names.add(name.lower())
            own = fixed.pop(adapter.luid, []) if adapter.luid is not None else []
            is_without_luid = is_without_luid or (adapter.luid is None and not adapter.is_gone)
            files.append(_settings(system, interfaces, replace(adapter, name=name), own, system.at(path)))
        if all(file.interfaces.is_known for file in files):
            files += _without_adapter(system, interfaces, seen)
            files += [_of_no_adapter(luid, addresses, is_sure=not is_without_luid) for luid, addresses in fixed.items()]
    except ImageError as error:
        files.append(_unread(system, where.key, error))
    return known(tuple(files), where)


def read_dhcp_client(system: SystemHive) -> Fact[str | None]:
    """Return the service that asks for addresses, None when it does not start by itself."""
    start = start_of(system, "Dhcp")
    return start.map(lambda found: "the service Dhcp" if found is not None and found < MANUAL else None)


def read_ipv6_disabled(system: SystemHive, version: Fact[str | None]) -> Fact[bool]:
    """Return whether no adapter uses IPv6, because the protocol is switched off or not installed."""
    start = start_of(system, "Tcpip6")
    if not start.is_known or start.value is None or start.value == DISABLED:
        return start.map(lambda _: True)
    if not isinstance(version.value, str):
        return version.map(bool) if not version.is_known else unread("missing", "Windows does not say its version")
    if version.value.startswith(("4.", "5.")):
        detail = "IPv6 is installed, and where such an old Windows keeps its addresses is not known"
        return unread("unsupported", detail, *start.evidence)
    try:
        key = system.control(_IPV6)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    found = system.fact(key, "DisabledComponents", Value.number)
    return found.map(lambda flags: bool((flags or 0) & _NO_IPV6_ON_ADAPTERS))


def _settings(
    system: SystemHive,
    interfaces: Key,
    adapter: Adapter,
    ipv6: list[StaticAddress],
    where: AtRegistry,
) -> NetworkFile:
    path = f"{system.control(_INTERFACES)}\\{adapter.guid}"
    evidence = system.at(path)
    try:
        key = interfaces.subkey(adapter.guid)
        uses_dhcp, addresses, lease = _ipv4(system, key, path) if key is not None else (False, (), None)
    except ImageError as error:
        return _unread(system, path, error)
    interface = Interface(
        name=adapter.name,
        kind="stale" if adapter.is_gone else adapter.kind,
        at_boot=adapter.enabled,
        dhcp4=uses_dhcp,
        addresses=(*addresses, *ipv6),
        lease=lease,
        evidence=(evidence, where),
    )
    return NetworkFile(by="registry", evidence=evidence, interfaces=known((interface,), evidence))


def _ipv4(system: SystemHive, key: Key, path: str) -> tuple[bool, tuple[StaticAddress, ...], str | None]:
    """Return whether DHCP is asked, the fixed addresses where it is not, and the last address that it gave."""
    switch, leased, value = key.value("EnableDHCP"), key.value("DhcpIPAddress"), key.value("IPAddress")
    if switch is not None and switch.number():
        lease = leased.text() if leased is not None else ""
        return True, (), shown(lease) if lease not in {"", _NONE} else None
    more = "".join(
        f", {name} {' '.join(texts)}"
        for name in ("SubnetMask", "DefaultGateway", "NameServer")
        if (found := key.value(name)) is not None and (texts := found.texts())
    )
    texts = value.texts() if value is not None else ()
    if len(texts) > _MOST:
        raise LimitExceeded(f"an interface has more than {_MOST} addresses", where=system.path)
    addresses = tuple(
        StaticAddress(shown(text), shown(f"IPAddress {text}{more}"), system.at(path, value))
        for text in texts
        if text != _NONE
    )
    return False, addresses, None


def _without_adapter(system: SystemHive, interfaces: Key, seen: set[str]) -> list[NetworkFile]:
    """Return the settings with fixed addresses that belong to no adapter that a user sees."""
    files: list[NetworkFile] = []
    for count, key in enumerate(interfaces.subkeys()):
        if count >= _MOST:
            raise LimitExceeded(f"there are settings of more than {_MOST} interfaces", where=system.path)
        if key.name.lower() in seen:
            continue
        evidence = system.at(key.path)
        try:
            _, addresses, _ = _ipv4(system, key, key.path)
        except ImageError as error:
            files.append(_unread(system, key.path, error))
            continue
        if addresses:
            stale = Interface(name=shown(key.name), kind="stale", addresses=addresses, evidence=(evidence,))
            files.append(NetworkFile(by="registry", evidence=evidence, interfaces=known((stale,), evidence)))
    return files


def _of_no_adapter(luid: bytes, addresses: list[StaticAddress], *, is_sure: bool) -> NetworkFile:
    """Return IPv6 addresses of an adapter that is gone; where one does not tell its NET_LUID, they may be its."""
    evidence = addresses[0].evidence
    stale = Interface(name=luid.hex(), kind="stale", addresses=tuple(addresses), evidence=(evidence,))
    detail = f"an adapter does not say its NET_LUID, and may have the address {addresses[0].address}"
    interfaces: Fact[tuple[Interface, ...]]
    interfaces = known((stale,), evidence) if is_sure else unread("missing", detail, evidence)
    return NetworkFile(by="registry", evidence=evidence, interfaces=interfaces)


def _unread(system: SystemHive, path: str, error: ImageError) -> NetworkFile:
    evidence = system.at(path)
    return NetworkFile(by="registry", evidence=evidence, interfaces=unread_because(error, evidence))


def _ipv6_addresses(system: SystemHive) -> dict[bytes, list[StaticAddress]]:
    """Return the fixed IPv6 addresses by NET_LUID."""
    path = system.control(_IPV6_ADDRESSES)
    key = system.key(path)
    found: dict[bytes, list[StaticAddress]] = {}
    for count, value in enumerate(key.values() if key is not None else ()):
        if count >= _MOST:
            raise LimitExceeded(f"there are more than {_MOST} fixed IPv6 addresses", where=system.path)
        try:
            name = bytes.fromhex(value.name)
        except ValueError:
            name = b""
        if len(name) < 24:
            raise CorruptStructure(f"a fixed IPv6 address is called {shown(value.name)!r}", where=system.path)
        text = ipv6_text(name[8:24])
        found.setdefault(name[:8], []).append(StaticAddress(text, value.name, system.at(path, value)))
    return found


def ipv6_text(address: bytes) -> str:
    """Return the 16 bytes of an IPv6 address as text, the longest run of zeros left out (RFC 5952)."""
    groups = [f"{int.from_bytes(address[at : at + 2], 'big'):x}" for at in range(0, 16, 2)]
    for length in range(8, 1, -1):
        for at in range(9 - length):
            if all(group == "0" for group in groups[at : at + length]):
                return f"{':'.join(groups[:at])}::{':'.join(groups[at + length :])}"
    return ":".join(groups)
