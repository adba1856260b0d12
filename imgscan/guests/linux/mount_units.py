"""Mounts and swap areas that are units of systemd's own, not lines of fstab: /etc/systemd/system/srv-data.mount.

Source: systemd.mount(5), systemd.swap(5), systemd.unit(5) ("String Escaping for Inclusion in Unit Names").
"""

from __future__ import annotations

from imgscan.devices.guest_tree import GuestTree
from imgscan.guests.linux.config_file import names_in
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.mount_sources import VIRTUAL_TYPES, kind_of_source
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.systemd import FOLDERS, SystemdUnits, Unit
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.system import Mount
from imgscan.model.text import shown


def read_mount_units(tree: GuestTree, services: Services, devices: Devices) -> Fact[tuple[Mount, ...]]:
    """Return the units that the system's owner made; those that distributions bring mount nothing from a disk.

    :raises ImageError: a unit cannot be read
    """
    where = at_path(tree.mounts["/"].volume, FOLDERS[0])
    names = [name for name in names_in(tree, FOLDERS[0]) if name.endswith((".mount", ".swap"))]
    units = services.systemd if names else None
    if units is None:
        return known((), where)
    found = [mount for name in names if (mount := _mount(name, units, devices)) is not None]
    return known(tuple(found), where)


def _mount(name: str, units: SystemdUnits, devices: Devices) -> Mount | None:
    unit = units.unit(name)
    if unit is None or unit.file is None or unit.name != name:
        return None
    is_swap = name.endswith(".swap")
    section = "Swap" if is_swap else "Mount"
    source, point, type_, options = (_last(unit, section, key) for key in ("What", "Where", "Type", "Options"))
    type_ = "swap" if is_swap else type_
    how = kind_of_source(source, type_, frozenset(option.partition("=")[0] for option in options.split(",")))
    if type_ in VIRTUAL_TYPES:
        return None
    found = devices.resolve(source) if how not in {"network", "file", "virtual"} else None
    numbers = unit.values(section, "What")
    flaw = None if source else "it has no What="
    if not flaw and not is_swap and not point.startswith("/"):
        flaw = f"its Where={point} is no absolute path" if point else "it has no Where="
    return Mount(
        source=shown(source),
        point="none" if is_swap else shown(point),
        type=shown(type_),
        options=shown(options),
        volume=found.volume if found else None,
        candidates=found.candidates if found else (),
        by_order=found.is_guess if found else False,
        evidence=(numbers[-1].where if numbers else unit.file.at(),),
        how=how,
        at_boot=units.start_unit(name).starts,
        may_fail=True,  # local-fs.target wants it, as nothing requires it that a unit of its own does not name
        flaw=None if flaw is None else shown(flaw),
    )


def _last(unit: Unit, section: str, key: str) -> str:
    values = unit.values(section, key)
    return values[-1].text if values else ""
