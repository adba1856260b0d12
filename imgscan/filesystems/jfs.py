"""JFS, by an own reader (TSK and the Python libraries have none). Structures and their source: `imgscan.layouts.jfs`.

Names are stored in UTF-16 units. Mounted as usual (without `iocharset`), Linux writes each byte of a name as one unit;
such a name is read back as those bytes. Units above 255 come from mounts with `iocharset=utf8`, and from OS/2.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import Entry, EntryKind
from imgscan.devices.limits import DIRECTORY_BYTES, DIRECTORY_ENTRIES, SEARCHED_BYTES, SYMLINK_BYTES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.filesystems.jfs_inodes import TREE_DEPTH, JfsInodes
from imgscan.layouts import jfs
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
_MOST_INODES: Final = 0xFFFF_FFFF

Units = tuple[int, ...]
"""A name as it is stored."""


class JfsFileSystem:
    """A JFS. Nodes are inode numbers of the only fileset."""

    def __init__(self, device: BlockDevice, volume: str, type_: str = "jfs") -> None:
        self.volume = volume
        self.type = type_
        self._inodes = JfsInodes(device, volume)
        self._superblock = self._inodes.superblock
        self.case_sensitive = not self._superblock.is_case_insensitive
        self.root = jfs.ROOT
        self._searched = 0
        if self.stat(self.root).kind != "directory":
            raise CorruptStructure("the root of the JFS is no directory", where=volume)

    def stat(self, node: int) -> Entry:
        """Return what is known of a node."""
        return self._entry(node, "")

    def _entry(self, node: int, name: str) -> Entry:
        inode = self._inodes.read_inode(node)
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

    def lookup(self, directory: int, name: str) -> Entry | None:
        """Return the entry of that name, None when there is none; found by the order of the tree, if that is whole.

        :raises LimitExceeded: more was searched for names than any real system makes necessary
        """
        for wanted in _stored(name):
            try:
                node = self._search(directory, wanted)
            except CorruptStructure:
                node = self._search_all(directory, wanted)
            if node is not None:
                return self._entry(node, name)
        return None

    def list(self, directory: int) -> Iterator[Entry]:
        """Yield the entries in the order of their names; one that leads nowhere comes as `other`."""
        damage: ImageError | None = None
        for count, (node, units) in enumerate(self._names(directory)):
            if count >= DIRECTORY_ENTRIES:
                raise LimitExceeded(f"directory {directory} has more names than {DIRECTORY_ENTRIES}", where=self.volume)
            try:
                yield self._entry(node, _text(units))
            except ImageError as error:
                damage = damage or error
                yield Entry(node, _text(units), "other", 0)
        if damage is not None:
            raise damage

    def read(self, node: int, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file."""
        inode = self._inodes.read_inode(node)
        if not stat.S_ISREG(inode.mode):
            raise CorruptStructure(f"inode {node} is no file", where=self.volume)
        return self._inodes.content(inode, offset, length)

    def readlink(self, node: int) -> str:
        """Return a symbolic link's target: in the inode, or, a long one, in extents."""
        inode = self._inodes.read_inode(node)
        if not stat.S_ISLNK(inode.mode):
            raise CorruptStructure(f"inode {node} is no symbolic link", where=self.volume)
        if inode.size > SYMLINK_BYTES:
            raise LimitExceeded(f"the symbolic link {node} is {inode.size} bytes long", where=self.volume)
        is_inline = inode.size < jfs.INLINE_BYTES
        target = inode.target[: inode.size] if is_inline else self._inodes.content(inode, 0, inode.size)
        return target.decode("utf-8", "surrogateescape")

    def free(self) -> Free:
        """Return the free space as the kernel counts it (`jfs_statfs`): nothing is kept back for root.

        Inodes are made when they are needed: as many are free as fit into the free blocks.
        """
        total, free = self._inodes.free_blocks()
        inodes, unused, shift = self._inodes.inode_counts()
        if free > total or unused > inodes or shift > 20:
            raise CorruptStructure("the JFS counts more free blocks or inodes than there are", where=self.volume)
        possible = min(inodes + (free >> shift) * jfs.INODES_PER_EXTENT, _MOST_INODES)
        size = free * self._superblock.block_size
        return Free(size, size, possible - (inodes - unused))

    def free_cost(self) -> int:
        """Return how many bytes `free` reads."""
        return 2 * jfs.PAGE_BYTES + jfs.INODE_BYTES

    def condition(self) -> str | None:
        """Return how it was left."""
        state = self._superblock.state
        if state & (jfs.STATE_DIRTY | jfs.STATE_LOGREDO):
            return "errors"
        if state & jfs.STATE_EXTENDING:
            return "being extended"
        if state & jfs.STATE_MOUNTED:
            return (
                "journal not replayed" if self._superblock.has_inline_log else "journal on another device not replayed"
            )
        return "clean"

    def _root_page(self, directory: int) -> jfs.DirectoryPage:
        inode = self._inodes.read_inode(directory)
        if not stat.S_ISDIR(inode.mode):
            raise CorruptStructure(f"inode {directory} is no directory", where=self.volume)
        page = jfs.directory_root(inode.body)
        if page is None:
            raise self._damaged(directory)
        return page

    def _page(self, directory: int, place: jfs.Extent) -> jfs.DirectoryPage:
        size = place.length * self._superblock.block_size
        if not 0 < size <= jfs.PAGE_BYTES:
            raise self._damaged(directory)
        page = jfs.directory_page(self._inodes.page(place.address * self._superblock.block_size, size))
        if page is None:
            raise self._damaged(directory)
        return page

    def _damaged(self, directory: int) -> CorruptStructure:
        return CorruptStructure(f"the tree of directory {directory} is damaged", where=self.volume)

    def _leaf(self, directory: int, page: jfs.DirectoryPage, index: int) -> tuple[int, Units]:
        entry = jfs.leaf_entry(page, index, has_index=self._superblock.has_directory_index)
        if entry is None:
            raise self._damaged(directory)
        return entry

    def _below(self, directory: int, page: jfs.DirectoryPage, index: int) -> tuple[jfs.Extent, Units]:
        entry = jfs.internal_entry(page, index)
        if entry is None:
            raise self._damaged(directory)
        return entry

    def _names(self, directory: int) -> Iterator[tuple[int, Units]]:
        """Yield all names, depth first; a page is read once, and what is left of a damaged tree comes first."""
        todo = [(self._root_page(directory), 0)]
        seen: set[int] = set()
        damage: ImageError | None = None
        while todo:
            page, index = todo.pop()
            if page.is_leaf:
                for slot in range(len(page.order)):
                    try:
                        yield self._leaf(directory, page, slot)
                    except CorruptStructure as error:
                        damage = damage or error
                continue
            if index >= len(page.order):
                continue
            todo.append((page, index + 1))
            try:
                place = jfs.page_below(page, index)  # the name beside it is for searches only
                if place is None or place.address in seen or len(todo) > TREE_DEPTH:
                    raise self._damaged(directory)
                seen.add(place.address)
                if len(seen) > DIRECTORY_BYTES // jfs.PAGE_BYTES:
                    raise LimitExceeded(f"directory {directory} has more pages than {len(seen)}", where=self.volume)
                todo.append((self._page(directory, place), 0))
            except ImageError as error:
                damage = damage or error
        if damage is not None:
            raise damage

    def _search(self, directory: int, wanted: Units) -> int | None:
        """Return the inode behind a stored name, None when it is not there."""
        folds = not self.case_sensitive
        key = _upper(wanted) if folds else wanted
        page = self._root_page(directory)
        for _ in range(TREE_DEPTH + 1):
            low, high = 0, len(page.order)
            while low < high:  # where the first greater name is
                middle = (low + high) // 2
                if page.is_leaf:
                    node, name = self._leaf(directory, page, middle)
                    name = _upper(name) if folds else name
                    if name == key:
                        return node
                else:
                    name = self._below(directory, page, middle)[1]
                low, high = (low, middle) if name > key else (middle + 1, high)
            if page.is_leaf or not page.order:
                return None
            page = self._page(directory, self._below(directory, page, max(0, low - 1))[0])
        raise self._damaged(directory)

    def _search_all(self, directory: int, wanted: Units) -> int | None:
        """Return the inode behind a stored name, among all names that can be read; None when all of them can."""
        folds = not self.case_sensitive
        key = _upper(wanted) if folds else wanted
        for node, name in self._names(directory):
            self._searched += jfs.SLOT_BYTES
            if self._searched > SEARCHED_BYTES:
                raise LimitExceeded(f"more than {SEARCHED_BYTES} bytes of directories were searched", where=self.volume)
            if (_upper(name) if folds else name) == key:
                return node
        return None


def _text(units: Units) -> str:
    """Return a stored name: of bytes, or, when a unit is no byte, of UTF-16."""
    try:
        return bytes(units).decode("utf-8", "surrogateescape")
    except ValueError:
        raw = b"".join(unit.to_bytes(2, "little") for unit in units)
        return raw.decode("utf-16-le", "surrogatepass")


def _stored(name: str) -> tuple[Units, ...]:
    """Return how a name may be stored: by its bytes, or in UTF-16."""
    try:
        by_bytes = tuple(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        by_bytes = ()
    wide = name.encode("utf-16-le", "surrogatepass")
    by_units = tuple(int.from_bytes(wide[at : at + 2], "little") for at in range(0, len(wide), 2))
    return tuple(dict.fromkeys(units for units in (by_bytes, by_units) if units))


def _upper(units: Units) -> Units:
    """Fold the case as OS/2 does: unit by unit."""
    folded = (chr(unit).upper() for unit in units)
    return tuple(
        ord(text) if len(text) == 1 and ord(text) < 0x10000 else unit for text, unit in zip(folded, units, strict=True)
    )
