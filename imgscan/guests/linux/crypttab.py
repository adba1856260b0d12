"""/etc/crypttab: how the guest calls what its encrypted volumes hold. Source: crypttab(5)."""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.config_file import read_config
from imgscan.guests.linux.devices import Devices
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.system import CryptEntry
from imgscan.model.text import shown

PATH: Final = "/etc/crypttab"
ENTRIES: Final = 1024
"""Entries of one crypttab."""


def read_crypttab(tree: GuestTree, devices: Devices) -> Fact[tuple[CryptEntry, ...]]:
    """Return the entries, and teach `devices` their names.

    :raises ImageError: the file cannot be read
    """
    file = read_config(tree, PATH)
    if file is None:
        return known((), at_path(tree.mounts["/"].volume, PATH))
    entries: list[CryptEntry] = []
    for number, line in file.lines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(entries) >= ENTRIES:
            raise LimitExceeded(f"{PATH} has more than {ENTRIES} entries", where=file.place.filesystem.volume)
        name, source, key, options = (*fields[:4], *[""] * (4 - len(fields[:4])))
        volume = devices.resolve(source).volume
        if volume is not None:
            devices.name_unlocked(name, volume)
        entries.append(
            CryptEntry(
                name=shown(name),
                source=shown(source),
                volume=volume,
                key=shown(key),
                options=shown(options),
                evidence=(file.at(number),),
            )
        )
    return known(tuple(entries), file.at())
