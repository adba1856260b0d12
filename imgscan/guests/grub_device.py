"""How GRUB 2 names volumes that lie on others: ``lvm/VG-LV``, ``lvmid/UUID/UUID``, ``md/NAME``, ``mduuid/HEX``.

Sources: GRUB, grub-core/disk/lvm.c, mdraid1x_linux.c and diskfilter.c. A partition on such a volume is
``,msdos1`` or ``,gpt1`` behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imgscan.model.volume import Volume

ABSTRACTIONS = {"lvm": "LVM2_member", "lvmid": "LVM2_member", "md": "linux_raid_member", "mduuid": "linux_raid_member"}
"""How such a name begins, and what the volumes below hold."""
_LOGICAL = frozenset({"logical-volume", "snapshot", "thin-pool"})


def grub_volumes(device: str, volumes: Iterable[Volume]) -> tuple[str, ...] | None:
    """Return the volumes that answer to GRUB's name of a device; None when it is not a name of this kind."""
    match = re.fullmatch(r"\(?(lvmid|lvm|mduuid|md)/([^,()]+)((?:,[a-z]*\d{1,9})*)\)?", device.strip())
    if match is None:
        return None
    kind, name, partitions = match.groups()
    suffix = "".join(f"/p{number}" for number in re.findall(r"\d+", partitions))
    named = list(volumes)
    names = {volume.name for volume in named}
    found = [volume.name for volume in named if _answers(volume, kind, name)]
    return tuple(f"{each}{suffix}" for each in found if f"{each}{suffix}" in names)


def _answers(volume: Volume, kind: str, name: str) -> bool:
    metadata = volume.metadata
    if kind == "lvmid":
        return bool(metadata.get("group_uuid")) and name == f"{metadata['group_uuid']}/{metadata.get('uuid')}"
    if kind == "lvm":
        return volume.kind in _LOGICAL and name == mapper_name(volume)
    if volume.kind != "raid-array":
        return False
    if kind == "mduuid":
        return bare(metadata.get("array_uuid", "?")) == bare(name)
    return name in array_names(volume)


def array_names(volume: Volume) -> frozenset[str]:
    """Return what an MD array may be called below /dev/md, without its host's name: `0` for /dev/md0."""
    named = {volume.metadata.get("array_name", "").rpartition(":")[2], volume.metadata.get("preferred_minor", "")}
    return frozenset(named - {""})


def bare(uuid: str) -> str:
    """Return a UUID's digits alone: MD's is written with colons, dashes or nothing between them."""
    return re.sub(r"[:-]", "", uuid).lower()


def mapper_name(volume: Volume) -> str:
    """Return a logical volume's name in /dev/mapper, where dashes inside the two names are doubled."""
    title, _, name = volume.name.partition("/")
    group = volume.metadata.get("group", title)
    return f"{group.replace('-', '--')}-{name.replace('-', '--')}"
