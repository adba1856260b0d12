"""Which volume a device name of the guest means: fstab's first field, root=, GRUB's search and (hd0,1).

UUIDs and labels are sure. Names like /dev/sda1 depend on the order in which a kernel finds the disks: they are
resolved over the disks in the order given, and marked as guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from imgscan.guests.grub_device import array_names, bare, grub_volumes
from imgscan.model.disk import Disk
from imgscan.model.volume import Volume, whole_names

NOT_A_FILESYSTEM: Final = frozenset({"LVM2_member", "linux_raid_member", "ddf_raid_member", "isw_raid_member"})
"""Members of something larger: their UUID or label is never what a mount means."""
_SPECIAL_FOLDERS: Final = frozenset({"disk", "mapper", "md", "block", "cciss", "ida", "shm", "pts", "loop"})

_ARRAY_NAME: Final = r"/dev/md(?:/|_(?=d))?([^/]+)"
_NAMES_OF_HARDWARE: Final = ("/dev/disk/by-id/", "/dev/disk/by-path/")
"""Names that nothing on the disks tells."""


class Resolution(msgspec.Struct, frozen=True):
    """What a device name means.

    `volume` is None when no volume answers, or several do (`candidates` names them). `is_guess` is whether it rests on
    the order of the disks.
    """

    volume: str | None
    candidates: tuple[str, ...] = ()
    is_guess: bool = False

    @property
    def is_ambiguous(self) -> bool:
        """Whether several volumes answer to the name."""
        return len(self.candidates) > 1


class Devices:
    """The volumes of a machine by the names that a Linux gives them."""

    def __init__(self, volumes: Sequence[Volume], disks: Sequence[Disk]) -> None:
        self._whole = whole_names(volumes)
        self._volumes = tuple(volume for volume in volumes if volume.name not in self._whole)
        self._names = frozenset(volume.name for volume in volumes)
        self._disks = tuple(disk.name for disk in disks)
        self._partitions = tuple(
            partition for disk in disks if disk.partition_table for partition in disk.partition_table.partitions
        )
        self._anchors: dict[tuple[str, str], str] = {}
        self._hardware: dict[str, str] = {}
        self._array_names: dict[str, set[str]] = {}
        self._mapped: dict[str, str] = {}

    def anchor(self, source: str, volume: str) -> None:
        """Learn from a device name that is known to mean `volume`: /dev/sdb1 is disk0/p1, so sdb is disk0.

        Of a name after the hardware (/dev/disk/by-id) nothing but itself is learnt.
        """
        device = _parse_device(source)
        disk = volume.partition("/")[0]
        if device is not None and disk in self._disks:
            self._anchors[device.family, device.disk] = disk
        elif source.startswith(_NAMES_OF_HARDWARE):
            self._hardware[source] = volume

    def name_array(self, source: str, volume: str) -> None:
        """Learn from mdadm.conf which array a device name means (/dev/md1, /dev/md/root)."""
        match = re.fullmatch(_ARRAY_NAME, source)
        if match:
            self._array_names.setdefault(volume, set()).add(match[1])

    def name_unlocked(self, name: str, container: str) -> None:
        """Learn from crypttab that /dev/mapper/`name` is what an encrypted volume holds."""
        self._mapped[name] = f"{container}/luks"

    def resolve(self, source: str) -> Resolution:
        """Return what a device name or tag means; any member of a filesystem on several volumes means all of it."""
        return self._as_whole(self._resolve(source.strip()))

    def _as_whole(self, found: Resolution) -> Resolution:
        if found.volume not in self._whole:
            return found
        return msgspec.structs.replace(found, volume=self._whole[found.volume], candidates=(self._whole[found.volume],))

    def _resolve(self, source: str) -> Resolution:
        if source in self._hardware:
            return Resolution(self._hardware[source], (self._hardware[source],), is_guess=True)
        tag, equals, value = source.partition("=")
        if equals and not source.startswith("/"):
            return self._by_tag(tag.upper(), _without_quotes(value))
        match = re.fullmatch(r"/dev/disk/by-id/(dm-name|dm-uuid|md-name|md-uuid)-(.+)", source)
        if match:
            return self._by_layer(match[1], _without_udev_escapes(match[2]))
        if source.startswith("/dev/disk/"):
            folder, _, name = source.removeprefix("/dev/disk/").partition("/")
            return self._by_tag(folder.removeprefix("by-").upper(), _without_udev_escapes(name))
        if source.startswith("/dev/mapper/"):
            return self._by_mapper(source.removeprefix("/dev/mapper/"))
        match = re.fullmatch(_ARRAY_NAME, source)
        if match:
            return self._by_array(match[1])
        device = _parse_device(source)
        if device is not None:
            return self._by_number(device)
        match = re.fullmatch(r"/dev/([^/]+)/([^/]+)", source)
        if match and match[1] not in _SPECIAL_FOLDERS:
            return self._by_logical_volume(match[1], match[2])
        return Resolution(None)

    def resolve_grub(self, device: str) -> Resolution:
        """Return what GRUB 2's `(hd0,msdos1)`, `hd0,gpt2`, `lvmid/...` means; it counts partitions from 1."""
        name = device.strip("() ")
        layered = grub_volumes(name, self._volumes)
        if layered is not None:
            return _one(layered)
        match = re.fullmatch(r"hd(\d{1,9})(?:,[a-z]*(\d{1,9}))*", name)
        if match is None:
            return Resolution(None)
        number = int(match[2]) if match[2] else None
        return self._as_whole(self._by_number(_Device("grub", match[1], int(match[1]), number)))

    def resolve_grub_legacy(self, device: str) -> Resolution:
        """Return what GRUB legacy's `(hd0,0)` means; it counts partitions from 0."""
        match = re.fullmatch(r"\(?hd(\d{1,9})(?:,(\d{1,9})(?:,[a-z])?)?\)?", device.strip())
        if match is None:
            return Resolution(None)
        number = int(match[2]) + 1 if match[2] else None
        return self._as_whole(self._by_number(_Device("grub", match[1], int(match[1]), number)))

    def _by_tag(self, tag: str, value: str) -> Resolution:
        if not value:
            return Resolution(None)
        wanted = value.lower()
        filesystems = [volume for volume in self._volumes if volume.content not in NOT_A_FILESYSTEM]
        if tag == "UUID":
            return self._originals(v for v in filesystems if v.uuid and str(v.uuid.value).lower() == wanted)
        if tag == "LABEL":
            return self._originals(v for v in filesystems if v.label and v.label.value == value)
        if tag == "PARTUUID":
            inner = [v.name for v in self._volumes if v.metadata.get("partition_uuid") == wanted]
            own = [partition.name for partition in self._partitions if partition.uuid == wanted]
            return self._partition((*own, *inner))
        if tag == "PARTLABEL":
            return self._partition(partition.name for partition in self._partitions if partition.label == value)
        return Resolution(None)

    @staticmethod
    def _originals(volumes: Iterable[Volume]) -> Resolution:
        """Resolve to the volumes themselves, not to snapshots of them, which look the same."""
        found = list(volumes)
        originals = [volume for volume in found if volume.kind != "snapshot"]
        return _one(volume.name for volume in originals or found)

    def _partition(self, names: Iterable[str]) -> Resolution:
        return _one(name for name in names if name in self._names)

    def _by_number(self, device: _Device) -> Resolution:
        disk = self._anchors.get((device.family, device.disk))
        if disk is None:
            taken = {disk for (family, _), disk in self._anchors.items() if family == device.family}
            if device.number >= len(self._disks) or self._disks[device.number] in taken:
                return Resolution(None, is_guess=True)
            disk = self._disks[device.number]
        name = disk if device.partition is None else f"{disk}/p{device.partition}"
        found = name if name in self._names else None
        return Resolution(found, (found,) if found else (), is_guess=True)

    def _by_array(self, name: str) -> Resolution:
        """Return the MD array of a name below /dev or /dev/md, or a partition on it; without names it is a guess."""
        arrays = [volume for volume in self._volumes if volume.kind == "raid-array"]
        for pattern in (r"(.+)", r"(.*\d)p(\d{1,9})", r"(.*\D)(\d{1,9})"):  # md0, md0p1, root, root1
            match = re.fullmatch(pattern, name)
            if match is None:
                continue
            suffix = f"/p{match[2]}" if match.re.groups > 1 else ""
            said = [each.name for each in arrays if match[1] in self._array_names.get(each.name, ())]
            named = said or [each.name for each in arrays if match[1] in array_names(each)]
            found = [f"{each}{suffix}" for each in named if f"{each}{suffix}" in self._names]
            if found:
                return _one(found)
        match = re.fullmatch(r"(?:d?\d+|.*\D)(?:p(\d{1,9}))?", name)
        suffix = f"/p{match[1]}" if match and match[1] else ""
        guessed = tuple(f"{each.name}{suffix}" for each in arrays if f"{each.name}{suffix}" in self._names)
        return Resolution(guessed[0] if len(guessed) == 1 else None, guessed, is_guess=True)

    def _by_layer(self, kind: str, name: str) -> Resolution:
        """Return what udev's links by device-mapper's and MD's names and UUIDs mean."""
        if kind == "dm-name":
            return self._by_mapper(name)
        if kind == "md-name":
            return self._by_array(name.rpartition(":")[2])
        if kind == "md-uuid":
            return _one(v.name for v in self._volumes if bare(v.metadata.get("array_uuid", "?")) == bare(name))
        wanted = bare(name.removeprefix("LVM-"))
        return _one(
            volume.name
            for volume in self._volumes
            if bare(volume.metadata.get("group_uuid", "?") + volume.metadata.get("uuid", "?")) == wanted
        )

    def _by_mapper(self, name: str) -> Resolution:
        if name in self._mapped:
            inner = self._mapped[name]
            return Resolution(inner, (inner,)) if inner in self._names else Resolution(None)
        if name.startswith("luks-"):
            container = self._by_tag("UUID", name.removeprefix("luks-"))
            inner = f"{container.volume}/luks"
            return Resolution(inner, (inner,)) if inner in self._names else Resolution(None)
        match = re.fullmatch(r"((?:[^-]|--)+)-((?:[^-]|--)+)", name)  # device-mapper doubles the dashes inside names
        if match is None:
            return Resolution(None)
        return self._by_logical_volume(match[1].replace("--", "-"), match[2].replace("--", "-"))

    def _by_logical_volume(self, group: str, volume: str) -> Resolution:
        pattern = re.compile(rf"{re.escape(group)}(~[0-9A-Za-z]+)?/{re.escape(volume)}")
        return _one(v.name for v in self._volumes if v.kind != "partition" and pattern.fullmatch(v.name))


def is_device_name(source: str) -> bool:
    """Whether a name depends on the order in which a kernel finds the disks."""
    return _parse_device(source) is not None or re.fullmatch(r"/dev/dm-\d+", source) is not None


class _Device(msgspec.Struct, frozen=True):
    """A kernel's or GRUB's device name: the disk's name, its number from 0, and the partition's from 1.

    Names of one family (`sd`, `nvme`, GRUB's) are counted together.
    """

    family: str
    disk: str
    number: int
    partition: int | None


def _parse_device(source: str) -> _Device | None:
    """Parse /dev/sda1, /dev/xvda, /dev/nvme0n1p2, /dev/mmcblk0p1, /dev/cciss/c0d0p1; None for any other name."""
    match = re.fullmatch(r"/dev/(sd|hd|vd|xvd|ubd)([a-z]{1,3})(\d{0,9})", source)
    if match:
        index = 0
        for letter in match[2]:
            index = index * 26 + ord(letter) - ord("a") + 1
        return _Device(match[1], match[2], index - 1, int(match[3]) if match[3] else None)
    match = re.fullmatch(
        r"/dev/(nvme(\d{1,9})n\d+|mmcblk(\d{1,9})|(?:cciss|ida)/c\d+d(\d{1,9}))(?:p(\d{1,9}))?", source
    )
    if match:
        number = next(group for group in match.groups()[1:4] if group is not None)
        return _Device(match[1][:4], match[1], int(number), int(match[5]) if match[5] else None)
    return None


def _one(names: Iterable[str]) -> Resolution:
    found = tuple(dict.fromkeys(names))
    return Resolution(found[0] if len(found) == 1 else None, found)


def _without_quotes(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _without_udev_escapes(name: str) -> str:
    r"""Undo udev's escapes (``\\x20`` for a blank) in the name of a link below /dev/disk."""
    data = re.sub(
        rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), name.encode("utf-8", "surrogateescape")
    )
    return data.decode("utf-8", "surrogateescape")
