"""Services and drivers of a Windows: how they start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from imgscan.errors import ImageError
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, unread_because

BOOT, SYSTEM, AUTOMATIC, MANUAL, DISABLED = range(5)
"""Values of a service's `Start`."""
SERVICES: Final = "Services"


def start_of(system: SystemHive, service: str) -> Fact[int | None]:
    """Return a service's `Start`, None when there is no such service."""
    try:
        key = system.control(f"{SERVICES}\\{service}")
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    return system.fact(key, "Start", Value.number)


def those_that_start(system: SystemHive, services: Iterable[str]) -> dict[str, Fact[int | None]]:
    """Return those of some services that are there and not disabled, and those that could not be read."""
    found = {name: start_of(system, name) for name in services}
    return {
        name: fact
        for name, fact in found.items()
        if not fact.is_known or (isinstance(fact.value, int) and fact.value < DISABLED)
    }
