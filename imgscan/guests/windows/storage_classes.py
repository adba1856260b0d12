r"""What a Windows puts between itself and its disks: filters of device classes, and drivers given to controllers.

Source: Microsoft, "Device filter driver ordering" (`UpperFilters`, `LowerFilters` below ``Control\Class``),
"System-defined device setup classes available to vendors"; KB314082 about the CriticalDeviceDatabase (up to Windows 7).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from imgscan.errors import LimitExceeded
from imgscan.guests.windows.hives import SystemHive
from imgscan.model.evidence import Evidence
from imgscan.model.windows import ClassFilter

_CLASSES: Final[dict[Literal["disk", "volume", "scsi-adapter", "ide-controller"], str]] = {
    "disk": "{4D36E967-E325-11CE-BFC1-08002BE10318}",
    "volume": "{71A27CDD-812A-11D0-BEC7-08002BE2092F}",
    "scsi-adapter": "{4D36E97B-E325-11CE-BFC1-08002BE10318}",
    "ide-controller": "{4D36E96A-E325-11CE-BFC1-08002BE10318}",
}
_VALUES: Final = (("UpperFilters", True), ("LowerFilters", False))
_HARDWARE: Final = (
    "primary_ide_channel",
    "secondary_ide_channel",
    "pci#cc_0101",
    "pci#cc_0106",
    "pci#ven_8086&dev_7010",
    "pci#ven_8086&dev_7111",
    "pci#ven_5853&dev_0001",
    "pci#ven_1af4&dev_1001",
)
"""Controllers of virtual machines: IDE by its channels and as a class, AHCI, those of QEMU and Xen, of VMware and
Hyper-V, Xen's own device, virtio."""
_FILTERS: Final = 64
"""Filters of one class and side that are looked at."""


class Named(msgspec.Struct):
    """What names a driver, and as what."""

    name: str
    filters: list[ClassFilter]
    hardware: list[str]
    evidence: list[Evidence]


def read_named_drivers(system: SystemHive) -> dict[str, Named]:
    """Return the drivers that storage devices name, by their service's name in lower case.

    :raises ImageError: a key or value about them cannot be read
    """
    found: dict[str, Named] = {}

    def named(name: str, evidence: Evidence) -> Named:
        one = found.setdefault(name.lower(), Named(name, [], [], []))
        one.evidence.append(evidence)
        return one

    for device_class, guid in _CLASSES.items():
        key = system.key(system.control(f"Control\\Class\\{guid}"))
        if key is None:
            continue
        for value_name, above in _VALUES:
            value = key.value(value_name)
            names = value.texts() if value is not None else ()
            if len(names) > _FILTERS:
                raise LimitExceeded(f"the class {device_class} has more than {_FILTERS} filters", where=system.path)
            for name in names:
                named(name, system.at(key.path, value)).filters.append(ClassFilter(device_class, above))
    database = system.key(system.control("Control\\CriticalDeviceDatabase"))
    for hardware in _HARDWARE:
        device = database.subkey(hardware) if database is not None else None
        service = device.value("Service") if device is not None else None
        if device is not None and service is not None and service.text():
            named(service.text(), system.at(device.path, service)).hardware.append(hardware)
    return found
