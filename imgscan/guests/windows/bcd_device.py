"""Device elements of a boot configuration store.

Microsoft publishes the element numbers ("BCD Reference", BcdLibrary and BcdOSLoader element types) and not the data;
the layout is that of BOOT_ENVIRONMENT_DEVICE as observed: 16 bytes (the object with additional options), then type,
flags and length (32 bits each, the length from the type on), 4 bytes unused, and what the type needs.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import msgspec

from imgscan.guests.windows.partitions import PartitionName, Partitions

_BLOCK_IO, _BOOT, _PARTITION, _LOCATE = 0, 5, 6, 8
_HEADER: Final = struct.Struct("<16xIII4x")
_BLOCK_IO_KINDS: Final[dict[int, Literal["ramdisk", "file", "virtual-disk"]]] = {
    3: "ramdisk",
    5: "file",
    6: "virtual-disk",
}
_STYLE_OF_GPT, _STYLE_OF_MBR = 0, 1


class BcdDevice(msgspec.Struct, frozen=True):
    """A device: `partition` is set for that kind; `boot` is the partition that the boot manager was started from."""

    kind: Literal["partition", "boot", "locate", "ramdisk", "file", "virtual-disk", "unknown"]
    partition: PartitionName | None = None

    @property
    def shown(self) -> str:
        """The device in a few words."""
        return self.partition.source if self.partition is not None else self.kind


def decode_bcd_device(data: bytes, partitions: Partitions) -> BcdDevice:
    """Return what a device element names; `unknown` for what is not understood."""
    if len(data) < _HEADER.size:
        return BcdDevice("unknown")
    type_, _flags, length = _HEADER.unpack_from(data)
    content = data[_HEADER.size : 16 + length]
    if type_ == _PARTITION:
        return _partition(content, partitions)
    if type_ == _BLOCK_IO and len(content) >= 4:
        return BcdDevice(_BLOCK_IO_KINDS.get(int.from_bytes(content[:4], "little"), "unknown"))
    if type_ == _BOOT:
        return BcdDevice("boot")
    return BcdDevice("locate" if type_ == _LOCATE else "unknown")


def _partition(content: bytes, partitions: Partitions) -> BcdDevice:
    """Decode a partition: 16 bytes of GPT identifier or MBR offset, disk kind, style, disk identifier or signature."""
    if len(content) < 28:
        return BcdDevice("unknown")
    start, style, signature = struct.unpack_from("<Q12xII", content)
    if style == _STYLE_OF_GPT:
        return BcdDevice("partition", partitions.by_gpt(content[:16]))
    if style == _STYLE_OF_MBR:
        return BcdDevice("partition", partitions.by_mbr(signature, start))
    return BcdDevice("unknown")
