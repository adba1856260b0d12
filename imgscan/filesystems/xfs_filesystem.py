"""XFS, versions 4 and 5, read-only. The log is not replayed: what it holds is newer than what is read."""

from __future__ import annotations

from collections.abc import Iterator

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry
from imgscan.errors import CorruptStructure, TruncatedRead
from imgscan.filesystems import xfs_free, xfs_log
from imgscan.filesystems.xfs_directories import Directories
from imgscan.filesystems.xfs_extents import content, runs
from imgscan.filesystems.xfs_inodes import Inodes, entry_of, kind_of
from imgscan.filesystems.xfs_volume import XfsVolume
from imgscan.layouts import xfs
from imgscan.model.volume import Free


class XfsFileSystem:
    """Nodes are inode numbers."""

    type = "xfs"

    def __init__(self, device: BlockDevice, volume: str) -> None:
        """Open it.

        :raises UnsupportedFormat: it has a feature that is not read
        :raises CorruptStructure: its superblock is damaged
        """
        self.volume = volume
        self._volume = XfsVolume(device, volume)
        self._inodes = Inodes(self._volume)
        self._directories = Directories(self._volume)
        self._condition: str | None = None
        self._is_log_read = False
        self.root = self._volume.superblock.root_inode
        self.case_sensitive = not self._volume.superblock.version & xfs.VERSION_ASCII_CI

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        return entry_of(node, self._inodes.read(node), "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there."""
        wanted = name.encode("utf-8", "surrogateescape")
        found = self._directories.lookup(directory, self._inodes.read(directory), wanted)
        if found is None:
            return None
        node, stored = found
        return entry_of(node, self._inodes.read(node), stored.decode("utf-8", "surrogateescape"))

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory; one whose node is damaged comes as `other`, with size 0."""
        for node, raw in self._directories.names(directory, self._inodes.read(directory)):
            name = raw.decode("utf-8", "surrogateescape")
            try:
                entry = entry_of(node, self._inodes.read(node), name)
            except (CorruptStructure, TruncatedRead):
                entry = Entry(node, name, "other", 0, links=0)
            yield entry

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros.

        :raises UnsupportedFormat: it lies in the real-time section
        """
        inode = self._inodes.read(node)
        if kind_of(inode) != "file":
            raise self._volume.corrupt(f"inode {node} is a {kind_of(inode)}, not a file")
        return content(self._volume, node, inode, offset, length)

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target, as stored."""
        inode = self._inodes.read(node)
        if kind_of(inode) != "symlink":
            raise self._volume.corrupt(f"inode {node} is a {kind_of(inode)}, not a symbolic link")
        if not 0 < inode.size <= xfs.SYMBOLIC_LINK_BYTES:
            raise self._volume.corrupt(f"the target of symbolic link {node} is {inode.size} bytes long")
        if inode.format != xfs.FORMAT_LOCAL:
            target = self._remote_target(node, inode)
        elif inode.size <= len(inode.fork):
            target = inode.fork[: inode.size]
        else:
            raise self._volume.corrupt(f"the target of symbolic link {node} is longer than its inode")
        return target.decode("utf-8", "surrogateescape")

    def free(self) -> Free:
        """Return the free space."""
        return xfs_free.free_space(self._volume, is_clean=self.condition() != "log not replayed")

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return xfs_free.cost(self._volume)

    def condition(self) -> str | None:
        """Return how it was left: `clean` or `log not replayed`."""
        if not self._is_log_read:
            self._condition, self._is_log_read = xfs_log.condition(self._volume), True
        return self._condition

    def _remote_target(self, node: int, inode: xfs.Inode) -> bytes:
        """Return a target that has blocks of its own; in version 5 each extent of them has a header."""
        size, has_headers = self._volume.superblock.block_bytes, self._volume.superblock.has_checksums
        target = b""
        # At most so many blocks: with headers, each may lose some bytes to one.
        most = -(-inode.size // (size - xfs.SYMBOLIC_LINK_HEADER if has_headers else size))
        for run in runs(self._volume, node, inode, 0, most):
            if run.block is None:
                break
            offset = self._volume.offset_of(run.block, run.blocks, f"symbolic link {node}")
            data = self._volume.device.read_at(offset, run.blocks * size)
            if has_headers:
                if data[:4] != xfs.SYMBOLIC_LINK_MAGIC:
                    raise self._volume.corrupt(f"the symbolic link block at byte {offset} has no magic", offset)
                self._volume.verify(data, xfs.SYMBOLIC_LINK, offset, node)
                data = data[xfs.SYMBOLIC_LINK_HEADER :]
            target += data[: inode.size - len(target)]
        if len(target) != inode.size:
            raise self._volume.corrupt(f"the target of symbolic link {node} ends after {len(target)} bytes")
        return target
