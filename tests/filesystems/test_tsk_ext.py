from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from filesystem_images import make_ext, names_until_damage, open_file, run
from tools import copy_image, requires_tool

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, EncryptedData, ImageError, ReadFailed, TruncatedRead, UnsupportedFormat
from imgscan.filesystems import open_filesystem

pytestmark = requires_tool("mke2fs", "debugfs", "tune2fs")

LONG_TARGET = "a" * 100 + "/b"
BAD_NAME = b"na\xffme"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_bytes(b"ID=debian\n")
    (root / "etc" / "OS-Release").write_bytes(b"another file\n")
    (root / "etc" / "short").symlink_to("../usr/lib/os-release")
    (root / "etc" / "long").symlink_to(LONG_TARGET)
    (root / "etc" / "edge").symlink_to("e" * 60)
    (root / "etc" / BAD_NAME.decode("utf-8", "surrogateescape")).write_bytes(b"x")
    (root / "etc" / ("n" * 255)).write_bytes(b"longest name")
    many = root / "many"
    many.mkdir()
    first = many / "a-file-of-number-0.conf"
    first.write_bytes(b"0")
    for number in range(1, 3000):  # names of one file: mke2fs takes three times as long for as many files
        (many / f"a-file-of-number-{number}.conf").hardlink_to(first)
    with (root / "sparse").open("wb") as file:
        file.seek(300_000)
        file.write(b"END")
    (root / "run").mkdir()
    return root


OPTIONS = {
    "ext4-inline": ["-O", "inline_data,^has_journal"],
    "ext4-1k-no-64bit": ["-O", "^64bit,^metadata_csum", "-b", "1024"],
    "ext4-4k": ["-b", "4096"],
    "ext2-4k": ["-b", "4096"],
    "ext2-no-filetype": ["-O", "^filetype"],
}
Built = Callable[[str], Path]


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return what gives the image of the tree by name, built once: no test may change it."""
    folder = tmp_path_factory.mktemp("images")

    @cache
    def build(name: str) -> Path:
        return make_ext(tree, folder / f"{name}.img", name.split("-", maxsplit=1)[0], "40M", *OPTIONS.get(name, []))

    return build


@pytest.fixture(params=["ext2", "ext3", "ext4", "ext4-inline", "ext4-1k-no-64bit", "ext2-no-filetype"])
def image(request: pytest.FixtureRequest, built: Built) -> Path:
    return built(request.param)


def opened(image: Path) -> FileSystem:
    return open_filesystem(open_file(image)[0], "disk0", "ext4")


def by_path(filesystem: FileSystem, path: str) -> int:
    node = filesystem.root
    for name in path.split("/"):
        entry = filesystem.lookup(node, name)
        assert entry is not None, path
        node = entry.node
    return node


def test_names_are_those_of_the_folder(image: Path, tree: Path) -> None:
    filesystem = opened(image)
    for folder in ("etc", "many"):
        names = {entry.name for entry in filesystem.list(by_path(filesystem, folder))}
        assert names == {path.name for path in (tree / folder).iterdir()}
    assert {entry.name for entry in filesystem.list(filesystem.root)} == {
        "etc", "many", "sparse", "run", "lost+found",
    }  # fmt: skip


def test_content_links_and_metadata(image: Path, tree: Path) -> None:
    filesystem = opened(image)
    node = by_path(filesystem, "etc/os-release")
    assert filesystem.read(node, 0, 100) == b"ID=debian\n"
    assert filesystem.read(node, 3, 4) == b"debi"
    assert filesystem.read(node, 10, 5) == b""
    assert filesystem.read(node, 10**12, 5) == b""
    assert filesystem.read(by_path(filesystem, "etc/" + BAD_NAME.decode("utf-8", "surrogateescape")), 0, 9) == b"x"
    assert filesystem.readlink(by_path(filesystem, "etc/short")) == "../usr/lib/os-release"
    assert filesystem.readlink(by_path(filesystem, "etc/long")) == LONG_TARGET
    assert filesystem.readlink(by_path(filesystem, "etc/edge")) == "e" * 60
    expected = (tree / "etc" / "os-release").stat()
    entry = filesystem.stat(node)
    assert (entry.kind, entry.size, entry.mode, entry.uid) == ("file", 10, expected.st_mode & 0o7777, expected.st_uid)
    assert int(entry.mtime) == int(expected.st_mtime)
    assert filesystem.stat(by_path(filesystem, "etc/long")).kind == "symlink"
    assert filesystem.stat(filesystem.root).kind == "directory"


def test_holes_are_zeros(image: Path) -> None:
    filesystem = opened(image)
    node = by_path(filesystem, "sparse")
    assert filesystem.read(node, 0, 400_000) == bytes(300_000) + b"END"


def test_case_matters(image: Path) -> None:
    filesystem = opened(image)
    assert filesystem.case_sensitive
    assert filesystem.lookup(filesystem.root, "ETC") is None
    assert filesystem.read(by_path(filesystem, "etc/OS-Release"), 0, 99) == b"another file\n"


def test_deleted_names_are_gone(built: Built, tmp_path: Path) -> None:
    image = copy_image(built("ext4"), tmp_path / "x.img")
    run("debugfs", "-w", "-R", "rm many/a-file-of-number-77.conf", str(image))
    filesystem = opened(image)
    many = by_path(filesystem, "many")
    assert filesystem.lookup(many, "a-file-of-number-77.conf") is None
    assert sum(1 for _ in filesystem.list(many)) == 2999


def test_a_lookup_in_a_large_directory_reads_little(built: Built) -> None:
    device, counter = open_file(built("ext4-4k"))
    filesystem = open_filesystem(device, "disk0", "ext4")
    before = counter.result()
    many = filesystem.lookup(filesystem.root, "many")
    assert many is not None
    assert filesystem.lookup(many.node, "a-file-of-number-2900.conf") is not None
    after = counter.result()
    assert after.reads - before.reads < 60  # mke2fs -d leaves the directory in as many pieces as it has blocks


def test_free_space_is_what_tune2fs_and_the_kernel_say(image: Path) -> None:
    listing = run("tune2fs", "-l", str(image))
    value = {key: int(number) for key, number in re.findall(r"^([A-Z][\w ]+): +(\d+)$", listing, re.MULTILINE)}
    free = opened(image).free()
    assert free.bytes == value["Free blocks"] * value["Block size"]
    kept = min(value["Block count"] // 50, 4096) if "extent" in listing else 0
    expected = value["Free blocks"] - value["Reserved block count"] - kept
    assert free.available == expected * value["Block size"]
    assert free.inodes == value["Free inodes"]


def test_free_space_after_a_crash_is_summed_over_the_groups(tree: Path, tmp_path: Path) -> None:
    image = make_ext(tree / "etc", tmp_path / "x.img", "ext4", "300M", "-b", "1024")
    clean = opened(image).free()
    assert opened(image).condition() == "clean"
    with image.open("r+b") as file:  # the superblock's count, and the state: mounted
        file.seek(1024 + 12)
        file.write(struct.pack("<I", 1))
        file.seek(1024 + 58)
        file.write(struct.pack("<H", 0))
    run("debugfs", "-w", "-R", "set_super_value wtime 1", str(image))  # which puts the checksum right
    filesystem = opened(image)
    assert filesystem.free() == clean
    assert filesystem.condition() == "not cleanly unmounted"


def test_bigalloc_is_refused_by_name(tree: Path, tmp_path: Path) -> None:
    image = make_ext(tree / "etc", tmp_path / "x.img", "ext4", "256M", "-O", "bigalloc", "-C", "16384", "-b", "4096")
    with pytest.raises(UnsupportedFormat, match="bigalloc"):
        opened(image)


def test_other_contents_are_refused_by_name() -> None:
    device = MemoryDevice(bytes(4096))
    with pytest.raises(UnsupportedFormat, match="reiserfs is recognised, and not read by this version"):
        open_filesystem(device, "disk0/p1", "reiserfs")
    with pytest.raises(EncryptedData, match="crypto_LUKS"):
        open_filesystem(device, "disk0/p1", "crypto_LUKS")


@pytest.mark.parametrize("content", ["ext4", "ntfs", "vfat", "exfat"])
def test_a_bad_superblock_is_corrupt(content: str) -> None:
    with pytest.raises(CorruptStructure, match=f"disk0/p1: the {content} filesystem cannot be opened"):
        open_filesystem(MemoryDevice(bytes(1 << 20)), "disk0/p1", content)


class Failing:
    """A device that fails from an offset on."""

    sector_size = 512

    def __init__(self, below: BlockDevice, error: ImageError) -> None:
        self._below = below
        self.error = error
        self.fails = False
        self.name = below.name
        self.size = below.size

    def read_at(self, offset: int, length: int) -> bytes:
        if self.fails:
            raise self.error
        return self._below.read_at(offset, length)


@pytest.mark.parametrize("error", [ReadFailed("the disk is broken", where="a.vmdk"), TruncatedRead("cut", where="a")])
def test_the_device_own_error_comes_out_again(built: Built, error: ImageError) -> None:
    device = Failing(open_file(built("ext4"))[0], error)
    device.fails = True
    with pytest.raises(type(error)) as caught:
        open_filesystem(device, "disk0", "ext4")
    assert caught.value is error
    device.fails = False
    filesystem = open_filesystem(device, "disk0", "ext4")
    node = by_path(filesystem, "many")
    device.fails = True
    with pytest.raises(type(error)) as caught:
        list(filesystem.list(node))
    assert caught.value is error
    device.fails = False
    assert filesystem.lookup(filesystem.root, "etc") is not None  # and it goes on afterwards


def test_a_damaged_directory_block_loses_only_itself(built: Built, tmp_path: Path) -> None:
    image = copy_image(built("ext2-4k"), tmp_path / "x.img")
    at = image.read_bytes().index(b"a-file-of-number-2999.conf") & ~4095
    with image.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 4096)
    filesystem = open_filesystem(open_file(image)[0], "disk0", "ext2")
    many = by_path(filesystem, "many")
    names: list[str] = []
    entries = filesystem.list(many)

    def read_all() -> None:
        names.extend(entry.name for entry in entries)

    with pytest.raises(CorruptStructure, match="directory"):
        read_all()
    assert 2000 < len(names) < 3000
    assert filesystem.lookup(many, names[-1]) is not None
    with pytest.raises(CorruptStructure):
        filesystem.lookup(many, "a-file-of-number-2999.conf")


def test_a_directory_block_that_cannot_be_read_loses_only_itself(tree: Path, tmp_path: Path) -> None:
    """A direct block of the directory lies beyond the end of the volume."""
    image = make_ext(tree, tmp_path / "x.img", "ext2", "40M", "-b", "4096")
    place = re.search(r"block (\d+), offset (0x[0-9a-f]+)", run("debugfs", "-R", "imap /many", str(image)))
    assert place is not None
    at = int(place[1]) * 4096 + int(place[2], 16) + 0x28 + 4 * 2
    data = bytearray(image.read_bytes())
    lost = int.from_bytes(data[at : at + 4], "little") * 4096
    in_it = bytes(data[lost : lost + 4096])
    data[at : at + 4] = b"\xff\xff\xff\x00"
    filesystem = open_filesystem(MemoryDevice(bytes(data)), "disk0", "ext2")
    names = {path.name for path in (tree / "many").iterdir()}
    missing = names - names_until_damage(filesystem, by_path(filesystem, "many"))
    assert 50 < len(missing) < 200
    assert all(name.encode() in in_it for name in missing)


def test_a_damaged_name_hides_no_other_one(tree: Path, tmp_path: Path) -> None:
    image = make_ext(tree, tmp_path / "x.img", "ext2", "40M", "-b", "4096")
    data = bytearray(image.read_bytes())
    data[data.index(b"a-file-of-number-1500.conf") - 2] = 255  # its length, beyond that of its entry
    filesystem = open_filesystem(MemoryDevice(bytes(data)), "disk0", "ext2")
    names = {path.name for path in (tree / "many").iterdir()}
    assert names - names_until_damage(filesystem, by_path(filesystem, "many")) == {"a-file-of-number-1500.conf"}


def test_every_cut_and_flip_ends_in_an_image_error(tmp_path: Path) -> None:
    small = tmp_path / "small"
    (small / "etc").mkdir(parents=True)
    (small / "etc" / "os-release").write_bytes(b"ID=x\n")
    data = make_ext(small, tmp_path / "s.img", "ext4", "2M").read_bytes()

    def cases() -> Iterator[bytes]:
        for size in (0, 1, 1023, 1024, 1100, 2048, 5000, 70_000, 1 << 20):
            yield data[:size]
        for position in (*range(1024, 1024 + 264, 4), *range(2048, 2048 + 64, 4)):
            for value in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
                yield data[:position] + value + data[position + 4 :]

    for case in cases():
        try:
            filesystem = open_filesystem(MemoryDevice(case), "disk0", "ext4")
            filesystem.free()
            for entry in filesystem.list(filesystem.root):
                if entry.kind == "directory":
                    list(filesystem.list(entry.node))
        except ImageError:
            continue


@pytest.mark.parametrize("block_size", ["1024", "4096"])
def test_large_files_without_extents(tmp_path: Path, block_size: str) -> None:
    (tmp_path / "tree").mkdir()
    size = 200 << 20
    spots = {0: b"start", 50_000: b"single", 3_000_000: b"double", 100 << 20: b"triple or double", size - 3: b"end"}
    with (tmp_path / "tree" / "lastlog").open("wb") as file:
        for offset, data in spots.items():
            file.seek(offset)
            file.write(data)
    image = make_ext(tmp_path / "tree", tmp_path / "x.img", "ext3", "16M", "-b", block_size)
    filesystem = opened(image)
    node = by_path(filesystem, "lastlog")
    assert filesystem.stat(node).size == size
    for offset, data in spots.items():
        before = min(offset, 3000)
        assert filesystem.read(node, offset - before, before + len(data)).endswith(data)
    assert filesystem.read(node, 10_000_000, 1 << 20) == bytes(1 << 20)
    assert filesystem.read(node, size - 1, 100) == b"d"
    assert filesystem.read(node, size, 1) == b""


def test_a_block_map_that_leads_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(b"x" * 20_000)
    image = make_ext(tmp_path / "tree", tmp_path / "x.img", "ext3", "8M", "-b", "1024")
    blocks = run("debugfs", "-R", "blocks /f", str(image)).split()
    place = re.search(r"block (\d+), offset (0x[0-9a-f]+)", run("debugfs", "-R", "imap /f", str(image)))
    assert place is not None
    at = int(place[1]) * 1024 + int(place[2], 16)
    data = bytearray(image.read_bytes())
    table = int(blocks[0])
    data[table * 1024 : table * 1024 + 1024] = struct.pack("<I", table) * 256
    struct.pack_into("<I", data, at + 4, 0xFFFFFFFF)
    struct.pack_into("<I", data, at + 0x6C, 9)
    struct.pack_into("<15I", data, at + 0x28, *[table] * 15)
    filesystem = open_filesystem(MemoryDevice(bytes(data)), "disk0", "ext3")
    node = by_path(filesystem, "f")
    assert len(filesystem.read(node, 10 << 30, 4096)) == 4096
    with pytest.raises(CorruptStructure, match="larger than its blocks can reach"):
        filesystem.read(node, 17 << 30, 4096)


def test_an_extent_tree_that_leads_to_itself_is_damage(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(b"x" * 20_000)
    image = make_ext(tmp_path / "tree", tmp_path / "x.img", "ext4", "8M", "-b", "4096", "-O", "^metadata_csum")
    block = int(run("debugfs", "-R", "blocks /f", str(image)).split()[0])
    place = re.search(r"block (\d+), offset (0x[0-9a-f]+)", run("debugfs", "-R", "imap /f", str(image)))
    assert place is not None
    at = int(place[1]) * 4096 + int(place[2], 16)

    def node(entries: int, depth: int) -> bytes:
        return struct.pack("<HHHHI", 0xF30A, entries, 340, depth, 0) + struct.pack("<IIHH", 0, block, 0, 0) * entries

    for depth, entries in ((5, 1), (1, 340), (4, 2)):
        data = bytearray(image.read_bytes())
        data[at + 0x28 : at + 0x28 + 24] = node(1, 5)
        data[block * 4096 : block * 4096 + 12 + entries * 12] = node(entries, depth)
        filesystem = open_filesystem(MemoryDevice(bytes(data)), "disk0", "ext4")
        with pytest.raises(CorruptStructure, match="extent tree"):
            filesystem.read(by_path(filesystem, "f"), 0, 100)
        assert filesystem.stat(by_path(filesystem, "f")).size == 20_000


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "f").write_bytes(b"secret")
    image = make_ext(tmp_path / "tree", tmp_path / "x.img", "ext4", "8M", "-O", "^metadata_csum")
    for name in ("f", "d"):
        run("debugfs", "-w", "-R", f"set_inode_field /{name} flags 0x80800", str(image))
    filesystem = opened(image)
    with pytest.raises(EncryptedData, match="fscrypt"):
        filesystem.read(by_path(filesystem, "f"), 0, 10)
    with pytest.raises(EncryptedData, match="fscrypt"):
        list(filesystem.list(by_path(filesystem, "d")))


def test_a_superblock_that_fails_its_checksum(tmp_path: Path) -> None:
    """The kernel does not mount it; e2fsprogs say so, and what it holds is still there."""
    image = tmp_path / "x.img"
    image.write_bytes(bytes(8 << 20))
    run("mkfs.ext4", "-q", "-O", "metadata_csum", str(image))
    assert opened(image).condition() == "clean"
    raw = bytearray(image.read_bytes())
    raw[1024 + 0x78] ^= 1  # of the label
    image.write_bytes(raw)
    assert opened(image).condition() == "damaged superblock (its checksum does not fit)"
    assert "lost+found" in [entry.name for entry in opened(image).list(opened(image).root)]
    checked = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=False)
    assert "checksum" in checked.stdout + checked.stderr
