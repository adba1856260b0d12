"""On which kind of filesystem a folder lies: SQLite's write-ahead log needs shared memory and locks of one host.

The kernel's mount table decides (proc_pid_mountinfo(5)): what a network filesystem promises about locks and `mmap`
cannot be tried out by one host alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from imgscan.errors import UsageError

MOUNT_TABLE = Path("/proc/self/mountinfo")
NETWORK_TYPES = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "cvfs", "davfs", "fhgfs", "gfs2"),
        *("glusterfs", "gpfs", "kafs", "lustre", "mfs", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("prl_fs", "pvfs2", "s3fs", "smb", "smb2", "smb3", "smbfs", "snfs", "sshfs", "vboxsf", "vmhgfs", "wekafs"),
    }
)
"""Filesystems of a server, of several hosts, or of the host of a virtual machine."""
NETWORK_FUSE_SUBTYPES = NETWORK_TYPES | {
    *("afp", "alluxio-fuse", "blobfuse", "blobfuse2", "ceph-fuse", "cephfs", "curlftpfs", "davfs2"),
    *("gcsfuse", "geesefs", "glusterfs", "goofys", "google-drive-ocamlfuse", "gvfsd-fuse", "hdfs", "httpdirfs"),
    *("hubicfuse", "ipfs", "juicefs", "JuiceFS", "moosefs", "mount-s3", "mountpoint-s3", "onedriver"),
    *("rclone", "rclonefs", "rozofs", "s3backer", "s3ql", "seaweedfs", "smbnetfs", "sshfs", "svfs", "vmhgfs-fuse"),
    *("webdavfs", "wdfs", "xtreemfs"),
}
"""The same through FUSE: what stands behind `fuse.`."""
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(msgspec.Struct, frozen=True):
    """A line of the mount table; `point` and `source` have their escapes undone."""

    id: int
    parent: int
    point: bytes
    type: str
    source: bytes


def parse_mounts(table: bytes) -> list[Mount]:
    """Return the mounts of a mountinfo text in its order; lines of another shape are left out.

    A line is `id parent major:minor root point options [optional...] - type source options`, a space, tab, newline
    and backslash inside a field written as an octal escape.
    """
    mounts = []
    for line in table.splitlines():
        before, separator, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if not separator or len(fields) < 6 or len(rest) < 2 or not (fields[0].isdigit() and fields[1].isdigit()):
            continue
        kind = rest[0].decode("ascii", "backslashreplace")
        mounts.append(Mount(int(fields[0]), int(fields[1]), _unescaped(fields[4]), kind, _unescaped(rest[1])))
    return mounts


def mount_of(mounts: list[Mount], folder: bytes) -> Mount | None:
    """Return the mount that an absolute path without links lies on, None when the table does not tell.

    From the root mount down, each step takes the mount that lies on the one before it and is met first on the way:
    so a mount that a later one hides is not taken for what is seen there, which the longest mount point alone would.
    """
    ids = {mount.id for mount in mounts}
    current = next((m for m in mounts if m.point == b"/" and (m.parent not in ids or m.parent == m.id)), None)
    if current is None:  # a root that is no mount point (chroot): the longest mount point, the latest of several
        on_the_way = [mount for mount in mounts if _holds(mount.point, folder)]
        return max(reversed(on_the_way), key=lambda mount: len(mount.point), default=None)
    for _ in mounts:
        children = [mount for mount in mounts if mount.parent == current.id != mount.id and _holds(mount.point, folder)]
        if not children:
            break
        current = min(children, key=lambda mount: len(mount.point))
    return current


def network_filesystem(folder: Path, table: bytes | None = None) -> str | None:
    """Return the type of the network filesystem that `folder` lies on (`nfs4`, `fuse.sshfs`, ...), None when on none.

    `table` is a mountinfo text, the kernel's own when not given; where there is none, nothing can be told.
    """
    if table is None:
        try:
            table = MOUNT_TABLE.read_bytes()
        except OSError:
            return None
    mount = mount_of(parse_mounts(table), bytes(folder.resolve()))
    if mount is None:
        return None
    fuse, dot, subtype = mount.type.partition(".")
    on_network = subtype in NETWORK_FUSE_SUBTYPES if dot and fuse.startswith("fuse") else mount.type in NETWORK_TYPES
    return mount.type if on_network else None


def refuse_network_filesystem(database: Path) -> None:
    """Refuse to write a database on a network filesystem.

    :raises UsageError: it would lie on one; the message names the type
    """
    kind = network_filesystem(database.resolve().parent)
    if kind is not None:
        raise UsageError(
            f"it lies on a network filesystem ({kind}), where a results database cannot be kept safely; "
            "give a path on a local disk",
            where=str(database),
        )


def _holds(point: bytes, folder: bytes) -> bool:
    return point in {b"/", folder} or folder.startswith(point + b"/")


def _unescaped(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
