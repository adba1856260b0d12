"""Drive letters: the values of `MountedDevices` in the SYSTEM hive."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from imgscan.devices.filesystem import FileSystem
from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.partitions import PartitionName, Partitions
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.system import Mount
from imgscan.model.text import shown

_KEY: Final = "MountedDevices"
_LETTER: Final = "\\DosDevices\\"
_LETTERS: Final = 64
"""Drive letters of one Windows; there are 26."""
_NAME_BYTES: Final = 4096
"""The longest name of a device that is looked at."""


def read_drive_letters(
    system: HiveFile, partitions: Partitions, filesystems: Mapping[str, FileSystem]
) -> Fact[tuple[Mount, ...]]:
    """Return a mount for each drive letter, in the order of the letters.

    Drives that take a medium (CD-ROM, floppy, USB) are stored under the name of their device, and are no volume here.
    """
    try:
        key = system.key(_KEY)
        values = [value for value in key.values() if _is_letter(value)] if key is not None else []
        if len(values) > _LETTERS:
            raise LimitExceeded(f"{len(values)} drive letters are given", where=system.path)
        mounts = [_mount(system, value, partitions, filesystems) for value in values]
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    return known(tuple(sorted(mounts, key=lambda mount: mount.point)), system.at(_KEY))


def _is_letter(value: Value) -> bool:
    return value.name.upper().startswith(_LETTER.upper())


def _mount(system: HiveFile, value: Value, partitions: Partitions, filesystems: Mapping[str, FileSystem]) -> Mount:
    point, evidence = shown(value.name[len(_LETTER) :].upper()), (system.at(_KEY, value),)
    partition = decode_device(value.data(), partitions) if value.size in {12, 24} else None
    if partition is None:
        name = _device_name(value.data()) if value.size <= _NAME_BYTES else None
        if name is None:
            return Mount(
                source=f"{value.size} bytes of an unknown form", point=point, type="unknown", evidence=evidence
            )
        return Mount(source=name, point=point, type="unknown", how="removable", at_boot=False, evidence=evidence)
    filesystem = filesystems.get(partition.volume) if partition.volume is not None else None
    return Mount(
        source=partition.source,
        point=point,
        type=filesystem.type if filesystem is not None else "unknown",
        volume=partition.volume,
        evidence=evidence,
    )


def _device_name(data: bytes) -> str | None:
    r"""Return a device as ``IDE#CdRom...`` where ``\??\IDE#CdRom...#{53f5630d-...}`` stands; None for other data."""
    name = data[: len(data) & ~1].decode("utf-16-le", "replace").rstrip("\0")
    if not name.startswith(("\\??\\", "_??_")):
        return None
    return shown("#".join(name[4:].split("#")[:2]))


def decode_device(data: bytes, partitions: Partitions) -> PartitionName | None:
    """Return what a value names: 12 bytes for MBR, `DMIO:ID:` and a GUID for GPT; None for other devices."""
    if len(data) == 12:
        signature, start = struct.unpack("<IQ", data)
        return partitions.by_mbr(signature, start)
    if len(data) == 24 and data.startswith(b"DMIO:ID:"):
        return partitions.by_gpt(data[8:])
    return None
