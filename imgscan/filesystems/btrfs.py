"""Btrfs: the files of all its subvolumes, on one device or several.

A node is the number of a subvolume and of an inode in it (`btrfs_subvolumes.node_of`). What the last transaction wrote
is read; a log tree is reported and not replayed.
"""

from __future__ import annotations

import stat
from collections import OrderedDict
from collections.abc import Iterator, MutableSequence, Sequence
from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, EntryKind, Subvolume
from imgscan.devices.limits import BTRFS_DEVICES, DIRECTORY_ENTRIES, SEARCHED_BYTES, SYMLINK_BYTES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, TruncatedRead
from imgscan.filesystems.btrfs_checksum import CHECKSUMS, name_hash
from imgscan.filesystems.btrfs_chunks import ChunkMap, Member
from imgscan.filesystems.btrfs_file import FileContents
from imgscan.filesystems.btrfs_space import Group, free_space
from imgscan.filesystems.btrfs_subvolumes import Roots, is_subvolume, node_of
from imgscan.filesystems.btrfs_superblock import FoundSuperblock, find_superblock
from imgscan.filesystems.btrfs_tree import Nodes, Place, Tree
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import DirectoryItem, Inode
from imgscan.model.volume import Free

_KINDS: Final[dict[int, EntryKind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_INODES_KEPT: Final = 1024
_INODE_MASK: Final = (1 << 64) - 1
_ANY: Final = (1 << 64) - 1


def open_btrfs(devices: Sequence[BlockDevice], volume: str) -> BtrfsFileSystem:
    """Open the filesystem that lies on `devices`, all of them members of it; `volume` is its name for evidence.

    Devices may be missing: what can be read without them is read, the rest raises `MissingPart`. Of two devices with
    one number (copies of a disk) the newer one is used, then the first.

    :raises ImageError: no superblock, or none of the trees that lead to the files, can be read
    """
    found: list[FoundSuperblock] = []
    lost: ImageError | None = None
    for device in devices[:BTRFS_DEVICES]:
        try:
            found.append(find_superblock(device))
        except ImageError as error:
            lost = lost or error
    if not found:
        raise lost or MissingPart("there is no device of the Btrfs", where=volume)
    return BtrfsFileSystem(found, volume)


class BtrfsFileSystem:
    """One Btrfs."""

    type = "btrfs"
    case_sensitive = True

    def __init__(self, found: Sequence[FoundSuperblock], volume: str) -> None:
        newest = max(found, key=lambda each: each.superblock.generation)
        self.volume = volume
        self._superblock = superblock = newest.superblock
        self._problems = [each.problem for each in found if each.problem is not None]
        members: dict[int, Member] = {}
        for each in sorted(found, key=lambda each: -each.superblock.generation):
            item = each.superblock.device
            if each.superblock.fsid == superblock.fsid:
                members.setdefault(item.id, Member(each.device, item.uuid, each.superblock.generation))
        self.missing_devices = max(0, superblock.device_count - len(members))
        if self.missing_devices:
            count = f"{self.missing_devices} of its {superblock.device_count} devices"
            self._problems.append(f"{count} are not among the disks given")
        checksum = CHECKSUMS[superblock.checksum_type]
        has_own_uuid = superblock.incompat & btrfs.METADATA_UUID
        fsid = superblock.metadata_uuid if has_own_uuid else superblock.fsid
        self._chunks = ChunkMap(volume, members)
        self._nodes = Nodes(self._chunks, fsid, superblock.node_size, checksum)
        self._chunk_tree = Tree(
            self._nodes,
            Place(superblock.chunk_root, superblock.chunk_root_level, superblock.chunk_root_generation),
        )
        try:
            for chunk in btrfs.system_chunks(superblock.system_chunks):
                self._chunks.add(chunk)
            self._read_chunks()
            self._roots = Roots(self._nodes, Place(superblock.root, superblock.root_level, superblock.generation))
            self.default_subvolume = self._roots.default()
        except CorruptStructure as error:
            raise CorruptStructure(
                f"the Btrfs cannot be opened: {error.message}", where=error.where or volume, offset=error.offset
            ) from error
        root = self._roots.root(self.default_subvolume)
        if root is None:
            raise CorruptStructure(f"there is no default subvolume {self.default_subvolume}", where=volume)
        self.root = node_of(self.default_subvolume, root.directory)
        self._contents = FileContents(self._chunks, self._roots.tree(btrfs.CSUM_TREE), checksum, superblock.sector_size)
        self._inodes: OrderedDict[int, Inode] = OrderedDict()
        self._searched = 0

    def _read_chunks(self) -> None:
        first = (btrfs.FIRST_CHUNK_TREE_OBJECT, btrfs.CHUNK_ITEM, 0)
        last = (btrfs.FIRST_CHUNK_TREE_OBJECT, btrfs.CHUNK_ITEM, _ANY)
        damage: list[ImageError] = []
        for key, data in self._chunk_tree.items(first, last, damage):
            self._chunks.add(btrfs.parse_chunk(key[2], data)[0])
        if damage:
            self._problems.append(f"a part of its chunk tree is damaged ({damage[0].message})")

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        return self._entry(node, "")

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry `name` of a directory, None when it is not there.

        :raises LimitExceeded: more was searched for names than any real system makes necessary
        """
        wanted = name.encode("utf-8", "surrogateescape")
        if not 0 < len(wanted) <= btrfs.NAME_BYTES or self._is_empty(directory):
            return None
        subvolume, inode = directory >> 64, directory & _INODE_MASK
        try:
            item = self._roots.tree(subvolume).get((inode, btrfs.DIR_ITEM, name_hash(wanted)))
            items = self._directory_items(directory, item or b"")
            target = next((found for found in items if found.name == wanted), None)
        except (
            CorruptStructure,
            MissingPart,
            TruncatedRead,
        ):  # the same name stands in the directory's index, which may lie in another node
            target = self._search(directory, wanted)
        return None if target is None else self._entry(self._target(directory, target), name)

    def _search(self, directory: int, wanted: bytes) -> DirectoryItem | None:
        """Return an entry among all those that can be read, None when it is not among them and all can be."""
        subvolume, inode = directory >> 64, directory & _INODE_MASK
        tree = self._roots.tree(subvolume)
        damage: list[ImageError] = []
        for _, data in tree.items((inode, btrfs.DIR_INDEX, 0), (inode, btrfs.DIR_INDEX, _ANY), damage):
            self._searched += len(data)
            if self._searched > SEARCHED_BYTES:
                raise LimitExceeded(f"more than {SEARCHED_BYTES} bytes of directories were searched", where=self.volume)
            for found in self._directory_items(directory, data, damage):
                if found.name == wanted:
                    return found
        if damage:
            raise damage[0]
        return None

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries of a directory in the order of their making; a damaged one comes as `other`, size 0.

        :raises ImageError: at the end, when a part of the directory could not be read
        """
        if self._is_empty(directory):
            return
        if self.stat(directory).kind != "directory":
            raise CorruptStructure(f"{self._shown(directory)} is no directory", where=self.volume)
        subvolume, inode = directory >> 64, directory & _INODE_MASK
        tree = self._roots.tree(subvolume)
        count = 0
        damage: list[ImageError] = []
        for _, data in tree.items((inode, btrfs.DIR_INDEX, 0), (inode, btrfs.DIR_INDEX, _ANY), damage):
            for found in self._directory_items(directory, data, damage):
                count += 1
                if count > DIRECTORY_ENTRIES:
                    raise LimitExceeded(
                        f"{self._shown(directory)} has more than {DIRECTORY_ENTRIES} entries", where=self.volume
                    )
                name = found.name.decode("utf-8", "surrogateescape")
                node = node_of(subvolume, found.target[0])
                try:
                    node = self._target(directory, found)
                    entry = self._entry(node, name)
                except ImageError:
                    entry = Entry(node, name, "other", 0, links=0)
                yield entry
        if damage:
            raise damage[0]

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file, fewer only at its end; holes are zeros."""
        inode = self._inode(node)
        length = min(length, inode.size - offset)
        if length <= 0 or offset < 0:
            return b""
        return self._contents.read(
            self._roots.tree(node >> 64),
            node & _INODE_MASK,
            offset,
            length,
            is_checked=not inode.flags & btrfs.NO_CHECKSUMS,
        )

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target, as stored."""
        size = self._inode(node).size
        if size > SYMLINK_BYTES:
            raise LimitExceeded(f"the target of {self._shown(node)} is {size} bytes long", where=self.volume)
        return self.read(node, 0, size).decode("utf-8", "surrogateescape")

    def subvolumes(self) -> Sequence[Subvolume]:
        """Return all subvolumes that a path leads to, the top level first, then by number."""
        found = (self._roots.subvolume(number) for number in self._roots.numbers())
        return tuple(subvolume for subvolume in found if subvolume is not None)

    def subvolume(self, wanted: str | int) -> Subvolume | None:
        """Return the subvolume of a path from the top level, or of a number; None when there is none."""
        if isinstance(wanted, int):
            return self._roots.subvolume(wanted or btrfs.FS_TREE)
        top = self._roots.root(btrfs.FS_TREE)
        if top is None:
            return None
        node = node_of(btrfs.FS_TREE, top.directory)
        for name in wanted.split("/"):
            if name not in {"", "."}:
                entry = self.lookup(node, name)
                if entry is None or entry.kind != "directory":
                    return None
                node = entry.node
        found = self._roots.subvolume(node >> 64)
        return found if found is not None and found.root == node else None

    def free(self) -> Free:
        """Return the free space as df shows it after a mount."""
        used = {
            number: root.used
            for number in (btrfs.EXTENT_TREE, btrfs.CSUM_TREE, btrfs.FREE_SPACE_TREE, btrfs.BLOCK_GROUP_TREE)
            if (root := self._roots.root(number)) is not None
        }
        first = (btrfs.DEVICES_OBJECT, btrfs.DEV_ITEM, 0)
        devices = [
            btrfs.parse_device(data)
            for key, data in self._chunk_tree.items(first, (btrfs.DEVICES_OBJECT, btrfs.DEV_ITEM, _ANY))
            if key[2] in self._chunks.members
        ]
        return free_space(self._superblock, list(self._groups()), devices, used)

    def free_cost(self) -> int:
        """Return how many bytes `free` reads at most: a path of nodes for each block group, when they have no tree."""
        own_tree = self._superblock.compat_ro & btrfs.BLOCK_GROUP_TREE_COMPAT_RO
        count = len(self._chunks.chunks)
        nodes = count // 100 + 8 if own_tree else count + 8
        return nodes * self._superblock.node_size

    def condition(self) -> str | None:
        """Return how it was left: `clean`, or what is wrong."""
        problems = list(self._problems)
        if self._superblock.log_root:
            problems.append("it has a log tree that is replayed on mount")
        return "; ".join(problems) or "clean"

    def _groups(self) -> Iterator[Group]:
        own_tree = self._superblock.compat_ro & btrfs.BLOCK_GROUP_TREE_COMPAT_RO
        tree = self._roots.tree(btrfs.BLOCK_GROUP_TREE if own_tree else btrfs.EXTENT_TREE)
        for chunk in self._chunks.chunks:
            item = tree.get((chunk.start, btrfs.BLOCK_GROUP_ITEM, chunk.length))
            if item is None:
                raise CorruptStructure(f"the chunk at {chunk.start} has no block group", where=self.volume)
            yield Group(chunk.length, btrfs.parse_block_group(item))

    def _inode(self, node: int) -> Inode:
        inode = self._inodes.get(node)
        if inode is None:
            number = node & _INODE_MASK
            item = self._roots.tree(node >> 64).get((number, btrfs.INODE_ITEM, 0))
            if item is None:
                raise CorruptStructure(f"there is no {self._shown(node)}", where=self.volume)
            inode = self._inodes[node] = btrfs.parse_inode(item)
            if len(self._inodes) > _INODES_KEPT:
                self._inodes.popitem(last=False)
        return inode

    def _entry(self, node: int, name: str) -> Entry:
        if self._is_empty(node):
            return Entry(node, name, "directory", 0, 0o755)
        inode = self._inode(node)
        return Entry(
            node,
            name,
            _KINDS.get(stat.S_IFMT(inode.mode), "other"),
            inode.size,
            inode.mode & 0o7777,
            inode.mtime,
            inode.uid,
            inode.gid,
            inode.links,
        )

    def _target(self, directory: int, found: DirectoryItem) -> int:
        """Return the node that a name leads to: an inode, or the root of a subvolume."""
        subvolume, inode = directory >> 64, directory & _INODE_MASK
        number, type_, _ = found.target
        if type_ == btrfs.INODE_ITEM:
            return node_of(subvolume, number)
        if type_ != btrfs.ROOT_ITEM or not is_subvolume(number):
            raise CorruptStructure(
                f"an entry of {self._shown(directory)} leads to an item of type {type_}", where=self.volume
            )
        if not self._roots.is_reached(subvolume, number, inode, found.name):
            return node_of(subvolume, btrfs.EMPTY_SUBVOLUME_DIRECTORY)
        root = self._roots.root(number)
        if root is None:
            raise CorruptStructure(f"there is no subvolume {number}", where=self.volume)
        return node_of(number, root.directory)

    def _directory_items(
        self, directory: int, data: bytes, damage: MutableSequence[ImageError] | None = None
    ) -> Iterator[DirectoryItem]:
        """Yield the entries in an item; with a list for `damage`, a damaged item ends where the damage is."""
        try:
            yield from btrfs.directory_items(data)
        except CorruptStructure as error:
            lost = CorruptStructure(f"{self._shown(directory)}: {error.message}", where=self.volume)
            if damage is None:
                raise lost from error
            damage.append(lost)

    @staticmethod
    def _is_empty(node: int) -> bool:
        """Whether a node is the empty directory that stands for a subvolume in a snapshot."""
        return node & _INODE_MASK == btrfs.EMPTY_SUBVOLUME_DIRECTORY

    def _shown(self, node: int) -> str:
        return f"inode {node & _INODE_MASK} of subvolume {node >> 64}"
