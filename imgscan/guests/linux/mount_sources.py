"""How a mount names what it mounts. Sources: fstab(5), mount(8) ("Indicating the device and filesystem"), udev(7)."""

from __future__ import annotations

from typing import Final

from imgscan.guests.linux.devices import is_device_name
from imgscan.model.system import SourceKind

NETWORK_TYPES: Final = frozenset(
    {
        "nfs", "nfs4", "cifs", "smbfs", "smb3", "ncpfs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "sshfs",
        "fuse.sshfs", "lustre", "beegfs", "gpfs", "afs", "coda", "davfs", "davfs2", "fuse.davfs2", "curlftpfs",
        "fuse.curlftpfs", "s3fs", "fuse.s3fs", "orangefs", "pvfs2", "9p", "virtiofs", "vmhgfs", "fuse.vmhgfs-fuse",
        "vboxsf", "prl_fs", "moosefs", "fuse.mfs",
    }
)  # fmt: skip
"""Types whose files another host has, or the hypervisor."""
VIRTUAL_TYPES: Final = frozenset(
    {
        "proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs",
        "configfs", "fusectl", "hugetlbfs", "mqueue", "pstore", "efivarfs", "binfmt_misc", "bpf", "ramfs", "rootfs",
        "usbfs", "usbdevfs", "selinuxfs", "rpc_pipefs", "nfsd", "overlay", "aufs", "autofs", "auto.master", "ignore",
    }
)  # fmt: skip
"""Types whose files are in memory, or are those of other mounts."""
_TAGS: Final[dict[str, SourceKind]] = {
    "uuid": "uuid", "label": "label", "partuuid": "partuuid", "partlabel": "partlabel", "id": "hardware-name",
    "path": "hardware-name",
}  # fmt: skip
_REMOVABLE: Final = ("sr", "scd", "cdrom", "cdrw", "dvd", "fd", "floppy")


def kind_of_source(source: str, type_: str, options: frozenset[str]) -> SourceKind:
    """Say how the first field of a mount names a volume; `options` without their values."""
    if type_ in NETWORK_TYPES or source.startswith(("//", "sshfs#", "curlftpfs#", "s3fs#")):
        return "network"
    if type_ in VIRTUAL_TYPES:
        return "virtual"
    if options & {"bind", "rbind", "loop"}:
        return "file"
    tag, equals, _ = source.partition("=")
    if equals and not source.startswith("/"):
        return _TAGS.get(tag.lower(), "unknown")
    if source.startswith("/dev/"):
        return _kind_of_device(source)
    if source.startswith("/"):
        return "file"
    if ":/" in source:
        return "network"
    return "virtual" if type_ == "none" else "unknown"


def _kind_of_device(source: str) -> SourceKind:
    name = source.removeprefix("/dev/")
    if name.startswith("disk/by-"):
        by, _, rest = name.removeprefix("disk/by-").partition("/")
        layer: dict[str, SourceKind] = {"dm": "mapper", "md": "array"}
        return layer.get(rest.partition("-")[0], "hardware-name") if by == "id" else _TAGS.get(by, "unknown")
    if name.startswith("mapper/"):
        return "mapper"
    if is_device_name(source):
        return "device-name"
    if name.startswith("md/") or (name.startswith("md") and name[2:].lstrip("_d")[:1].isdigit()):
        return "array"
    if name.rstrip("0123456789") in _REMOVABLE or name.rstrip("0123456789u").rstrip("0123456789") == "fd":
        return "removable"
    return "logical-volume" if name.count("/") == 1 else "unknown"
