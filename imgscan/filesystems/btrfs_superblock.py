"""Which superblock of a Btrfs device counts, and whether imgscan reads what it says."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat
from imgscan.filesystems.btrfs_checksum import CHECKSUMS
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import Superblock


class FoundSuperblock(msgspec.Struct, frozen=True):
    """A device and its newest valid superblock; `problem` is what is wrong with the first one, or None."""

    device: BlockDevice
    superblock: Superblock
    problem: str | None = None


def find_superblock(device: BlockDevice) -> FoundSuperblock:
    """Return the newest valid superblock of a device.

    Mirrors of another filesystem, left from before, do not count while the first superblock is valid.

    :raises ImageError: no superblock can be read
    :raises CorruptStructure: none is valid
    :raises UnsupportedFormat: it has features that are not read
    """
    valid: list[Superblock] = []
    problems: dict[int, ImageError] = {}
    for offset in btrfs.SUPERBLOCK_OFFSETS:
        if offset + btrfs.SUPERBLOCK_SIZE > device.size:
            continue
        try:
            superblock = _read(device, offset)
        except ImageError as error:
            problems[offset] = error
            continue
        if not valid or superblock.fsid == valid[0].fsid:
            valid.append(superblock)
    first = btrfs.SUPERBLOCK_OFFSETS[0]
    if not valid:
        raise problems.get(first) or CorruptStructure("it is too small for Btrfs", where=device.name)
    newest = max(valid, key=lambda superblock: superblock.generation)
    unknown = newest.unknown_features()
    if unknown:
        features = ", ".join(unknown)
        raise UnsupportedFormat(f"Btrfs with {features} is not read by this version", where=device.name)
    problem = problems.get(first)
    if problem is not None:
        return FoundSuperblock(device, newest, f"the first superblock is damaged ({problem.message})")
    if newest.position != first:
        return FoundSuperblock(device, newest, "the first superblock is older than its mirror")
    return FoundSuperblock(device, newest)


def _read(device: BlockDevice, offset: int) -> Superblock:
    raw = device.read_at(offset, btrfs.SUPERBLOCK_SIZE)
    superblock = btrfs.parse_superblock(raw)
    if superblock is None or superblock.position != offset:
        raise CorruptStructure("there is no Btrfs superblock", where=device.name, offset=offset)
    checksum = CHECKSUMS.get(superblock.checksum_type)
    if checksum is None:
        raise UnsupportedFormat(
            f"Btrfs with checksums of type {superblock.checksum_type} is not read by this version",
            where=device.name,
            offset=offset,
        )
    if not checksum.is_right(raw[btrfs.CHECKSUM_BYTES :], superblock.checksum):
        raise CorruptStructure(
            f"the Btrfs superblock's {checksum.name} checksum is wrong", where=device.name, offset=offset
        )
    sector, node = superblock.sector_size, superblock.node_size
    if (
        not 4096 <= sector <= 65536
        or sector & (sector - 1)
        or not sector <= node <= 65536
        or node & (node - 1)
        or superblock.chunk_root_level > btrfs.MAX_LEVEL
        or superblock.root_level > btrfs.MAX_LEVEL
    ):
        raise CorruptStructure(
            f"the Btrfs superblock has sectors of {sector} and nodes of {node} bytes", where=device.name, offset=offset
        )
    return superblock


def group_devices(devices: Mapping[str, BlockDevice]) -> list[list[str]]:
    """Return which of the devices with one UUID, given by name, are one filesystem; no two with one number are.

    One whose superblock is not valid stands alone.
    """
    groups: list[dict[int, str]] = []
    alone: list[list[str]] = []
    for name, device in devices.items():
        try:
            number = find_superblock(device).superblock.device.id
        except ImageError:
            alone.append([name])
            continue
        group = next((group for group in groups if number not in group), None)
        if group is None:
            groups.append({number: name})
        else:
            group[number] = name
    return [list(group.values()) for group in groups] + alone
