"""Fuzzing LVM2: volume groups that a kernel used, of every kind of volume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import grub_oracle
import lvm2_appliance
from fuzzing import Oracle, Recipe

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts import lvm2, thin
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.lvm2 import assemble

READ, STEP, PIECE = 8 << 20, 1 << 18, 1 << 14
"""Of each volume a piece at every step is read, up to a size: mutants claim what they like."""


def make(folder: Path) -> list[list[Path]]:
    """Unpack the sets of lvm2_appliance.py."""
    images = []
    for name in lvm2_appliance.SETS:
        below = folder / name
        below.mkdir()
        disks, _ = lvm2_appliance.unpack(name)
        for disk, data in disks.items():
            (below / f"{disk}.img").write_bytes(data)
        images.append(sorted(below.iterdir()))
    return images


def walk(devices: Sequence[BlockDevice], errors: list[ImageError]) -> str:
    """Assemble the groups and read their volumes."""
    found = hashlib.sha256()
    members = [Member(f"disk{number}", device, "LVM2_member") for number, device in enumerate(devices)]
    volumes = assemble(members)
    for volume in volumes:
        found.update(repr((volume.name, volume.size, volume.on)).encode())
        if volume.error is not None and volume.error.why != "unsupported":  # a cache that writes back
            errors.append(volume.error)
        if volume.device is None:
            continue
        for offset in (*range(0, min(volume.size, READ), STEP), max(0, volume.size - 4096)):
            try:
                found.update(volume.device.read_at(offset, min(PIECE, volume.size - offset)))
            except ImageError as error:
                errors.append(error)
    if errors and not any(volume.device for volume in volumes):
        raise errors[0]
    return found.hexdigest()


class _Anything(int):
    """A checksum that every other one equals."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


@contextmanager
def trusting() -> Iterator[None]:
    """Believe all checksums."""
    with (
        mock.patch.object(lvm2, "checksum", return_value=_Anything()),
        mock.patch.object(thin, "_checksum", return_value=_Anything()),
    ):
        yield


def is_structure(data: bytes) -> bool:
    """Everything but the volumes' content, whose blocks each say where they belong."""
    return len(data) <= 1 << 16 and not data[16:32].isalnum()


def _assembled(devices: Sequence[BlockDevice]) -> list[tuple[str, Assembled]]:
    """Return the volumes by GRUB's names for them."""
    volumes = assemble([Member(f"disk{n}", device, "LVM2_member") for n, device in enumerate(devices)])
    names = []
    for volume in volumes:
        group = volume.metadata.get("group", "").replace("-", "--")
        names.append(f"lvm/{group}-" + volume.name.rpartition("/")[2].replace("-", "--"))
    return list(zip(names, volumes, strict=True))


ORACLE = Oracle("GRUB", grub_oracle.volumes, grub_oracle.volumes_by_imgscan(_assembled))
RECIPE = Recipe(make, walk, trusting, is_structure, oracle=ORACLE)
