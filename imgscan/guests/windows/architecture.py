"""What processor a Windows is for: its kernel's PE header says it, else its environment."""

from __future__ import annotations

import struct
from typing import Final

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.errors import ImageError
from imgscan.guests.windows.hives import SystemHive
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because

_MACHINES: Final = {0x14C: "x86", 0x8664: "x86_64", 0xAA64: "aarch64", 0x1C4: "arm", 0x200: "ia64"}
"""PE format, section "Machine types"."""
_ENVIRONMENT: Final = {"x86": "x86", "amd64": "x86_64", "arm64": "aarch64", "arm": "arm", "ia64": "ia64"}
_PROGRAMS: Final = ("System32/ntoskrnl.exe", "System32/cmd.exe")
_HEADER_BYTES: Final = 1024
"""Nearly always enough for the MS-DOS stub and the PE header."""


def read_architecture(tree: GuestTree, directory: str, system: SystemHive) -> Fact[str | None]:
    """Return `x86_64`, `x86`, `aarch64`, ...; `directory` is the Windows folder.

    A program that Windows keeps compressed reads as no PE file here; the environment then decides.
    """
    failed: Fact[str | None] | None = None
    for program in _PROGRAMS:
        path = f"{directory.rstrip('/')}/{program}"
        try:
            place = tree.find(path)
            machine = _machine(place) if place is not None else None
        except ImageError as error:
            failed = failed or unread_because(error, AtPath(system.volume, path))
            continue
        if place is not None and machine is not None:
            return known(_MACHINES.get(machine, f"{machine:#06x}"), place.evidence())
    try:
        key = system.control("Control\\Session Manager\\Environment")
    except ImageError as error:
        return failed or unread_because(error, AtPath(system.volume, system.path))
    value = system.text(key, "PROCESSOR_ARCHITECTURE")
    if isinstance(value.value, str):
        return value.map(lambda name: _ENVIRONMENT.get(str(name).lower(), str(name)))
    return failed or value


def _machine(place: Location) -> int | None:
    """Return the machine type of a PE file, None when it is none."""
    if place.entry.kind != "file":
        return None
    head = place.filesystem.read(place.entry.node, 0, _HEADER_BYTES)
    if len(head) < 64 or head[:2] != b"MZ":
        return None
    (offset,) = struct.unpack_from("<I", head, 0x3C)
    header = (
        head[offset : offset + 6] if offset + 6 <= len(head) else place.filesystem.read(place.entry.node, offset, 6)
    )
    if len(header) < 6 or header[:4] != b"PE\0\0":
        return None
    return int.from_bytes(header[4:6], "little")
