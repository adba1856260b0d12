"""The guest's mount tree, as its fstab says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree, Location, Subtree, Unreadable
from imgscan.devices.limits import MIB
from imgscan.devices.subvolumes import mounted, split_path
from imgscan.errors import ERRORS, CorruptStructure, ImageError, MissingPart, UnsupportedFormat
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.fstab import FstabEntry, parse_fstab
from imgscan.guests.linux.mdadm_conf import PATHS as MDADM_CONF
from imgscan.guests.linux.mdadm_conf import array_devices
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.system import Mount
from imgscan.model.text import shown
from imgscan.model.volume import Volume

FSTAB_BYTES: Final = 1 * MIB
NOT_ON_A_DISK: Final = frozenset(
    {
        "proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs",
        "configfs", "fusectl", "hugetlbfs", "mqueue", "pstore", "efivarfs", "binfmt_misc", "bpf", "ramfs", "rootfs",
        "usbfs", "usbdevfs", "selinuxfs", "nfs", "nfs4", "cifs", "smbfs", "smb3", "ceph", "glusterfs", "fuse.sshfs",
        "9p", "virtiofs", "vmhgfs", "vboxsf", "fuse.vmhgfs-fuse", "overlay", "aufs", "none", "swap", "auto.master",
    }
)  # fmt: skip
"""Types whose files are on no volume of the machine."""


class Mounted(NamedTuple):
    """The guest's tree, and the lines of its fstab."""

    tree: GuestTree
    mounts: Fact[tuple[Mount, ...]]


def read_mounts(
    root: str, filesystems: Mapping[str, FileSystem], volumes: Sequence[Volume], devices: Devices, directory: str = "/"
) -> Mounted:
    """Return the tree below the volume `root`, and its mounts; `directory` is the root on it (`/subvol:@`).

    What fstab mounts and cannot be read stands in the tree as `Unreadable`: it never looks empty. Names of disks
    (/dev/sda1) are anchored at the root's own line, for its volume is known.
    """
    top, _ = split_path(filesystems[root], directory)
    tree = GuestTree({"/": top})
    try:
        place = tree.find("/etc/fstab")
        if place is None:
            return Mounted(tree, known((), at_path(root, f"{directory.rstrip('/')}/etc/fstab")))
        entries = parse_fstab(read_text(place, FSTAB_BYTES))
    except ImageError as error:
        return Mounted(tree, unread_because(error, at_path(root, f"{directory.rstrip('/')}/etc/fstab")))
    _name_arrays(tree, volumes, devices)
    for entry in entries:
        if entry.point == "/":
            devices.anchor(entry.source, root)
    mounts = tuple(_mount(entry, place, devices) for entry in entries)
    by_name = {volume.name: volume for volume in volumes}
    for entry, mount in sorted(zip(entries, mounts, strict=True), key=lambda pair: pair[1].point.count("/")):
        if entry.point.startswith("/") and entry.point.strip("/") and _is_on_a_volume(entry):
            tree.mount(_real_path(tree, entry.point), _below(entry, mount, filesystems, by_name))
    return Mounted(tree, known(mounts, place.evidence()))


def _name_arrays(tree: GuestTree, volumes: Sequence[Volume], devices: Devices) -> None:
    """Learn from mdadm.conf how the guest calls its arrays; without it their own names tell."""
    if not any(volume.kind == "raid-array" for volume in volumes):
        return
    for path in MDADM_CONF:
        try:
            place = tree.find(path)
            text = "" if place is None else read_text(place, FSTAB_BYTES)
        except ImageError:
            continue
        for source, volume in array_devices(text, volumes).items():
            devices.name_array(source, volume)


def _mount(entry: FstabEntry, place: Location, devices: Devices) -> Mount:
    is_swap = entry.type == "swap"
    return Mount(
        source=shown(entry.source),
        point="none" if is_swap else shown(entry.point),
        type=shown(entry.type),
        options=shown(entry.options),
        volume=devices.resolve(entry.source).volume if is_swap or _is_on_a_volume(entry) else None,
        evidence=(place.evidence(entry.line),),
    )


def _is_on_a_volume(entry: FstabEntry) -> bool:
    """Whether a line mounts a volume, and not memory, another host's files or a part of the tree itself."""
    options = entry.option_names
    return entry.type not in NOT_ON_A_DISK and not options & {"bind", "rbind", "loop"} and "//" not in entry.source[:2]


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
