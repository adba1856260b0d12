"""Services and drivers of a Windows: how they start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from imgscan.devices.limits import WINDOWS_SERVICES
from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because

BOOT, SYSTEM, AUTOMATIC, MANUAL, DISABLED = range(5)
"""Values of a service's `Start`."""
START_NAMES: Final = ("boot", "system", "automatic", "manual", "disabled")
"""What these are called, by number."""
SERVICES: Final = "Services"


def listed(system: SystemHive) -> list[Key]:
    """Return the keys of all services and drivers.

    :raises ImageError: not all of them can be read
    :raises LimitExceeded: there are more than `WINDOWS_SERVICES`
    """
    above = system.key(system.control(SERVICES))
    found: list[Key] = []
    for key in above.subkeys() if above is not None else ():
        if len(found) >= WINDOWS_SERVICES:
            raise LimitExceeded(f"Windows has more than {WINDOWS_SERVICES} services", where=system.path)
        found.append(key)
    return found


def start_of(system: SystemHive, service: str) -> Fact[int | None]:
    """Return a service's `Start`, None when there is no such service."""
    return starts(system, (service,))[service]


def starts(system: SystemHive, names: Iterable[str]) -> dict[str, Fact[int | None]]:
    """Return the `Start` of some services; the key above them is looked up once."""
    try:
        path = system.control(SERVICES)
        above = system.key(path)
    except ImageError as error:
        return {name: unread_because(error, AtPath(system.volume, system.path)) for name in names}
    return {name: _start(system, above, f"{path}\\{name}", name) for name in names}


def _start(system: SystemHive, above: Key | None, path: str, name: str) -> Fact[int | None]:
    try:
        key = above.subkey(name) if above is not None else None
        value = key.value("Start") if key is not None else None
        if value is None:
            return known(None, system.at(path, "Start"))
        return known(value.number(), system.at(path, value))
    except ImageError as error:
        return unread_because(error, system.at(path, "Start"))


def override_of(service: Key) -> tuple[Key, Value] | None:
    """Return the key and the value that count instead of a driver's `Start`, None where there are none."""
    key = service.subkey("StartOverride")
    value = key.value("0") if key is not None else None
    return None if key is None or value is None else (key, value)


def those_that_start(system: SystemHive, services: Iterable[str]) -> dict[str, Fact[int | None]]:
    """Return those of some services that are there and not disabled, and those that could not be read."""
    return {
        name: fact
        for name, fact in starts(system, services).items()
        if not fact.is_known or (isinstance(fact.value, int) and fact.value < DISABLED)
    }
