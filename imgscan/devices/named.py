"""A device under another name: an opened image as `disk0`."""

from __future__ import annotations

from imgscan.devices.device import BlockDevice


class NamedDevice:
    """The same bytes as `below`, called `name` in messages and evidence about what lies on it."""

    def __init__(self, below: BlockDevice, name: str) -> None:
        self.name = name
        self.size = below.size
        self.sector_size = below.sector_size
        self.read_at = below.read_at  # the very method: no call is added to the path of every read
