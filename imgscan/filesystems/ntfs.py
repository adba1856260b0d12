"""NTFS structures that TSK does not give as they are: directory indices and reparse points.

Source: the layout as the Linux-NTFS project documents it ($INDEX_ROOT, $INDEX_ALLOCATION, $FILE_NAME, fixups), and
[MS-FSCC] 2.1.2 for reparse data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import DIRECTORY_ENTRIES
from imgscan.errors import CorruptStructure, LimitExceeded

STANDARD_INFORMATION, INDEX_ROOT, INDEX_ALLOCATION, REPARSE_POINT = 0x10, 0x90, 0xA0, 0xC0
VOLUME_INFORMATION: Final = 0x70
VOLUME_IS_DIRTY: Final = 1
NODE_VOLUME, NODE_BITMAP = 3, 6
"""The MFT records of $Volume and $Bitmap."""
FIRST_USER_NODE: Final = 24
"""Records below are the filesystem's own ($MFT ... and reserved); Windows does not show them."""

FILE_SYSTEM: Final = 0x4
"""The flag of $STANDARD_INFORMATION that marks a system file."""
TAG_MOUNT_POINT, TAG_SYMLINK, TAG_LX_SYMLINK, TAG_WOF = 0xA0000003, 0xA000000C, 0xA000001D, 0x80000017
_WITHOUT_DATA: Final = frozenset({0x80000023, 0x80000024, 0x80000025, 0x80000026, 0x8000001B})
"""Sockets, pipes and devices of WSL, and names of store applications: such files have no data at all."""
_ELSEWHERE: Final = {
    0x80000013: "its data is deduplicated",
    0x80000007: "its data is in the single-instance store",
    0x80000006: "its data is on hierarchical storage",
    0xC0000004: "its data is on hierarchical storage",
    0x80000008: "its data is in a WIM image",
    0x80000015: "it is a placeholder of a cloud",
    0x80000018: "it is a placeholder of a container's layer",
    0x8000001E: "it is a placeholder of a cloud",
    0x9000001C: "it is a placeholder of a projected folder",
}
"""Where the data of files with other tags is ([MS-FSCC] 2.1.2.1, ntifs.h)."""
_CLOUD, _CLOUD_MASK = 0x9000001A, 0xFFFF0FFF
"""The tags of cloud files (OneDrive), which differ in four bits."""

_DEPTH: Final = 32
_ENTRY: Final = struct.Struct("<QHHI")
_HAS_CHILD, _IS_LAST = 1, 2
_DOS_NAME: Final = 2


class IndexEntry(msgspec.Struct, frozen=True):
    """A name in a directory index; `is_dos` is the 8.3 name beside a long one."""

    node: int
    name: str
    is_dos: bool


class DirectoryIndex:
    """The $I30 index of one directory, read node by node.

    `root` is the content of $INDEX_ROOT; `read_block(offset, length)` reads $INDEX_ALLOCATION, whose size in bytes is
    `size`. Errors name no place: the caller knows it.
    """

    def __init__(self, root: bytes, size: int, cluster_size: int, read_block: Callable[[int, int], bytes]) -> None:
        if len(root) < 32:
            raise CorruptStructure("the directory's $INDEX_ROOT is cut short")
        _, _, block_size = struct.unpack_from("<3I", root)
        if block_size not in {512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}:
            raise CorruptStructure(f"the directory's index blocks are {block_size} bytes large, which cannot be")
        self._root = root
        self._size = size
        self._block_size = block_size
        self._unit = cluster_size if cluster_size <= block_size else 512
        self._read_block = read_block

    def __iter__(self) -> Iterator[IndexEntry]:
        """Yield all entries in the index's order; one damaged block is left out, and raised after the others."""
        seen: set[int] = set()
        stack = [_entries(self._root, 16)]
        count = 0
        damage: CorruptStructure | None = None
        while stack:
            try:
                child, entry = next(stack[-1])
            except StopIteration:
                stack.pop()
                continue
            except CorruptStructure as error:
                damage = error
                stack.pop()
                continue
            if entry is not None:
                count += 1
                if count > DIRECTORY_ENTRIES:
                    raise LimitExceeded(f"the directory has more than {DIRECTORY_ENTRIES} entries")
                yield entry
            if child is not None and child not in seen and len(stack) < _DEPTH:
                seen.add(child)
                # the entry sorts after its child's entries; names need no order here
                try:
                    stack.append(self._block(child))
                except CorruptStructure as error:
                    damage = error
        if damage is not None:
            raise damage

    def find(self, name: str) -> IndexEntry | None:
        """Return the entry whose name equals `name` without case, None when there is none."""
        wanted = upper_case(name)
        if not name.isascii():  # the order of other characters is in the volume's own $UpCase
            return next((entry for entry in self if upper_case(entry.name) == wanted), None)
        key = wanted.encode("utf-16-be", "surrogatepass")
        entries = _entries(self._root, 16)
        for _ in range(_DEPTH):
            for child, entry in entries:
                if entry is not None:
                    other = upper_case(entry.name).encode("utf-16-be", "surrogatepass")
                    if other == key:
                        return entry
                    if other < key:
                        continue
                if child is None:
                    return None
                entries = self._block(child)
                break
            else:
                return None
        raise CorruptStructure("the directory's index is a circle")

    def _block(self, number: int) -> Iterator[tuple[int | None, IndexEntry | None]]:
        offset = number * self._unit
        if offset + self._block_size > self._size:
            raise CorruptStructure(f"the directory's index names block {number}, which is beyond its end")
        return _entries(apply_fixups(self._read_block(offset, self._block_size), b"INDX"), 24)


def _entries(node: bytes, header: int) -> Iterator[tuple[int | None, IndexEntry | None]]:
    """Yield child and entry for each entry of an index node; the last has no name."""
    first, end = struct.unpack_from("<2I", node, header)
    position, end = header + first, min(header + end, len(node))
    while position + _ENTRY.size <= end:
        reference, length, content, flags = _ENTRY.unpack_from(node, position)
        if length < _ENTRY.size or length % 8 or position + length > end:
            raise CorruptStructure("an entry of the directory's index has a length that cannot be")
        child = struct.unpack_from("<Q", node, position + length - 8)[0] if flags & _HAS_CHILD else None
        if flags & _IS_LAST:
            yield child, None
            return
        if content < 66 or content + _ENTRY.size > length:
            raise CorruptStructure("a name of the directory's index has a length that cannot be")
        characters, namespace = node[position + 80], node[position + 81]
        name = node[position + 82 : position + 82 + 2 * characters]
        if 66 + 2 * characters > content:
            raise CorruptStructure("a name of the directory's index has a length that cannot be")
        text = name.decode("utf-16-le", "surrogatepass")
        yield child, IndexEntry(reference & 0xFFFF_FFFF_FFFF, text, namespace == _DOS_NAME)
        position += length
    raise CorruptStructure("a node of the directory's index has no last entry")


def apply_fixups(block: bytes, magic: bytes) -> bytes:
    """Return a multi-sector structure with the last two bytes of each 512-byte stride put back.

    :raises CorruptStructure: the magic is another, or a stride was not written (a torn write)
    """
    offset, count = struct.unpack_from("<2H", block, 4)
    if block[:4] != magic or count != len(block) // 512 + 1 or offset + 2 * count > len(block):
        raise CorruptStructure(f"a block of the directory's index does not begin as {magic.decode()} blocks do")
    fixed = bytearray(block)
    number = block[offset : offset + 2]
    for stride in range(1, count):
        end = stride * 512
        if block[end - 2 : end] != number:
            raise CorruptStructure("a block of the directory's index was written in part only (fixup mismatch)")
        fixed[end - 2 : end] = block[offset + 2 * stride : offset + 2 * stride + 2]
    return bytes(fixed)


def upper_case(name: str) -> str:
    """Return `name` as NTFS compares it: each UTF-16 unit on its own, and never a non-ASCII one to ASCII."""
    if name.isascii():
        return name.upper()
    return "".join(_upper(character) for character in name)


def _upper(character: str) -> str:
    upper = character.upper()
    if len(upper) != 1 or ord(upper) > 0xFFFF or (ord(character) > 127 and ord(upper) < 128):
        return character
    return upper


def why_no_content(data: bytes) -> str | None:
    """Return why the content of a file with this reparse data is not what stands in it, None where it is.

    A tag that is not known counts: Windows hands such a file to a filter driver.
    """
    if len(data) < 8:
        raise CorruptStructure("a reparse point is cut short")
    tag = int.from_bytes(data[:4], "little")
    if tag in {TAG_MOUNT_POINT, TAG_SYMLINK, TAG_LX_SYMLINK} or tag in _WITHOUT_DATA:
        return None
    if tag == TAG_WOF:
        return f"Windows keeps it compressed by the system ({_wof(data[8:])})"
    known = "it is a placeholder of a cloud" if tag & _CLOUD_MASK == _CLOUD else _ELSEWHERE.get(tag)
    return f"{known or 'its data is kept elsewhere'} (reparse tag 0x{tag:08x})"


def _wof(body: bytes) -> str:
    return "WOF, in a WIM image" if body[4:8] == b"\1\0\0\0" else "WOF"


def wof_algorithm(data: bytes) -> int | None:
    """Return how Windows compressed a file with this reparse data (0 to 3), None for one that it did not.

    The data are WOF_EXTERNAL_INFO and FILE_PROVIDER_EXTERNAL_INFO_V1 (wofapi.h, ntifs.h).
    """
    if len(data) < 24:
        return None
    tag, version, provider, file_version, algorithm = struct.unpack_from("<I4x4I", data)
    is_file = (tag, version, provider, file_version) == (TAG_WOF, 1, 2, 1)
    return int(algorithm) if is_file and algorithm < 4 else None


def link_target(data: bytes) -> str | None:
    r"""Return the target in reparse data of a symbolic link or junction, None for any other tag.

    Windows targets (``\\??\\C:\\Users``, ``..\\x``) come as stored; those of WSL (tag 0xA000001D) are Unix paths.
    """
    if len(data) < 8:
        raise CorruptStructure("a reparse point is cut short")
    tag, length = struct.unpack_from("<IH", data)
    body = data[8 : 8 + length]
    if tag == TAG_LX_SYMLINK:
        return body[4:].decode("utf-8", "surrogateescape")
    if tag not in {TAG_SYMLINK, TAG_MOUNT_POINT}:
        return None
    start = 12 if tag == TAG_SYMLINK else 8
    if len(body) < start:
        raise CorruptStructure("a reparse point is cut short")
    offset, size = struct.unpack_from("<2H", body)  # the substitute name, which is the one that is followed
    if start + offset + size > len(body) or size % 2:
        raise CorruptStructure("a reparse point's target lies outside of it")
    return body[start + offset : start + offset + size].decode("utf-16-le", "surrogatepass")


INTERIX_LINK: Final = b"IntxLNK\x01"
"""What ntfs-3g and Interix write in a system file that is a symbolic link, before the target in UTF-16."""
