"""JFS reads as the kernel reads it: all paths, attributes, link targets and contents, and the free space."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jfs_images
import pytest
from filesystem_images import names_until_damage
from tools import require_tool, requires_tool

from imgscan.devices.filesystem import Entry
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError
from imgscan.filesystems import open_filesystem
from imgscan.filesystems.jfs import JfsFileSystem
from imgscan.filesystems.signatures import identify
from imgscan.layouts import jfs

KINDS = {"f": "file", "d": "directory", "l": "symlink", "p": "fifo", "c": "device", "b": "device", "s": "socket"}
INODE_MAP_AT = 0xB000 + 16 * 512


def opened(label: str) -> JfsFileSystem:
    found = open_filesystem(MemoryDevice(jfs_images.image(label), "disk0/p1"), "disk0/p1", "jfs")
    assert isinstance(found, JfsFileSystem)
    return found


def walked(filesystem: JfsFileSystem, directory: int = jfs.ROOT, above: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
    for entry in filesystem.list(directory):
        path = above + entry.name.encode("utf-8", "surrogateescape")
        yield path, entry
        if entry.kind == "directory":
            yield from walked(filesystem, entry.node, path + b"/")


def content(filesystem: JfsFileSystem, entry: Entry, step: int = 100_000) -> bytes:
    return b"".join(filesystem.read(entry.node, at, step) for at in range(0, entry.size, step))


def stored_as_bytes(path: bytes) -> bytes:
    """Return a path as a mount without iocharset shows it, of one written with iocharset=utf8: ä is the byte E4 there.

    Names with a character above 255, which such a mount cannot show, stay as they are.
    """
    try:
        return path.decode().encode("latin-1") if path.startswith(b"names/") else path
    except UnicodeError:
        return path


@pytest.mark.parametrize("label", ["plain", "utf8", "os2"])
def test_every_path_is_as_the_kernel_lists_it(label: str) -> None:
    wanted = jfs_images.listing(label).files
    if label == "utf8":
        wanted = {stored_as_bytes(path): listed for path, listed in wanted.items()}
    found = dict(walked(opened(label)))
    assert len(wanted) > 200
    assert found.keys() == wanted.keys()
    for path, entry in found.items():
        listed = wanted[path]
        assert (entry.node, entry.kind) == (listed.inode, KINDS[listed.kind]), path
        assert (entry.mode, entry.uid, entry.gid, entry.links) == (listed.mode, listed.uid, listed.gid, listed.links)
        assert entry.mtime == pytest.approx(listed.mtime, abs=1e-5)
        if listed.kind != "d":  # of a directory Linux shows what its index takes
            assert entry.size == listed.size, path


def test_every_content_is_as_the_kernel_reads_it() -> None:
    filesystem, listing = opened("plain"), jfs_images.listing("plain")
    sums = {
        path: hashlib.sha256(content(filesystem, entry)).hexdigest()
        for path, entry in walked(filesystem)
        if entry.kind == "file" and path != b"sparse/huge"
    }
    assert sums == listing.sums
    assert len(sums) > 1000


def test_links_lead_where_the_kernel_says() -> None:
    filesystem, listing = opened("plain"), jfs_images.listing("plain")
    targets = {
        path: filesystem.readlink(entry.node).encode() for path, entry in walked(filesystem) if entry.kind == "symlink"
    }
    assert targets == {path: listed.target for path, listed in listing.files.items() if listed.kind == "l"}
    assert {len(target) for target in targets.values()} >= {1, 127, 128, 255, 256, 257, 4000}


@pytest.mark.parametrize("label", ["plain", "utf8", "os2"])
def test_every_name_is_found_by_the_order_of_the_tree(label: str) -> None:
    filesystem = opened(label)
    tree = GuestTree({"/": filesystem})
    files = jfs_images.listing(label).files
    for path in [path for index, path in enumerate(files) if not path.startswith(b"many/") or index % 7 == 0]:
        # also one that was written with iocharset=utf8: it is asked for as bytes, then as UTF-16
        found = tree.find("/" + path.decode("utf-8", "surrogateescape"), follow=False)
        assert found is not None, path
        assert found.entry.node == files[path].inode
    many = filesystem.lookup(filesystem.root, "many" if label != "os2" else "Folder")
    assert many is not None
    for absent in ("", "entry", "entry-", "zzz", "A", "entry-99999", "\udcff", "日本", "x" * 300):
        assert filesystem.lookup(many.node, absent) is None


def test_os2_does_not_look_at_the_case() -> None:
    filesystem = opened("os2")
    assert not filesystem.case_sensitive
    folder = filesystem.lookup(filesystem.root, "FOLDER")
    assert folder is not None
    for name in ("mixed-7-case", "MIXED-199-CASE", "readme.TXT"):
        assert filesystem.lookup(folder.node, name) is not None
    assert opened("plain").case_sensitive
    assert opened("plain").lookup(jfs.ROOT, "MANY") is None


@pytest.mark.parametrize("label", ["plain", "utf8", "os2"])
def test_free_space_is_what_df_says(label: str) -> None:
    block, _, free, available, _, inodes = jfs_images.listing(label).free
    found = opened(label).free()
    assert (found.bytes, found.available, found.inodes) == (free * block, available * block, inodes)


def test_files_with_holes() -> None:
    filesystem = opened("plain")
    tree = GuestTree({"/": filesystem})
    huge = tree.resolve("/sparse/huge").entry
    assert huge.size == 5 << 30
    assert filesystem.read(huge.node, 5368709000 - 5000, 5007) == bytes(5000) + b"the end"
    assert filesystem.read(huge.node, 3 << 30, 1 << 20) == bytes(1 << 20)
    assert filesystem.read(huge.node, huge.size - 3, 100) == bytes(3)
    assert filesystem.read(huge.node, huge.size, 100) == b""
    holes = tree.resolve("/sparse/holes").entry
    dice, whole = random.Random(1), content(filesystem, holes)
    assert hashlib.sha256(whole).hexdigest() == jfs_images.listing("plain").sums[b"sparse/holes"]
    for _ in range(200):
        at, length = dice.randrange(holes.size), dice.randrange(30_000)
        assert filesystem.read(holes.node, at, length) == whole[at : at + length]


def test_an_extent_that_is_not_recorded_is_zeros() -> None:
    # Linux leaves none behind; the flag is set here on the extent of a file with one
    raw = bytearray(jfs_images.image("plain"))
    filesystem = opened("plain")
    entry = GuestTree({"/": filesystem}).resolve("/etc/hostname").entry
    inode = filesystem._inodes.read_inode(entry.node)
    at = raw.index(inode.body) + 32
    assert content(filesystem, entry) == b"tester\n"
    raw[at] |= 0x08
    changed = JfsFileSystem(MemoryDevice(bytes(raw), "disk0/p1"), "disk0/p1")
    assert content(changed, entry) == bytes(7)


def test_how_it_was_left() -> None:
    assert opened("plain").condition() == "clean"
    assert opened("plain.mounted").condition() == "journal not replayed"
    for state, said in ((2, "errors"), (5, "errors"), (8, "being extended")):
        raw = bytearray(jfs_images.image("plain"))
        struct.pack_into("<I", raw, 0x8000 + 40, state)
        assert JfsFileSystem(MemoryDevice(bytes(raw)), "x").condition() == said
    outer = bytearray(jfs_images.image("outer"))
    assert JfsFileSystem(MemoryDevice(bytes(outer)), "x").condition() == "clean"
    struct.pack_into("<I", outer, 0x8000 + 40, 1)
    assert JfsFileSystem(MemoryDevice(bytes(outer)), "x").condition() == "journal on another device not replayed"


def test_a_mounted_one_can_be_read() -> None:
    filesystem = opened("plain.mounted")
    assert len(list(walked(filesystem))) >= len(jfs_images.listing("plain").files) - 1


@requires_tool("blkid")
@pytest.mark.parametrize("label", ["plain", "utf8", "os2", "outer"])
def test_blkid_agrees(tmp_path: Path, label: str) -> None:
    path = tmp_path / "volume"
    path.write_bytes(jfs_images.image(label))
    found = identify(MemoryDevice(jfs_images.image(label)))
    for tag, value in (("TYPE", found.content), ("LABEL", found.label), ("UUID", found.uuid)):
        order = [require_tool("blkid"), "-p", "-o", "value", "-s", tag, str(path)]
        said = subprocess.run(order, capture_output=True, text=True, check=True).stdout.strip()
        assert said == value
    assert found.label == label


@requires_tool("mkfs.jfs")
@pytest.mark.parametrize("options", [(), ("-O",), ("-s", "2")])
def test_an_empty_one(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "volume"
    path.write_bytes(bytes(24 << 20))
    subprocess.run([require_tool("mkfs.jfs"), "-q", *options, str(path)], check=True, capture_output=True)
    filesystem = JfsFileSystem(MemoryDevice(path.read_bytes()), "x")
    assert list(filesystem.list(filesystem.root)) == []
    assert filesystem.lookup(filesystem.root, "etc") is None
    assert filesystem.condition() == "clean"
    assert 0 < filesystem.free().bytes < 24 << 20


def test_copies_stand_in_for_damaged_structures() -> None:
    wanted = [path for path, _ in walked(opened("os2"))]
    for at, length in ((0x8000 + 16, 4), (INODE_MAP_AT, 512)):  # the primary superblock's sizes; its inode table
        raw = bytearray(jfs_images.image("os2"))
        raw[at : at + length] = b"\xee" * length
        assert [path for path, _ in walked(JfsFileSystem(MemoryDevice(bytes(raw)), "x"))] == wanted
    for place in (0x8000, 0xF000):
        raw[place : place + 4] = bytes(4)
    with pytest.raises(CorruptStructure):
        JfsFileSystem(MemoryDevice(bytes(raw)), "x")


def pages_below(filesystem: JfsFileSystem, directory: int) -> list[int]:
    """Return where the pages lie that the first page with several of them names."""
    page = jfs.directory_root(filesystem._inodes.read_inode(directory).body)
    while page is not None and not page.is_leaf:
        entries = [jfs.internal_entry(page, index) for index in range(len(page.order))]
        places = [entry[0].address * 4096 for entry in entries if entry is not None]
        if len(places) > 1:
            return places
        page = jfs.directory_page(filesystem._inodes.page(places[0]))
    raise AssertionError("this directory has one page")


def name_of(entry: Entry) -> str:
    return entry.name


def test_what_is_damaged_is_told_and_the_rest_is_listed() -> None:
    raw = bytearray(jfs_images.image("plain"))
    filesystem = opened("plain")
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    at = pages_below(filesystem, many.node)[1]
    raw[at + 16 : at + 20] = b"\xff" * 4
    damaged = JfsFileSystem(MemoryDevice(bytes(raw)), "x")
    seen: list[str] = []
    with pytest.raises(ImageError):
        seen.extend(map(name_of, damaged.list(many.node)))
    assert len(seen) > 500


def test_a_damaged_entry_hides_no_other_one() -> None:
    raw = bytearray(jfs_images.image("plain"))
    filesystem = opened("plain")
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    names = set(map(name_of, filesystem.list(many.node)))
    at = pages_below(filesystem, many.node)[1]
    order = at + raw[at + 21] * 32
    raw[order + raw[at + 17] // 2] = 0xFF  # where the entry in the middle lies, which a search meets first
    damaged = JfsFileSystem(MemoryDevice(bytes(raw)), "x")
    found = names_until_damage(damaged, many.node)
    assert 0 < len(names - found) < 40  # what is on the page that it leads to
    assert all(damaged.lookup(many.node, name) is not None for name in sorted(found)[::20])
    for name in names - found:  # never absent
        with pytest.raises(ImageError):
            damaged.lookup(many.node, name)


def test_a_damaged_name_above_a_page_hides_none_below() -> None:
    raw = bytearray(jfs_images.image("plain"))
    filesystem = opened("plain")
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    names = list(map(name_of, filesystem.list(many.node)))
    page = jfs.directory_root(filesystem._inodes.read_inode(many.node).body)
    assert page is not None
    assert not page.is_leaf
    at = raw.index(page.raw)
    for slot in page.order:
        raw[at + slot * 32 + 8 : at + slot * 32 + 10] = b"\xff\xff"  # where the name goes on, and its length
    damaged = JfsFileSystem(MemoryDevice(bytes(raw)), "x")
    assert list(map(name_of, damaged.list(many.node))) == names
    assert damaged.lookup(many.node, names[-1]) == filesystem.lookup(many.node, names[-1])


def test_a_tree_that_refers_to_itself_ends() -> None:
    raw = bytearray(jfs_images.image("plain"))
    filesystem = opened("plain")
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    # a page whose children are itself
    at = pages_below(filesystem, many.node)[0]
    page = bytearray(raw[at : at + 4096])
    page[16] = page[16] & ~jfs.LEAF | jfs.INTERNAL
    for slot in range(1, 128):
        struct.pack_into("<II", page, slot * 32, 1, at // 4096)
    raw[at : at + 4096] = page
    damaged = JfsFileSystem(MemoryDevice(bytes(raw)), "x")
    with pytest.raises(ImageError):
        list(damaged.list(many.node))
    with pytest.raises(ImageError):
        damaged.lookup(many.node, "a")


@pytest.mark.long
def test_filesystems_made_again_are_the_same(tmp_path: Path) -> None:
    jfs_images.make(tmp_path)
    for label in ("plain", "utf8", "os2"):
        again, kept = jfs_images.listing(label, tmp_path), jfs_images.listing(label)
        assert again.files.keys() == kept.files.keys()
        assert again.free == kept.free
        filesystem = JfsFileSystem(MemoryDevice(jfs_images.image(label, tmp_path)), "x")
        wanted = {stored_as_bytes(path) for path in kept.files} if label == "utf8" else set(kept.files)
        assert {path for path, _ in walked(filesystem)} == wanted
