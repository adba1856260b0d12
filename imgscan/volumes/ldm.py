"""Windows' dynamic disks (LDM): which disk group a disk belongs to. The volumes on them are not assembled.

Source: see `imgscan.layouts.foreign`; Microsoft's partition types of dynamic disks on MBR and GPT.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.model.disk import PartitionTable

MBR_TYPE: Final = "0x42"
METADATA_TYPE: Final = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
DATA_TYPE: Final = "af9b60a0-1431-4f62-bc68-3311714a69ad"
TYPES: Final = frozenset({MBR_TYPE, METADATA_TYPE, DATA_TYPE})
"""Partition types of dynamic disks."""
DATA_TYPES: Final = frozenset({MBR_TYPE, DATA_TYPE})
"""Those whose partitions hold volumes."""
_MBR_PLACE: Final = 6 * 512


def describe_disk(device: BlockDevice, table: PartitionTable) -> dict[str, str]:
    """Return what a dynamic disk's private header says; nothing when the disk is none, or it cannot be read.

    On MBR the header is in sector 6; on GPT at the end of the metadata partition.
    """
    if not any(partition.type in TYPES for partition in table.partitions):
        return {}
    from imgscan.layouts import foreign  # noqa: PLC0415 - start-up time

    for place in _places(table, foreign.PRIVATE_HEAD_BYTES):
        if place < 0 or place + foreign.PRIVATE_HEAD_BYTES > device.size:
            continue
        try:
            head = foreign.parse_private_head(device.read_at(place, foreign.PRIVATE_HEAD_BYTES))
        except ImageError:
            continue
        if head is not None:
            return {
                "dynamic_disk": head.version,
                "disk_group": head.group_name,
                "disk_group_guid": head.group,
                "disk_guid": head.disk,
                "host_guid": head.host,
                "data_size": str(head.size),
            }
    return {}


def _places(table: PartitionTable, size: int) -> list[int]:
    places = [part.start + part.size - size for part in table.partitions if part.type == METADATA_TYPE]
    return [_MBR_PLACE, *places] if any(part.type == MBR_TYPE for part in table.partitions) else places
