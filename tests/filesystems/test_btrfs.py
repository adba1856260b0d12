"""Btrfs against what the kernel read of the same images (fixtures/btrfs), and against folders given to mkfs.btrfs."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from btrfs_images import FOLDER, SparseDevice, expected, from_file, kept, make_btrfs, pieces, seen, seen_by_kernel
from filesystem_images import make_ext, run
from tools import requires_tool

from imgscan.devices.filesystem import Entry
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.subvolumes import mounted, split_path
from imgscan.errors import CorruptStructure, ImageError, MissingPart, UnsupportedFormat
from imgscan.filesystems import open_filesystem, signatures
from imgscan.filesystems.btrfs import BtrfsFileSystem, open_btrfs
from imgscan.filesystems.btrfs_checksum import CHECKSUMS
from imgscan.guests.linux import inspect_linux
from imgscan.guests.systems import find_systems
from imgscan.layouts.btrfs import SUPERBLOCK_OFFSETS

NAMES = sorted(path.name.removesuffix(".json.xz") for path in FOLDER.glob("*.json.xz"))
SEVERAL = ["raid0", "raid1", "raid5", "raid10"]
SUPERBLOCK = SUPERBLOCK_OFFSETS[0]


def opened(*devices: SparseDevice) -> BtrfsFileSystem:
    return open_btrfs(devices, "disk0")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_what_the_kernel_reads(name: str) -> None:
    facts = expected(name)
    filesystem = opened(*reversed(kept(name)))
    assert seen(filesystem) == facts["files"]
    free = filesystem.free()
    assert [free.bytes, free.available] == facts["df"]
    assert filesystem.condition() == "clean"


@pytest.mark.parametrize("name", NAMES)
def test_type_label_and_uuid_are_those_of_blkid(name: str) -> None:
    facts = expected(name)
    for device in kept(name):
        signature = signatures.identify(device)
        assert (signature.content, signature.label, signature.uuid) == ("btrfs", facts["label"], facts["uuid"])


def test_subvolumes_by_path_and_number() -> None:
    facts = expected("subvolumes")
    filesystem = opened(*kept("subvolumes"))
    for path, files in facts["subvolumes"].items():
        subvolume = filesystem.subvolume(path)
        assert subvolume is not None
        assert seen(filesystem, subvolume.root) == files
        assert filesystem.subvolume(subvolume.id) == subvolume
    # "ID 256 gen 9 top level 5 parent_uuid - uuid ... path <FS_TREE>/@", as `btrfs subvolume list -aqu` prints
    listed = {}
    for line in facts["list"]:
        words = line.split()
        listed[int(words[1])] = (words[-1].removeprefix("<FS_TREE>/"), int(words[6]), words[8] != "-")
    own = {one.id: (one.path, one.parent, one.is_snapshot) for one in filesystem.subvolumes() if one.path}
    assert own == listed
    by_path = {one.path: one for one in filesystem.subvolumes()}
    assert [path for path, one in by_path.items() if one.is_read_only] == ["read-only"]
    assert filesystem.default_subvolume == by_path["@"].id
    assert filesystem.subvolume("folder/deeper") is None  # a directory
    assert filesystem.subvolume("gone") is None
    assert filesystem.subvolume(9999) is None
    assert filesystem.subvolume(2) is None  # a tree, and no subvolume
    assert filesystem.subvolume(0) == filesystem.subvolume("") == filesystem.subvolume(5) == by_path[""]


def test_a_path_may_begin_with_a_subvolume() -> None:
    filesystem = opened(*kept("subvolumes"))

    def read(path: str) -> str:
        root, rest = split_path(filesystem, path)
        return GuestTree({"/": root}).read_text(rest)

    assert read("/file") == read("/subvol:@/file") == "in @, after"
    assert read("/subvol:read-only/file") == "in @, before"
    assert read("/subvol:/top") == "top level"
    assert read("/subvol:/@home/user") == read("/subvol:@home/user") == "home"
    assert read("/subvol:folder/deeper/nested/file") == "nested"
    assert read("/subvol:@/var/deep/file") == "deep"
    root, rest = split_path(filesystem, "/subvol:@/var/deep/file")
    place = GuestTree({"/": root}).resolve(rest)
    assert (place.path, place.path_in_volume) == ("/file", "/subvol:@/var/deep/file")


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("", "/"),
        ("defaults,noatime", "/"),
        ("subvol=@home", "/subvol:@home"),
        ("compress=zstd,subvol=/@home/", "/subvol:@home"),
        ("subvolid=5", "/subvol:"),
        ("subvolid=0", "/subvol:"),
        ("subvol=/", "/subvol:"),
        ("subvolid=256,subvol=@home", "/subvol:@home"),
        ("subvolid=0x100", "/subvol:@"),
    ],
)
def test_mount_options_name_a_subvolume(options: str, path: str) -> None:
    tree = GuestTree({"/": mounted(opened(*kept("subvolumes")), options)})
    assert tree.resolve("/").path_in_volume == path


def test_a_subvolume_that_is_not_there_cannot_be_mounted() -> None:
    with pytest.raises(MissingPart, match="@gone"):
        mounted(opened(*kept("subvolumes")), "subvol=@gone")


def test_a_log_tree_is_reported() -> None:
    filesystem = opened(*kept("log-tree"))
    assert filesystem.condition() == "it has a log tree that is replayed on mount"
    assert filesystem.lookup(filesystem.root, "committed") is not None
    assert filesystem.lookup(filesystem.root, "logged") is None


@pytest.mark.parametrize("name", ["raid1", "raid10"])
def test_without_a_device_its_mirror_is_read(name: str) -> None:
    devices = kept(name)
    files = expected(name)["files"]
    for gone in range(len(devices)):
        filesystem = opened(*devices[:gone], *devices[gone + 1 :])
        assert seen(filesystem) == files
        assert str(filesystem.condition()).startswith("1 of its ")


def test_without_a_device_of_raid0_the_rest_is_read() -> None:
    first, _, third = kept("raid0")
    filesystem = opened(first, third)
    whole = expected("raid0")["files"]
    assert {entry.name for entry in filesystem.list(filesystem.root)} == set(whole)  # metadata is mirrored
    large = filesystem.lookup(filesystem.root, "large")
    assert large is not None
    lost: list[str] = []
    for offset in range(0, large.size, 4096):
        try:
            data = filesystem.read(large.node, offset, 4096)
        except MissingPart as error:
            lost.append(str(error))
        else:
            assert data[:8] == b"%7d " % (offset // 4096)
    assert 0 < len(lost) < large.size // 4096
    assert all("the Btrfs device 2 (UUID_SUB " in error for error in lost)


@pytest.mark.parametrize("name", ["raid1", "dup"])
def test_a_damaged_copy_gives_way_to_the_other(name: str) -> None:
    devices = kept(name)
    superblocks = {offset // 4096 for offset in SUPERBLOCK_OFFSETS}
    places: dict[bytes, list[tuple[int, int]]] = {}
    for number, device in enumerate(devices):
        for block, data in device.blocks.items():
            places.setdefault(data, []).append((number, block))
    damaged = 0
    for copies in places.values():
        number, block = min(copies)
        if len(copies) > 1 and block not in superblocks:
            devices[number].blocks[block] = b"\xff" * 4096
            damaged += 1
    assert damaged > 100
    assert seen(opened(*devices)) == expected(name)["files"]


def test_a_flipped_bit_is_found_in_data_and_metadata() -> None:
    (device,) = kept("shapes")
    filesystem = opened(device)
    large = filesystem.lookup(filesystem.root, "fragmented")
    assert large is not None
    content = b"".join(pieces(filesystem, large.node))
    at = next(block for block, data in device.blocks.items() if b"  119  119" in data)
    device.write(at * 4096 + 100, b"\0")
    with pytest.raises(CorruptStructure, match="the crc32c checksum of the data at logical address"):
        b"".join(pieces(opened(device), large.node))
    unchecked = filesystem.lookup(filesystem.root, "no-checksums")
    assert unchecked is not None
    at = next(block for block, data in device.blocks.items() if data.startswith(b"not checked"))
    device.write(at * 4096, b"N")
    assert opened(device).read(unchecked.node, 0, 20) == b"Not checked not chec"
    assert content.count(b"  119") == 100
    root = device.read_at(SUPERBLOCK + 0x50, 8)
    chunk = filesystem._chunks._chunk(int.from_bytes(root, "little"))
    place = chunk.stripes[0].offset + int.from_bytes(root, "little") - chunk.start
    device.write(place + 200, b"\xaa\xbb")
    with pytest.raises(CorruptStructure, match=r"the Btrfs cannot be opened: .*crc32c checksum is wrong"):
        opened(device)


def test_the_newest_valid_superblock_counts() -> None:
    (device,) = kept("dup")
    files = expected("dup")["files"]
    broken = device.copy()
    broken.write(SUPERBLOCK + 0x200, b"x")
    filesystem = opened(broken)
    assert seen(filesystem) == files
    assert "the first superblock is damaged" in str(filesystem.condition())
    for offset in SUPERBLOCK_OFFSETS[:2]:
        broken.write(offset + 0x200, b"x")
    broken.write(SUPERBLOCK_OFFSETS[1] + 0x200, b"y")
    with pytest.raises(CorruptStructure, match="the Btrfs superblock's crc32c checksum is wrong"):
        opened(broken)


def test_a_device_that_was_left_behind_is_read_last() -> None:
    """RAID1 without one device for a while: files without checksums must come from the other one."""
    devices = kept("raid1")
    raw = bytearray(devices[0].read_at(SUPERBLOCK, 4096))
    struct.pack_into("<Q", raw, 0x48, int.from_bytes(raw[0x48:0x50], "little") - 1)
    raw[:32] = CHECKSUMS[0].compute(bytes(raw[32:])).ljust(32, b"\0")
    devices[0].write(SUPERBLOCK, bytes(raw))
    devices[0].write(SUPERBLOCK_OFFSETS[1], bytes(4096))
    before = devices[0].reads
    filesystem = opened(*devices)
    seen(filesystem)
    assert devices[0].reads - before <= 2  # its superblocks


@pytest.mark.parametrize(
    ("bit", "name"), [(12, "zoned"), (13, "extent-tree-v2"), (14, "raid-stripe-tree"), (40, "bit 40")]
)
def test_unknown_features_are_refused_by_name(bit: int, name: str) -> None:
    (device,) = kept("subvolumes")
    raw = bytearray(device.read_at(SUPERBLOCK, 4096))
    struct.pack_into("<Q", raw, 0xBC, int.from_bytes(raw[0xBC:0xC4], "little") | 1 << bit)
    raw[:32] = CHECKSUMS[0].compute(bytes(raw[32:])).ljust(32, b"\0")
    device.write(SUPERBLOCK, bytes(raw))
    with pytest.raises(UnsupportedFormat, match=f"Btrfs with {name} is not read"):
        opened(device)


def test_small_reads_anywhere_are_parts_of_the_whole() -> None:
    (device,) = kept("compression")
    filesystem = opened(device)
    for folder in ("zlib", "lzo", "zstd"):
        directory = filesystem.lookup(filesystem.root, folder)
        assert directory is not None
        for name in ("patched", "mixed", "text131073", "text100"):
            entry = filesystem.lookup(directory.node, name)
            assert entry is not None
            whole = filesystem.read(entry.node, 0, 1 << 20)
            assert len(whole) == entry.size
            for offset in (0, 1, 4095, 4097, 19999, 60000, 131071, entry.size - 1):
                for length in (1, 13, 4096, 70000):
                    assert filesystem.read(entry.node, offset, length) == whole[offset : offset + length]
            assert filesystem.read(entry.node, entry.size, 1) == b""
            assert filesystem.read(entry.node, -1, 1) == b""


def filled(folder: Path) -> Path:
    """A folder as mkfs.btrfs copies it."""
    for name in ("many", "empty", "/".join(f"level{n}" for n in range(50))):
        (folder / name).mkdir(parents=True)
    for number in range(700):
        (folder / "many" / f"file-{number}").write_bytes(b"%d" % number)
    for size in (0, 1, 2000, 4095, 4096, 4097, 100_000, 1_000_000):
        (folder / f"size{size}").write_bytes(bytes(n * 7 % 251 for n in range(251)) * (size // 251 + 1))
        os.truncate(folder / f"size{size}", size)
    (folder / ("ü" * 127)).write_text("long name")
    (folder / "link").symlink_to("size1")
    (folder / "long-link").symlink_to("x" * 3000)
    return folder


@requires_tool("mkfs.btrfs")
@pytest.mark.parametrize(
    "options",
    [
        ("--csum", "crc32c", "-n", "4096"),
        ("--csum", "xxhash"),
        ("--csum", "sha256", "-n", "65536"),
        ("--csum", "blake2", "--mixed", "-n", "4096"),
        ("-R", "^free-space-tree", "-O", "^no-holes,^skinny-metadata", "-L", "old ways"),
    ],
    ids=" ".join,
)
def test_a_folder_given_to_mkfs(tmp_path: Path, options: tuple[str, ...]) -> None:
    tree = filled(tmp_path / "tree")
    image = make_btrfs(tree, tmp_path / "image", *options)
    device = from_file(image)
    filesystem = open_filesystem(device, "disk0", "btrfs")
    files = seen(filesystem)
    assert files == seen_by_kernel(tree)
    signature = signatures.identify(device)
    for tag, value in (("TYPE", signature.content), ("UUID", signature.uuid), ("LABEL", signature.label)):
        assert run_blkid(image, tag) == value


def run_blkid(image: Path, tag: str) -> str | None:
    command = ("blkid", "-p", "-s", tag, "-o", "value", str(image))
    return run(*command).strip() or None


def test_reading_a_directory_of_thousands_costs_few_reads() -> None:
    (device,) = kept("shapes")
    device.reads = 0
    filesystem = opened(device)
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    before = device.reads
    assert filesystem.lookup(many.node, "name-777") is not None
    assert filesystem.lookup(many.node, "not-there") is None
    assert device.reads - before <= 8  # two paths of nodes and one inode
    assert before <= 14


def test_damage_below_is_an_error_and_never_absence() -> None:
    (device,) = kept("shapes")
    healthy = opened(device)
    blocks = [block for block in device.blocks if block * 4096 not in SUPERBLOCK_OFFSETS]
    for block in blocks:
        if device.blocks[block][32:48] != device.read_at(SUPERBLOCK + 32, 16):
            continue
        damaged = device.copy()
        damaged.write(block * 4096 + 120, b"\x55")
        try:
            filesystem = opened(damaged)
            found = filesystem.lookup(filesystem.root, "sparse")
        except ImageError:
            continue
        assert found == healthy.lookup(healthy.root, "sparse")


def test_a_damaged_node_hides_no_other_names() -> None:
    (device,) = kept("shapes")
    healthy = opened(device)
    many = healthy.lookup(healthy.root, "many")
    assert many is not None
    names = {entry.name for entry in healthy.list(many.node)}
    blocks = [block for block, data in device.blocks.items() if data.count(b"name-") > 30 and not data[100]]
    lost: list[str] = []
    for block in blocks:
        damaged = device.copy()
        damaged.write(block * 4096 + 120, b"\x55")
        filesystem = opened(damaged)
        entries: list[Entry] = []
        with suppress(CorruptStructure):
            for entry in filesystem.list(many.node):
                entries.append(entry)  # noqa: PERF402 - what comes before an error counts
        lost += names - {entry.name for entry in entries}
        for entry in [entry for entry in entries if entry.kind != "other"][::60]:
            assert filesystem.lookup(many.node, entry.name) == entry
    assert blocks
    assert 0 < len(lost) <= len(names)  # each name only with the node that it lies in


@requires_tool("mkfs.btrfs", "mke2fs")
def test_a_system_costs_no_more_than_twice_what_it_costs_on_ext4(tmp_path: Path) -> None:
    """Finding a Debian, reading its mounts and menu, all of /etc, and the package database."""
    tree = tmp_path / "tree"
    for folder in ("etc/default", "boot/grub", "var/lib/dpkg", "usr/lib", "usr/share/doc", "usr/bin"):
        (tree / folder).mkdir(parents=True)
    for number in range(800):
        (tree / f"usr/share/doc/package-{number}").write_text("documentation\n" * (number % 400))
        (tree / f"usr/bin/program-{number}").touch()
    for number in range(120):
        (tree / f"etc/{number}.conf").write_text(f"setting {number}\n" * number)
    (tree / "sbin").symlink_to("usr/bin")
    (tree / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    (tree / "etc/fstab").write_text("UUID=1234 / auto defaults 0 1\n")
    (tree / "boot/grub/grub.cfg").write_text("menuentry 'Debian' {\n linux /vmlinuz root=UUID=1234\n}\n" * 50)
    (tree / "var/lib/dpkg/status").write_bytes(b"Package: name\nStatus: install ok installed\n\n" * 20000)
    cost = {}
    for type_, image in (
        ("ext4", make_ext(tree, tmp_path / "ext4.img", "ext4", "128M")),
        ("btrfs", make_btrfs(tree, tmp_path / "btrfs.img")),
    ):
        device = from_file(image)
        filesystems = {"disk0": open_filesystem(device, "disk0", type_)}
        (found,) = find_systems(filesystems)
        files = inspect_linux(found, filesystems, [], []).tree
        for entry in files.list("/etc"):
            if entry.kind == "file":
                files.read(f"/etc/{entry.name}")
        assert files.stat("/var/lib/dpkg/status").size == len(files.read("/var/lib/dpkg/status"))
        filesystems["disk0"].free()
        cost[type_] = (device.reads, device.read_bytes)
    assert cost["btrfs"][0] <= 2 * cost["ext4"][0], cost
    assert cost["btrfs"][1] <= 2 * cost["ext4"][1], cost
