r"""The network adapters that a Windows knows: the keys below its class of network adapters.

Sources: Microsoft, "INF requirements for network adapters" (`Characteristics`) and "NET_LUID"; the keys as Windows 7
and 10 write them. An adapter that was taken out of a machine stays there: from Windows 8 on its device notes when it
was last removed, before that only a device that was uninstalled is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry import Key
from imgscan.model.network import InterfaceKind
from imgscan.model.text import shown

_CLASS: Final = "Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
_CONNECTIONS: Final = "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
_DEVICES: Final = "Enum"
_DATES: Final = "Properties\\{83da6326-97a6-4088-9453-a1923f573b29}"
_ARRIVED, _REMOVED = "0066", "0067"
"""Properties of a device: DEVPKEY_Device_LastArrivalDate and LastRemovalDate."""
_PHYSICAL, _HIDDEN = 0x4, 0x8
"""Of `Characteristics`: NCF_PHYSICAL, and NCF_HIDDEN, which miniports and tunnels have."""
_WIRELESS: Final = 71
"""`*IfType` of IEEE 802.11 (IANA ifType)."""
_LOOPBACK: Final = "*msloop"
_DISABLED: Final = 1
"""Of `ConfigFlags`: CONFIGFLAG_DISABLED."""
_MOST: Final = 512
"""Adapters that are looked at."""


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter; `guid` names its settings, `luid` is its NET_LUID as settings of IPv6 name it.

    `is_hidden`: a miniport or tunnel, which no user sees, and of which nothing more is asked. `is_gone`: its device is
    no longer there.
    """

    guid: str
    name: str
    kind: InterfaceKind = "other"
    luid: bytes | None = None
    enabled: bool = True
    is_hidden: bool = False
    is_gone: bool = False


def adapters(system: SystemHive) -> Iterator[tuple[str, Adapter | ImageError]]:
    """Yield each adapter's key with what it is, or why that cannot be read.

    :raises ImageError: the class of adapters, or the list of its keys, cannot be read
    """
    path = system.control(_CLASS)
    above = system.key(path)
    if above is None:
        raise CorruptStructure("there is no class of network adapters", where=system.path)
    broken: list[ImageError] = []
    for count, key in enumerate(above.subkeys(broken.append)):
        if count >= _MOST:
            raise LimitExceeded(f"there are more than {_MOST} network adapters", where=system.path)
        if key.name.isdigit():
            found: Adapter | ImageError | None
            try:
                found = _adapter(system, key)
            except ImageError as error:
                found = error
            if found is not None:
                yield key.path, found
    if broken:
        raise broken[0]


def _adapter(system: SystemHive, key: Key) -> Adapter | None:
    """Return the adapter; None where its installation was not finished, so that nothing is bound to it."""
    guid, traits = _text(key, "NetCfgInstanceId"), key.value("Characteristics")
    if guid is None:
        return None
    if traits is None:
        raise CorruptStructure(f"the adapter {guid} does not say what it is", where=system.path)
    flags = traits.number()
    if flags & _HIDDEN:
        return Adapter(guid=guid, name=guid, is_hidden=True)
    connection = system.key(f"{system.control(_CONNECTIONS)}\\{guid}\\Connection")
    name = (_label(connection, "Name") if connection else None) or _label(key, "DriverDesc")
    instance = _text(key, "DeviceInstanceID") or (_text(connection, "PnpInstanceID") if connection else None)
    device = system.key(f"{system.control(_DEVICES)}\\{instance}") if instance else None
    settings = device.value("ConfigFlags") if device else None
    type_, index = _number(key, "*IfType"), _number(key, "NetLuidIndex")
    kind: InterfaceKind = "other"
    if (_text(key, "ComponentId") or "").lower() == _LOOPBACK:
        kind = "loopback"
    elif flags & _PHYSICAL:
        kind = "wireless" if type_ == _WIRELESS else "ethernet"
    luid = None
    if type_ is not None and index is not None:
        luid = bytes(3) + (index & 0xFFFFFF).to_bytes(3, "little") + (type_ & 0xFFFF).to_bytes(2, "little")
    return Adapter(
        guid=guid,
        name=shown(name or guid),
        kind=kind,
        luid=luid,
        enabled=settings is None or not settings.number() & _DISABLED,
        is_gone=instance is not None and (device is None or _is_removed(device)),
    )


def _is_removed(device: Key) -> bool:
    """Whether a device left after it last came."""
    dates: list[int] = []
    for name in (_ARRIVED, _REMOVED):
        key: Key | None = device
        for part in (*_DATES.split("\\"), name):
            key = key.subkey(part) if key is not None else None
        value = key.value("") if key is not None else None
        dates.append(int.from_bytes(value.data(), "little") if value is not None and value.size == 8 else 0)
    return dates[1] > dates[0]


def _label(key: Key, name: str) -> str | None:
    """Return a text that only names the adapter, None when it cannot be read: nothing else needs it."""
    try:
        return _text(key, name)
    except ImageError:
        return None


def _text(key: Key, name: str) -> str | None:
    value = key.value(name)
    return (value.text().strip() or None) if value is not None else None


def _number(key: Key, name: str) -> int | None:
    value = key.value(name)
    return value.number() if value is not None else None
