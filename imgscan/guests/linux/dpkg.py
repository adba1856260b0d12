"""The packages of Debian and its derivatives, by dpkg's database.

Source: dpkg(1), "Package states"; deb822(5); deb-control(5).
"""

from __future__ import annotations

from typing import Final, cast

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import MIB
from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.guests.linux.text_file import read_text
from imgscan.model.fact import Fact, known
from imgscan.model.package import STATES, Package, PackageState
from imgscan.model.text import shown

DATABASE: Final = "/var/lib/dpkg/status"
DATABASE_BYTES: Final = 64 * MIB
"""A desktop with 3000 packages has 4 MiB."""
PACKAGES: Final = 200_000
"""Packages of one database; all of Debian has a third of that."""
_FIELDS: Final = frozenset({"package", "status", "version", "architecture"})


def read_dpkg(tree: GuestTree) -> Fact[tuple[Package, ...] | None]:
    """Return the packages that dpkg knows, in the order of its database; None when there is none.

    :raises ImageError: the database cannot be read, or contradicts itself
    """
    place = tree.find(DATABASE)
    if place is None:
        return known(None)
    return known(tuple(_packages(read_text(place, DATABASE_BYTES), place)), place.evidence())


def _packages(text: str, place: Location) -> list[Package]:
    found: list[Package] = []
    fields: dict[str, str] = {}
    first = 1
    for number, line in enumerate((*text.split("\n"), ""), 1):
        if not line.strip():
            if fields:
                found.append(_package(fields, first, place))
                fields = {}
                if len(found) > PACKAGES:
                    raise LimitExceeded(f"more than {PACKAGES} packages", where=place.path)
            first = number + 1
        elif line[0] not in " \t":  # else it goes on with the field before, and none of ours does
            name, colon, value = line.partition(":")
            if not colon:
                raise CorruptStructure(f"line {number} is no field of a package: {shown(line[:80])}", where=place.path)
            if (key := name.lower()) in _FIELDS:
                fields[key] = value.strip()
            else:
                fields.setdefault("", "")
    return found


def _package(fields: dict[str, str], line: int, place: Location) -> Package:
    name, version = fields.get("package"), fields.get("version")
    state = fields.get("status", "").split()[-1:]
    if not name or not state or state[0] not in STATES:
        raise CorruptStructure(f"the package at line {line} has no name, or no state that dpkg knows", where=place.path)
    if version is None and state[0] != "not-installed":
        raise CorruptStructure(f"the package at line {line} is {state[0]} and has no version", where=place.path)
    architecture = fields.get("architecture")
    return Package(
        shown(name),
        None if version is None else shown(version),
        None if architecture is None else shown(architecture),
        cast("PackageState", state[0]),
        line,
    )
