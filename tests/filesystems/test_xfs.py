"""XFS: kept images that the kernel filled, against what it read of them; new ones by mkfs.xfs, against a folder.

The long tests fill filesystems through the kernel here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filesystem_images import Unreadable, make_ext, names_until_damage, open_file, run
from tools import FIXTURES, requires_tool
from xfs_images import Listing, change, fill, kept, kept_facts, listing, listing_of_folder, mounted, opened

import imgscan
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.memory import MemoryDevice
from imgscan.devices.slice import SliceDevice
from imgscan.errors import CorruptStructure, ImageError, TruncatedRead, UnsupportedFormat
from imgscan.filesystems import open_filesystem
from imgscan.filesystems.signatures import identify
from imgscan.layouts.crc32c import crc32c
from imgscan.model.volume import Free

MIB = 1 << 20


def names_of(where: Listing) -> set[str]:
    return set(where)


@pytest.fixture(scope="module", params=["xfs-v5", "xfs-v4", "xfs-new"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(name, tmp_path_factory.mktemp("kept"))


def test_kept_images_as_the_kernel_read_them(name: str, image: Path) -> None:
    expected = kept_facts(name)["files"]
    found = listing(opened(open_file(image)[0]))
    assert names_of(found) == names_of(expected)
    assert {path: (facts, found[path]) for path, facts in expected.items() if found[path] != facts} == {}


def test_free_space_as_statfs_counts_it(name: str, image: Path) -> None:
    filesystem = opened(open_file(image)[0])
    size, inodes = kept_facts(name)["statfs"]
    assert filesystem.free() == Free(size, size, inodes)
    assert filesystem.condition() == "clean"


def test_type_label_and_uuid_as_blkid_says(name: str, image: Path) -> None:
    said = dict(line.split("=", 1) for line in kept_facts(name)["blkid"].splitlines())
    signature = identify(open_file(image)[0])
    assert (signature.content, signature.label, signature.uuid) == (said["TYPE"], said["LABEL"], said["UUID"])


def test_a_log_that_was_not_replayed_is_said(tmp_path: Path) -> None:
    filesystem = opened(open_file(kept("xfs-dirty", tmp_path))[0])
    assert filesystem.condition() == "log not replayed"
    found = listing(filesystem)
    expected = kept_facts("xfs-dirty")["files"]
    assert {path: found[path] for path in expected} == expected  # what was written before is there
    size, inodes = kept_facts("xfs-dirty")["statfs"]  # after the replay
    assert abs(filesystem.free().bytes - size) < 2 * MIB
    assert abs((filesystem.free().inodes or 0) - inodes) < 1000


MKFS = {
    "default": (),
    "v4": ("-m", "crc=0"),
    "v4 without file types": ("-m", "crc=0", "-n", "ftype=0"),
    "v4 ignoring case": ("-m", "crc=0", "-n", "version=ci"),
    "no bigtime": ("-m", "bigtime=0"),
    "many extents": ("-i", "nrext64=1"),
    "few extents": ("-i", "nrext64=0"),
    "sparse inodes": ("-i", "sparse=1"),
    "no sparse inodes": ("-i", "sparse=0"),
    "reverse mapping": ("-m", "rmapbt=1"),
    "nothing optional": ("-m", "reflink=0,finobt=0,rmapbt=0"),
    "directory blocks of 64 KiB": ("-n", "size=64k"),
    "blocks of 1 KiB": ("-b", "size=1k"),
    "blocks of 64 KiB": ("-b", "size=64k"),
    "v4 in blocks of 512 bytes": ("-m", "crc=0", "-b", "size=512"),
    "inodes of 2 KiB": ("-i", "size=2048"),
    "v4 with inodes of 256 bytes": ("-m", "crc=0", "-i", "size=256"),
    "sectors of 4 KiB": ("-s", "size=4096"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_bytes(b"ID=debian\n")
    (root / "etc" / ("n" * 255)).write_bytes(b"longest name")
    (root / "etc" / "empty").write_bytes(b"")
    for name, count in (("none", 0), ("few", 3), ("block", 40), ("leaf", 200), ("many", 700)):
        (root / name).mkdir()
        for number in range(count):
            (root / name / f"a-file-of-number-{number}.conf").write_bytes(b"%d" % number)
    below = root
    for number in range(25):
        below /= f"level-{number}"
        below.mkdir()
    (below / "deep").write_bytes(b"deep")
    (root / "large").write_bytes(b"".join(number.to_bytes(4, "big") for number in range(300_000)))
    (root / "link").symlink_to("etc/os-release")
    return root


def prototype(folder: Path, depth: int = 1) -> str:
    """Return a folder as mkfs.xfs's prototype file describes it."""
    lines = []
    for entry in sorted(folder.iterdir()):
        line = f"{' ' * depth}{entry.name} "
        if entry.is_symlink():
            lines.append(f"{line}l--777 0 0 {entry.readlink()}\n")
        elif entry.is_dir():
            lines.append(f"{line}d--755 0 0\n{prototype(entry, depth + 1)}")
        else:
            lines.append(f"{line}---{entry.stat().st_mode & 0o777:o} 0 0 {entry}\n")
    return "".join(lines) + f"{' ' * (depth - 1)}$\n"


def made(tree: Path, image: Path, *options: str, extra: str = "", size: int = 96) -> Path:
    """Make an XFS with the content of a folder, without a mount."""
    (image.parent / "prototype").write_text(f"/\n0 0\nd--755 0 0\n{extra}{prototype(tree)}")
    with image.open("wb") as file:
        file.truncate(size * MIB)
    run("mkfs.xfs", "--unsupported", "-q", "-f", *options, "-p", str(image.parent / "prototype"), str(image))
    return image


@requires_tool("mkfs.xfs", "blkid")
@pytest.mark.parametrize("variant", MKFS)
def test_made_by_mkfs(tree: Path, tmp_path: Path, variant: str) -> None:
    extra = " device c--600 0 0 1 3\n fifo p--644 0 0\n"
    image = made(
        tree,
        tmp_path / "x.img",
        *MKFS[variant],
        "-L",
        "made here",
        extra=extra,
        size=1024 if "64 KiB" in variant else 96,
    )
    filesystem = opened(open_file(image)[0])
    found = listing(filesystem, every=10)
    expected = listing_of_folder(tree)
    assert names_of(found) == names_of(expected) | {"/device", "/fifo"}
    assert (found["/device"][0], found["/fifo"][0]) == ("device", "fifo")
    for path, (kind, size, mode, *_, value) in expected.items():
        assert (found[path][0], found[path][1], found[path][-1]) == (kind, size, value), path
        assert kind != "file" or found[path][2] == mode
    assert filesystem.condition() == "clean"
    assert filesystem.case_sensitive == (variant != "v4 ignoring case")
    assert (filesystem.lookup(filesystem.root, "ETC") is None) == filesystem.case_sensitive
    said = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", str(image)).splitlines())
    signature = identify(open_file(image)[0])
    assert (signature.content, signature.label, signature.uuid) == (said["TYPE"], "made here", said["UUID"])


def node_of(filesystem: FileSystem, path: str) -> int:
    node = filesystem.root
    for name in path.split("/"):
        entry = filesystem.lookup(node, name)
        assert entry is not None, path
        node = entry.node
    return node


def with_checksum(sector: bytes, at: int) -> bytes:
    """Return a structure with its checksum set right again."""
    zeroed = sector[:at] + bytes(4) + sector[at + 4 :]
    return sector[:at] + crc32c(zeroed).to_bytes(4, "little") + sector[at + 4 :]


def altered(image: Path, *changes: tuple[int, bytes], checksum: tuple[int, int, int] | None = None) -> MemoryDevice:
    """Return an image with other bytes in places; `checksum`: where (start, size, place) a checksum is to fit again."""
    data = bytearray(image.read_bytes())
    for offset, piece in changes:
        data[offset : offset + len(piece)] = piece
    if checksum is not None:
        start, size, at = checksum
        data[start : start + size] = with_checksum(bytes(data[start : start + size]), at)
    return MemoryDevice(bytes(data), "disk0")


SUPERBLOCK = (0, 512, 224)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept("xfs-v5", tmp_path_factory.mktemp("five"))


@pytest.mark.parametrize(
    ("bit", "said"),
    [(0x10, r"0x10 \(needsrepair\) .* repaired first"), (0x200, r"0x200 \(zoned\)"), (0x8000, r"0x8000 \(unknown\)")],
)
def test_features_that_are_not_read_are_refused_by_name(five: Path, bit: int, said: str) -> None:
    features = int.from_bytes(five.read_bytes()[216:220], "big") | bit
    device = altered(five, (216, features.to_bytes(4, "big")), checksum=SUPERBLOCK)
    with pytest.raises(UnsupportedFormat, match=f"disk0: XFS with the incompatible feature {said}"):
        opened(device)


def test_old_versions_are_refused_by_name(five: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="XFS version 3 is not read"):
        opened(altered(five, (100, b"\xb4\xa3")))
    with pytest.raises(UnsupportedFormat, match="directories of version 1"):
        opened(altered(five, (100, b"\x94\xa4")))


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (4, b"\0\0\x05\0", "block size"),
        (102, b"\0\x03", "sector size"),
        (104, b"\0\x03", "inode size"),
        (84, b"\0\0\0\x07", "allocation group size"),
        (8, b"\0\0\0\xff\0\0\0\0", "allocation groups"),
        (192, b"\x09", "directory block size"),
        (126, b"\x01", "did not finish"),
        (300, b"\x01", "checksum"),
    ],
)
def test_a_superblock_that_cannot_be(five: Path, offset: int, value: bytes, said: str) -> None:
    with pytest.raises(CorruptStructure, match=f"disk0: the XFS superblock is damaged: .*{said}"):
        opened(altered(five, (offset, value)))


def test_no_superblock() -> None:
    for device in (MemoryDevice(b""), MemoryDevice(bytes(1 << 20)), MemoryDevice(b"XFSB")):
        with pytest.raises(CorruptStructure, match="there is no XFS superblock"):
            open_filesystem(device, "disk0/p1", "xfs")


def place_of(image: Path, magic: bytes) -> int:
    """Return where a block of metadata with a magic begins."""
    data = image.read_bytes()
    return next(at for at in range(0, len(data), 512) if data[at : at + len(magic)] == magic)


def inode_place(image: Path, node: int) -> int:
    """Return where a version 5 inode begins, which holds its own number."""
    data = image.read_bytes()
    found = [at - 152 for at in range(152, len(data), 512) if data[at : at + 8] == node.to_bytes(8, "big")]
    return next(at for at in found if data[at : at + 2] == b"IN")


def test_damage_is_named_with_its_place(five: Path) -> None:
    filesystem = opened(altered(five, (place_of(five, b"BMA3") + 100, b"\xff")))
    with pytest.raises(
        CorruptStructure, match=r"the extent tree block at byte \d+, of inode \d+, has a wrong checksum"
    ):
        filesystem.read(node_of(filesystem, "pieces"), 0, 1 << 24)
    filesystem = opened(altered(five, (place_of(five, b"XSLM") + 60, b"\xff")))
    data, at = five.read_bytes(), place_of(five, b"XSLM")
    link = int.from_bytes(data[at + 32 : at + 40], "big")
    with pytest.raises(
        CorruptStructure, match=r"the symbolic link block at byte \d+, of inode \d+, has a wrong checksum"
    ):
        filesystem.readlink(link)
    filesystem = opened(altered(five, (512 + 200, b"\xff")))
    with pytest.raises(CorruptStructure, match="header of the free space of allocation group 0 has a wrong checksum"):
        filesystem.free()
    filesystem = opened(altered(five, (1024 + 300, b"\xff")))
    with pytest.raises(CorruptStructure, match="header of the inodes of allocation group 0 has a wrong checksum"):
        filesystem.free()


def test_a_damaged_inode_loses_only_itself(five: Path) -> None:
    filesystem = opened(open_file(five)[0])
    node = node_of(filesystem, "etc/empty")
    start = inode_place(five, node)
    filesystem = opened(altered(five, (start + 60, b"\x01")))
    assert {e.name: e.kind for e in filesystem.list(node_of(filesystem, "etc"))}["empty"] == "other"
    with pytest.raises(CorruptStructure, match=f"inode {node} has a wrong checksum"):
        node_of(filesystem, "etc/empty")
    assert filesystem.read(node_of(filesystem, "etc/os-release"), 0, 99) == b"ID=debian\n"


def test_a_damaged_directory_block_loses_only_itself(five: Path) -> None:
    healthy = opened(open_file(five)[0])
    many = [entry.name for entry in healthy.list(node_of(healthy, "many"))]
    data = five.read_bytes()
    start = data.rindex(b"a-file-of-number-555.conf") // 1024 * 1024
    start = next(at for at in range(start, 0, -1024) if data[at : at + 4] == b"XDD3")
    filesystem = opened(altered(five, (start + 100, b"\xff")))
    node = node_of(filesystem, "many")
    names: list[str] = []
    with pytest.raises(CorruptStructure, match=rf"the directory block at byte {start}, of inode {node}, has a wrong"):
        names.extend(entry.name for entry in filesystem.list(node))
    assert len(many) - 150 < len(names) < len(many)
    assert filesystem.lookup(node, names[0]) is not None
    with pytest.raises(CorruptStructure):
        filesystem.lookup(node, "a-file-of-number-555.conf")


def test_a_directory_block_that_cannot_be_read_loses_only_itself(five: Path) -> None:
    healthy = opened(open_file(five)[0])
    node = node_of(healthy, "many")
    names = {entry.name for entry in healthy.list(node)}
    data = five.read_bytes()
    start = data.rindex(b"a-file-of-number-555.conf")
    start = next(at for at in range(start // 1024 * 1024, 0, -1024) if data[at : at + 4] == b"XDD3")
    filesystem = opened(Unreadable(open_file(five)[0], start, 1024))
    found = names_until_damage(filesystem, node)
    assert names - found == {name for name in names if name.encode() in data[start : start + 4096]} - found
    assert 0 < len(names - found) < 150
    assert all(filesystem.lookup(node, name) is not None for name in sorted(found)[::40])


def test_names_are_found_without_the_hash_tree(five: Path) -> None:
    """The names are what counts; the tree over them is made from them."""
    data = five.read_bytes()
    nodes = [at for at in range(0, len(data), 1024) if data[at + 8 : at + 10] in {b"\x3e\xbe", b"\x3d\xff"}]
    filesystem = opened(altered(five, *((at + 70, b"\xff") for at in nodes)))
    many = node_of(filesystem, "many")
    assert filesystem.lookup(many, "a-file-of-number-300.conf") is not None
    assert filesystem.lookup(many, "no-such-name") is None


def test_realtime_files_are_named(five: Path) -> None:
    filesystem = opened(open_file(five)[0])
    node = node_of(filesystem, "few/a-file-of-number-0.conf")
    start = inode_place(five, node)
    filesystem = opened(altered(five, (start + 90, b"\0\1"), checksum=(start, 512, 100)))
    assert filesystem.stat(node).size == 1
    with pytest.raises(UnsupportedFormat, match=f"inode {node} lies in the real-time section"):
        filesystem.read(node, 0, 1)


def test_what_is_no_file_directory_or_link(five: Path) -> None:
    filesystem = opened(open_file(five)[0])
    with pytest.raises(CorruptStructure, match="is a directory, not a file"):
        filesystem.read(filesystem.root, 0, 1)
    with pytest.raises(CorruptStructure, match="is a fifo, not a symbolic link"):
        filesystem.readlink(node_of(filesystem, "fifo"))
    with pytest.raises(CorruptStructure, match="is a file, not a directory"):
        filesystem.lookup(node_of(filesystem, "hard"), "x")
    for node in (0, -1, 1, 1 << 40, 1 << 70):
        with pytest.raises(CorruptStructure):
            filesystem.stat(node)


def test_a_cut_image(five: Path) -> None:
    data = five.read_bytes()
    filesystem = opened(MemoryDevice(data[: 1 << 20], "disk0"))
    with pytest.raises((TruncatedRead, CorruptStructure)):
        listing(filesystem)
    with pytest.raises(ImageError):
        filesystem.free()


def test_large_files_are_read_by_position(five: Path) -> None:
    filesystem = opened(open_file(five)[0])
    node = node_of(filesystem, "sparse")
    size = (4 << 30) + 14
    assert filesystem.stat(node).size == size
    assert filesystem.read(node, 0, 7) == b"start\0\0"
    assert filesystem.read(node, (2 << 30) + 5, 10) == b"\0\0middle\0\0"
    assert filesystem.read(node, size - 5, 100) == b"\0\0end"
    assert filesystem.read(node, size, 1) == filesystem.read(node, 1 << 62, 1) == filesystem.read(node, -1, 1) == b""


def debian_tree(root: Path) -> None:
    """Unpack what the Debian export has of /etc, /boot and the package database."""
    with imgscan.open_disk(FIXTURES / "images" / "debian12-bios.vmdk") as disk:
        start = int.from_bytes(disk.read_at(446 + 8, 4), "little") * 512
        guest = GuestTree({"/": open_filesystem(SliceDevice(disk, start, disk.size - start, "p1"), "p1", "ext4")})
        todo = ["/etc", "/boot", "/var/lib/dpkg/status"]
        while todo:
            path = todo.pop()
            entry = guest.stat(path, follow=False)
            target = root / path[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.kind == "directory":
                target.mkdir(exist_ok=True)
                todo += [f"{path}/{name}" for name in (entry.name for entry in guest.list(path)) if " " not in name]
            elif entry.kind == "symlink":
                target.symlink_to(guest.readlink(path))
            else:
                target.write_bytes(guest.read(path))


def read_below(guest: GuestTree, path: str) -> int:
    """Read everything below a folder; return how many bytes there are."""
    found = 0
    for entry in guest.list(path):
        below = f"{path}/{entry.name}"
        if entry.kind == "directory":
            found += read_below(guest, below)
        elif entry.kind == "symlink":
            found += len(guest.readlink(below))
        else:
            found += len(guest.read(below))
    return found


@requires_tool("mkfs.xfs", "mke2fs")
def test_it_costs_at_most_twice_what_ext4_costs(tmp_path: Path) -> None:
    """/etc, /boot and the package database of the Debian export."""
    tree = tmp_path / "tree"
    tree.mkdir()
    debian_tree(tree)
    cost = {}
    for content, image in (
        ("ext4", make_ext(tree, tmp_path / "ext4.img", "ext4", "96M")),
        ("xfs", made(tree, tmp_path / "xfs.img")),
    ):
        device, counter = open_file(image)
        filesystem = open_filesystem(device, "disk0", content)
        filesystem.free()
        filesystem.condition()
        guest = GuestTree({"/": filesystem})
        found = read_below(guest, "/etc") + read_below(guest, "/boot") + len(guest.read("/var/lib/dpkg/status"))
        cost[content] = (counter.result().reads, counter.result().bytes, found)
    assert cost["xfs"][2] == cost["ext4"][2] > 100_000
    assert cost["xfs"][0] <= 2 * cost["ext4"][0], cost
    assert cost["xfs"][1] <= 2 * cost["ext4"][1], cost


def test_a_lookup_in_a_large_directory_reads_little(five: Path) -> None:
    device, counter = open_file(five)
    filesystem = opened(device)
    many = node_of(filesystem, "many")
    before = counter.result()
    assert filesystem.lookup(many, "a-file-of-number-550.conf") is not None
    after = counter.result()
    assert after.reads - before.reads <= 6  # first block, node, leaf, block of the name, inode
    assert after.bytes - before.bytes <= 6 * 64 << 10


def test_the_state_of_the_log_costs_little(name: str, image: Path) -> None:
    device, counter = open_file(image)
    filesystem = opened(device)
    before = counter.result().reads
    assert filesystem.condition() == "clean"
    assert counter.result().reads - before <= (20 if name == "xfs-v4" else 5)


KERNEL = {
    name: options
    for name, options in MKFS.items()
    if not name.startswith("v4")  # which the kernel of this machine may refuse
} | {"blocks of 16 KiB": ("-b", "size=16k"), "no counts of trees": ("-m", "inobtcount=0")}


@pytest.mark.long
@requires_tool("mkfs.xfs", "xfs_io", "mount", "blkid")
@pytest.mark.parametrize("variant", KERNEL)
def test_filled_by_the_kernel(tmp_path: Path, variant: str) -> None:
    image = tmp_path / "x.img"
    with image.open("wb") as file:
        file.truncate(1 << 30)
    options = KERNEL[variant]
    run("mkfs.xfs", "-q", "-f", "-L", "kernel", *options, str(image))
    bigtime, reflink = "bigtime=0" not in options, "reflink=0" not in str(options)
    with mounted(image, tmp_path / "mnt") as point:
        fill(point, many=5000, extents=3000, step=128 << 10, late=bigtime)
        change(point, reflink=reflink)
    with mounted(image, tmp_path / "mnt") as point:
        expected, statfs = listing_of_folder(point), os.statvfs(point)
    filesystem = opened(open_file(image)[0])
    found = listing(filesystem)
    assert {path: (facts, found.get(path)) for path, facts in expected.items() if found.get(path) != facts} == {}
    assert names_of(found) == names_of(expected)
    size = statfs.f_bfree * statfs.f_frsize
    assert filesystem.free() == Free(size, size, statfs.f_ffree)
    assert filesystem.condition() == "clean"
    said = dict(line.split("=", 1) for line in run("blkid", "-p", "-o", "export", str(image)).splitlines())
    signature = identify(open_file(image)[0])
    assert (signature.content, signature.label, signature.uuid) == (said["TYPE"], said["LABEL"], said["UUID"])


@pytest.mark.long
@requires_tool("mkfs.xfs", "xfs_io", "mount")
@pytest.mark.parametrize("options", [(), ("-l", "su=64k"), ("-b", "size=1k", "-d", "agcount=1")])
def test_the_log_after_each_use(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Through several passes over a small log, cleanly unmounted and not."""
    image = tmp_path / "x.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    run("mkfs.xfs", "--unsupported", "-q", "-f", *options, str(image))
    for turn in range(60):
        with mounted(image, tmp_path / "mnt") as point:
            folder = point / f"{turn % 5}"
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
            for number in range(40 + 13 * turn):
                (folder / f"{turn}-{number}").write_bytes(b"x")
            if turn % 3 == 1:
                run("sync", "-f", str(point))
                (folder / "last").write_bytes(b"x")
                run("xfs_io", "-x", "-c", "shutdown -f" if turn % 2 else "shutdown", str(point))
        assert opened(open_file(image)[0]).condition() == ("log not replayed" if turn % 3 == 1 else "clean"), turn
