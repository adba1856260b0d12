"""The guest's mount tree, as its fstab says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree, Location, Subtree, Unreadable
from imgscan.devices.limits import MIB
from imgscan.devices.subvolumes import mounted, split_path
from imgscan.errors import ERRORS, CorruptStructure, ImageError, MissingPart, UnsupportedFormat
from imgscan.guests.attempt import attempt
from imgscan.guests.linux.crypttab import PATH as CRYPTTAB
from imgscan.guests.linux.crypttab import read_crypttab
from imgscan.guests.linux.devices import Devices, Resolution
from imgscan.guests.linux.fstab import FstabEntry, parse_fstab
from imgscan.guests.linux.mount_sources import kind_of_source
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.system import CryptEntry, Mount
from imgscan.model.text import shown
from imgscan.model.volume import Volume

FSTAB_BYTES: Final = 1 * MIB
_SAME_FAMILY: Final = (
    frozenset({"ext2", "ext3", "ext4"}),
    frozenset({"vfat", "msdos", "fat", "umsdos"}),
    frozenset({"ntfs", "ntfs-3g", "ntfs3", "fuseblk", "fuse.ntfs-3g", "lowntfs-3g"}),
    frozenset({"exfat", "fuse.exfat", "exfat-fuse", "fuseblk"}),
    frozenset({"swap", "swsuspend"}),
)
"""Types of fstab that mount each other's filesystems."""
_TOLD_BY_CONTENT: Final = frozenset({"xfs", "btrfs", "jfs", "reiserfs", "f2fs"}.union(*_SAME_FAMILY))


class Mounted(NamedTuple):
    """The guest's tree, the lines of its fstab, and those of its crypttab."""

    tree: GuestTree
    mounts: Fact[tuple[Mount, ...]]
    crypttab: Fact[tuple[CryptEntry, ...]]


def read_mounts(
    root: str, filesystems: Mapping[str, FileSystem], volumes: Sequence[Volume], devices: Devices, directory: str = "/"
) -> Mounted:
    """Return the tree below the volume `root`, and its mounts; `directory` is the root on it (`/subvol:@`).

    What fstab mounts and cannot be read stands in the tree as `Unreadable`: it never looks empty. Names of disks
    (/dev/sda1) are anchored at the root's own line, for its volume is known.
    """
    top, _ = split_path(filesystems[root], directory)
    tree = GuestTree({"/": top})
    where = at_path(root, f"{directory.rstrip('/')}/etc/fstab")
    try:
        place = tree.find("/etc/fstab")
        entries = parse_fstab(read_text(place, FSTAB_BYTES)) if place is not None else []
    except ImageError as error:
        return Mounted(tree, unread_because(error, where), _crypttab(tree, devices, root))
    _name_arrays(tree, volumes, devices)
    for entry in entries:
        if entry.point == "/":
            devices.anchor(entry.source, root)
    crypttab = _crypttab(tree, devices, root)
    if place is None:
        return Mounted(tree, known((), where), crypttab)
    by_name = {volume.name: volume for volume in volumes}
    points = _points(entries)
    mounts = tuple(_mount(entry, place, devices, by_name, points) for entry in entries)
    for entry, mount in sorted(zip(entries, mounts, strict=True), key=lambda pair: pair[1].point.count("/")):
        if entry.point.startswith("/") and entry.point.strip("/") and _is_on_a_volume(entry):
            tree.mount(_real_path(tree, entry.point), _below(entry, mount, filesystems, by_name))
    return Mounted(tree, known(mounts, place.evidence()), crypttab)


def _crypttab(tree: GuestTree, devices: Devices, root: str) -> Fact[tuple[CryptEntry, ...]]:
    return attempt(lambda: read_crypttab(tree, devices), at_path(root, CRYPTTAB))


def _points(entries: Sequence[FstabEntry]) -> dict[str, int]:
    """Return the line that mounts something at each mount point by itself, the first where there are several."""
    points: dict[str, int] = {}
    for entry in entries:
        if entry.is_automatic and entry.type != "swap" and entry.point.startswith("/"):
            points.setdefault(_trimmed(entry.point), entry.line)
    return points


def _trimmed(point: str) -> str:
    return "/" + point.strip("/")


def _name_arrays(tree: GuestTree, volumes: Sequence[Volume], devices: Devices) -> None:
    """Learn from mdadm.conf how the guest calls its arrays; without it their own names tell."""
    if not any(volume.kind == "raid-array" for volume in volumes):
        return
    from imgscan.guests.linux import mdadm_conf  # noqa: PLC0415 - start-up time

    for path in mdadm_conf.PATHS:
        try:
            place = tree.find(path)
            text = "" if place is None else read_text(place, FSTAB_BYTES)
        except ImageError:
            continue
        for source, volume in mdadm_conf.array_devices(text, volumes).items():
            devices.name_array(source, volume)


def _mount(
    entry: FstabEntry, place: Location, devices: Devices, volumes: Mapping[str, Volume], points: Mapping[str, int]
) -> Mount:
    is_swap = entry.type == "swap"
    how = kind_of_source(entry.source, entry.type, entry.option_names)
    found = devices.resolve(entry.source) if is_swap or _is_on_a_volume(entry) else Resolution(None)
    flaw = entry.flaw or _conflict(entry, points)
    volume = volumes.get(found.volume or "")
    if flaw is None and volume is not None:
        flaw = _wrong_type(entry.type, volume)
    return Mount(
        source=shown(entry.source),
        point="none" if is_swap else shown(entry.point),
        type=shown(entry.type),
        options=shown(entry.options),
        volume=found.volume,
        evidence=(place.evidence(entry.line),),
        how=how,
        candidates=found.candidates,
        by_order=found.is_guess and found.volume is not None,
        at_boot=entry.is_automatic,
        may_fail=entry.may_fail,
        flaw=None if flaw is None else shown(flaw),
    )


def _conflict(entry: FstabEntry, points: Mapping[str, int]) -> str | None:
    """Say which line before mounts something at the same place: systemd takes the first, mount(8) the last."""
    if not entry.is_automatic or entry.type == "swap" or "bind" in entry.option_names:
        return None
    first = points.get(_trimmed(entry.point))
    return f"line {first} mounts something at {entry.point} too" if first not in {None, entry.line} else None


def _wrong_type(type_: str, volume: Volume) -> str | None:
    """Say that a volume holds another filesystem than the line says, where both are known."""
    content = volume.content
    if type_ not in _TOLD_BY_CONTENT or content not in _TOLD_BY_CONTENT or type_ == content:
        return None
    if any({type_, content} <= family for family in _SAME_FAMILY):
        return None
    return f"it says {type_}, and {volume.name} holds {content}"


def _is_on_a_volume(entry: FstabEntry) -> bool:
    """Whether a line mounts a volume, and not memory, another host's files or a part of the tree itself."""
    if entry.type in {"none", "swap"}:
        return False
    how = kind_of_source(entry.source, entry.type, entry.option_names)
    return how not in {"network", "virtual", "file"}


def _real_path(tree: GuestTree, point: str) -> str:
    """Return where a mount point really is, links followed; as it is written where that cannot be told."""
    point = "/" + point.strip("/")
    parent, _, name = point.rpartition("/")
    try:
        place = tree.find(point)
        above = tree.find(parent) if place is None else None
    except ImageError:
        return point
    if place is not None:
        return place.path
    return point if above is None else f"{above.path.rstrip('/')}/{name}"


def _below(
    entry: FstabEntry, mount: Mount, filesystems: Mapping[str, FileSystem], volumes: Mapping[str, Volume]
) -> FileSystem | Subtree | Unreadable:
    """Return the filesystem of a mount, or its subvolume, or why it cannot be read."""
    if mount.volume is None:
        reason = f"fstab mounts {shown(entry.source)} there, and no volume of the given disks is it"
        return Unreadable(mount.source, MissingPart(reason))
    filesystem = filesystems.get(mount.volume)
    if filesystem is not None:
        try:
            return mounted(filesystem, entry.options)
        except ImageError as error:
            return Unreadable(mount.volume, error)
    volume = volumes[mount.volume]
    lost = volume.signature if volume.readable is None else volume.readable
    if lost.is_known:
        what = volume.content or "nothing that is known"
        return Unreadable(mount.volume, UnsupportedFormat(f"the volume holds {what}", where=mount.volume))
    kind = ERRORS.get(str(lost.unread), CorruptStructure)
    return Unreadable(mount.volume, kind(str(lost.detail), where=mount.volume))
