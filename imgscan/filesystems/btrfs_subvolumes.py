"""Btrfs' tree of tree roots: the trees, the default subvolume, and where subvolumes lie."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from imgscan.devices.filesystem import Subvolume
from imgscan.devices.limits import BTRFS_SUBVOLUMES, PATH_DEPTH
from imgscan.errors import CorruptStructure, LimitExceeded
from imgscan.filesystems.btrfs_checksum import name_hash
from imgscan.filesystems.btrfs_tree import Nodes, Place, Tree
from imgscan.layouts import btrfs
from imgscan.layouts.btrfs import Root, SubvolumeReference

_TREES_KEPT: Final = 64
_ANY: Final = (1 << 64) - 1


def is_subvolume(number: int) -> bool:
    """Whether a tree of this number is a subvolume: the top level, or one that was made."""
    return number == btrfs.FS_TREE or btrfs.FIRST_FREE_OBJECT <= number <= btrfs.LAST_FREE_OBJECT


def node_of(subvolume: int, inode: int) -> int:
    """Return the node by which an inode of a subvolume is known outside: both numbers in one."""
    return subvolume << 64 | inode


class Roots:
    """The trees of a filesystem by number."""

    def __init__(self, nodes: Nodes, root: Place) -> None:
        self._nodes = nodes
        self._volume = nodes.volume
        self._tree = Tree(nodes, root)
        self._kept: OrderedDict[int, tuple[Root, Tree]] = OrderedDict()

    def root(self, number: int) -> Root | None:
        """Return a tree's root item, None when there is no such tree or it was deleted."""
        found = self._open(number)
        return None if found is None else found[0]

    def tree(self, number: int) -> Tree:
        """Return a tree.

        :raises CorruptStructure: there is none
        """
        found = self._open(number)
        if found is None:
            raise CorruptStructure(f"there is no Btrfs tree {number}", where=self._volume)
        return found[1]

    def _open(self, number: int) -> tuple[Root, Tree] | None:
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        found = self._tree.last_not_above((number, btrfs.ROOT_ITEM, _ANY))
        if found is None or found[0][:2] != (number, btrfs.ROOT_ITEM):
            return None
        root = btrfs.parse_root(found[1])
        if not root.references:
            return None
        opened = (root, Tree(self._nodes, Place(root.position, root.level, root.generation)))
        self._kept[number] = opened
        if len(self._kept) > _TREES_KEPT:
            self._kept.popitem(last=False)
        return opened

    def default(self) -> int:
        """Return the number of the default subvolume: the top level, unless another one was chosen."""
        name = b"default"
        item = self._tree.get((btrfs.ROOT_TREE_DIRECTORY, btrfs.DIR_ITEM, name_hash(name)))
        for entry in btrfs.directory_items(item or b""):
            if entry.name == name and is_subvolume(entry.target[0]):
                return entry.target[0]
        return btrfs.FS_TREE

    def is_reached(self, parent: int, child: int, directory: int, name: bytes) -> bool:
        """Whether a name in a directory leads to a subvolume; in a snapshot of the parent it does not."""
        item = self._tree.get((parent, btrfs.ROOT_REF, child))
        return item is not None and btrfs.parse_subvolume_reference(item) == SubvolumeReference(directory, name)

    def numbers(self) -> list[int]:
        """Return the numbers of all subvolumes that are in use.

        :raises LimitExceeded: there are too many
        """
        found: list[int] = []
        for first, last in ((btrfs.FS_TREE, btrfs.FS_TREE), (btrfs.FIRST_FREE_OBJECT, btrfs.LAST_FREE_OBJECT)):
            for key, data in self._tree.items((first, btrfs.ROOT_ITEM, 0), (last, btrfs.ROOT_ITEM, _ANY)):
                if key[1] == btrfs.ROOT_ITEM and btrfs.parse_root(data).references and found[-1:] != [key[0]]:
                    found.append(key[0])
                    if len(found) > BTRFS_SUBVOLUMES:
                        raise LimitExceeded(f"there are more than {BTRFS_SUBVOLUMES} subvolumes", where=self._volume)
        return found

    def subvolume(self, number: int) -> Subvolume | None:
        """Return what is known of a subvolume; None when there is none, or no path leads to it."""
        root = self.root(number) if is_subvolume(number) else None
        if root is None:
            return None
        parts: list[str] = []
        at, parent = number, None
        while at != btrfs.FS_TREE:
            found = self._back_reference(at)
            if found is None:
                return None
            above, reference = found
            parent = above if parent is None else parent
            parts.append(reference.name.decode("utf-8", "surrogateescape"))
            self._add_folders(above, reference.directory, parts)
            at = above
        return Subvolume(
            id=number,
            path="/".join(reversed(parts)),
            root=node_of(number, root.directory),
            parent=parent,
            is_read_only=bool(root.flags & btrfs.READ_ONLY_SUBVOLUME),
            is_snapshot=any(root.parent_uuid),
        )

    def _back_reference(self, number: int) -> tuple[int, SubvolumeReference] | None:
        found = self._tree.last_not_above((number, btrfs.ROOT_BACKREF, _ANY))
        if found is None or found[0][:2] != (number, btrfs.ROOT_BACKREF):
            return None
        return found[0][2], btrfs.parse_subvolume_reference(found[1])

    def _add_folders(self, subvolume: int, directory: int, parts: list[str]) -> None:
        """Add the names of a directory and of those above it, up to the subvolume's root."""
        tree = self.tree(subvolume)
        root = self.root(subvolume)
        while root is not None and directory != root.directory:
            found = tree.last_not_above((directory, btrfs.INODE_REF, _ANY))
            if found is None or found[0][:2] != (directory, btrfs.INODE_REF) or len(parts) >= PATH_DEPTH:
                raise CorruptStructure(
                    f"no path leads to the directory {directory} of subvolume {subvolume}", where=self._volume
                )
            parts.append(btrfs.first_name(found[1]).decode("utf-8", "surrogateescape"))
            directory = found[0][2]
        if len(parts) > PATH_DEPTH:
            raise LimitExceeded(f"the path of a subvolume has more than {PATH_DEPTH} parts", where=self._volume)
