from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from filesystem_images import make_fat, open_file, run
from tools import requires_tool

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat
from imgscan.filesystems import open_filesystem

pytestmark = requires_tool("mkfs.vfat", "mcopy", "mdir", "mdel")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "EFI" / "BOOT").mkdir(parents=True)
    (root / "EFI" / "BOOT" / "BOOTX64.EFI").write_bytes(b"MZ" + bytes(3000))
    (root / "EFI" / "debian").mkdir()
    (root / "EFI" / "debian" / "grub.cfg").write_bytes(b"search.fs_uuid\n")
    (root / "many").mkdir()
    for number in range(300):
        (root / "many" / f"a longer name {number}.conf").write_bytes(b"x" * number)
    return root


@pytest.fixture(scope="module", params=["12", "16", "32"])
def image(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    size, *options = {"12": (4, "-s", "8"), "16": (32,), "32": (64, "-s", "1")}[request.param]
    path: Path = tmp_path_factory.mktemp("fat") / f"fat{request.param}.img"
    return make_fat(tree, path, int(size), "-F", request.param, "-n", "THELABEL", *map(str, options))


def opened(image: Path) -> FileSystem:
    return open_filesystem(open_file(image)[0], "disk0/p1", "vfat")


def test_names_and_content(image: Path, tree: Path) -> None:
    guest = GuestTree({"/": opened(image)})
    assert {entry.name for entry in guest.list("/")} == {"EFI", "many"}  # not the label, not TSK's own names
    assert {entry.name for entry in guest.list("/many")} == {path.name for path in (tree / "many").iterdir()}
    assert guest.read("/many/a longer name 299.conf") == b"x" * 299
    assert guest.stat("/EFI/BOOT/BOOTX64.EFI").size == 3002
    assert guest.stat("/efi/boot").kind == "directory"


def test_case_does_not_matter(image: Path) -> None:
    guest = GuestTree({"/": opened(image)})
    assert guest.resolve("/efi/boot/bootx64.efi").path == "/EFI/BOOT/BOOTX64.EFI"
    assert guest.resolve("/EFI/DEBIAN/GRUB.CFG").path == "/EFI/debian/grub.cfg"


def test_deleted_names_are_gone(tree: Path, tmp_path: Path) -> None:
    image = make_fat(tree, tmp_path / "x.img")
    run("mdel", "-i", str(image), "::/many/a longer name 7.conf")
    guest = GuestTree({"/": opened(image)})
    assert not guest.exists("/many/a longer name 7.conf")
    assert sum(1 for _ in guest.list("/many")) == 299


def test_free_space_is_what_mdir_says(image: Path) -> None:
    free = opened(image).free()
    said = re.search(r"([\d ]+) bytes free", run("mdir", "-i", str(image)))
    assert said is not None
    assert free.bytes == int(said[1].replace(" ", ""))
    assert free.available == free.bytes


def test_a_wrong_hint_is_not_believed_on_a_dirty_volume(tree: Path, tmp_path: Path) -> None:
    image = make_fat(tree, tmp_path / "x.img", 64, "-F", "32", "-s", "1")
    exact = opened(image).free()
    with image.open("r+b") as file:
        (reserved,) = struct.unpack_from("<H", head := file.read(512), 14)
        (info,) = struct.unpack_from("<H", head, 48)
        file.seek(info * 512 + 488)
        file.write(struct.pack("<I", 5))
    hinted = opened(image)
    assert hinted.free().bytes == 5 * 512
    assert hinted.free_cost() < 4096
    with image.open("r+b") as file:  # the second entry's bit 27: left clean
        file.seek(reserved * 512 + 4)
        (entry,) = struct.unpack("<I", file.read(4))
        file.seek(reserved * 512 + 4)
        file.write(struct.pack("<I", entry & ~0x08000000))
    assert opened(image).free() == exact


FAT16, FAT32 = ("-F", "16"), ("-F", "32")


@requires_tool("fsck.vfat")
@pytest.mark.parametrize(
    ("kind", "at", "mask", "words", "condition"),
    [
        (FAT16, None, 0, "", "clean"),
        (FAT32, None, 0, "", "clean"),
        (FAT32, 0x41, 1, "Dirty bit is set", "not cleanly unmounted"),
        (FAT16, 0x25, 1, "Dirty bit is set", "not cleanly unmounted"),
        (FAT32, "table", 0x0800_0000, "", "not cleanly unmounted"),
        (FAT32, "table", 0x0400_0000, "", "errors were met"),
        (FAT16, "table", 0x8000, "", "not cleanly unmounted"),
        (FAT16, "table", 0xC000, "", "not cleanly unmounted; errors were met"),
    ],
)
def test_how_it_was_left(  # fsck.vfat looks at the state in the boot sector only
    tree: Path, tmp_path: Path, kind: tuple[str, ...], at: int | str | None, mask: int, words: str, condition: str
) -> None:
    image = make_fat(tree, tmp_path / "x.img", 64 if kind is FAT32 else 32, *kind, *(("-s", "1") * (kind is FAT32)))
    raw = bytearray(image.read_bytes())
    if at == "table":
        size = 4 if kind is FAT32 else 2
        entry = int.from_bytes(raw[14:16], "little") * 512 + size
        raw[entry : entry + size] = (int.from_bytes(raw[entry : entry + size], "little") & ~mask).to_bytes(
            size, "little"
        )
    elif isinstance(at, int):
        raw[at] |= mask
    image.write_bytes(raw)
    assert opened(image).condition() == condition
    checked = subprocess.run(["fsck.vfat", "-n", image], capture_output=True, text=True, check=False)
    assert words in checked.stdout


@requires_tool("fsck.vfat")
def test_a_root_directory_without_its_clusters_is_damage_and_not_empty(tree: Path, tmp_path: Path) -> None:
    image = make_fat(tree, tmp_path / "x.img", 64, "-F", "32", "-s", "1")
    assert list(opened(image).list(opened(image).root))
    raw = bytearray(image.read_bytes())
    table = int.from_bytes(raw[14:16], "little") * 512
    for entry in (0, 1, 0x0FFF_FFF7, 2):
        raw[table + 8 : table + 12] = entry.to_bytes(4, "little")
        image.write_bytes(raw)
        with pytest.raises(CorruptStructure, match="root directory"):
            opened(image)
    checked = subprocess.run(["fsck.vfat", "-n", image], capture_output=True, text=True, check=False)
    assert checked.returncode


def test_another_fat_than_the_first_is_not_passed_over(tree: Path, tmp_path: Path) -> None:
    image = make_fat(tree, tmp_path / "x.img", 64, "-F", "32", "-s", "1")
    raw = bytearray(image.read_bytes())
    raw[40] = 0x81
    image.write_bytes(raw)
    with pytest.raises(UnsupportedFormat, match="FAT number 1"):
        opened(image)


@requires_tool("mkfs.exfat", "fsck.exfat", "dump.exfat")
def test_how_an_exfat_was_left(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    image.write_bytes(bytes(8 << 20))
    run("mkfs.exfat", str(image))
    whole = image.read_bytes()

    def condition(at: int, value: int) -> str | None:
        raw = bytearray(whole)
        raw[at] = value
        image.write_bytes(raw)
        return open_filesystem(open_file(image)[0], "disk0/p1", "exfat").condition()

    assert condition(106, 0) == "clean"
    assert condition(106, 2) == "not cleanly unmounted"
    assert condition(106, 4) == "errors were met"
    assert condition(600, 1) == "damaged boot region (its checksum does not fit)"
    checked = subprocess.run(["fsck.exfat", "-n", image], capture_output=True, text=True, check=False)
    assert "boot region is corrupted" in checked.stdout + checked.stderr


@requires_tool("mkfs.exfat", "dump.exfat")
def test_exfat(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    run("mkfs.exfat", str(image))
    filesystem = open_filesystem(open_file(image)[0], "disk0", "exfat")
    assert list(filesystem.list(filesystem.root)) == []
    listing = run("dump.exfat", str(image))
    said = {name: int(number) for name, number in re.findall(r"^(\w[\w ()]+):\s+(\d+)$", listing, re.MULTILINE)}
    assert filesystem.free().bytes == said["Free Clusters"] * said["Cluster size"]

    heap = said["Cluster Heap Offset (sector offset)"] * 512
    at = heap + (said["Root Cluster (cluster offset)"] - 2) * said["Cluster size"]
    data = bytearray(image.read_bytes())
    while data[at]:
        at += 32
    cluster = said["Root Cluster (cluster offset)"] + 1
    entries = exfat_file("Übung.txt", cluster, len(b"content"))
    data[at : at + len(entries)] = entries
    start = heap + (cluster - 2) * said["Cluster size"]
    data[start : start + 7] = b"content"
    bitmap = heap + (said["Bitmap start cluster"] - 2) * said["Cluster size"]
    data[bitmap + (cluster - 2) // 8] |= 1 << (cluster - 2) % 8
    guest = GuestTree({"/": open_filesystem(MemoryDevice(bytes(data)), "disk0", "exfat")})
    assert [(entry.name, entry.size) for entry in guest.list("/")] == [("Übung.txt", 7)]
    assert guest.read("/üBUNG.TXT") == b"content"


def exfat_file(name: str, cluster: int, size: int) -> bytes:
    """Return the entries of a contiguous file (exFAT specification, 7.4, 7.6 and 7.7)."""
    name_hash = 0
    for byte in name.upper().encode("utf-16-le"):
        name_hash = ((name_hash << 15 | name_hash >> 1) + byte) & 0xFFFF
    stream = struct.pack("<BBxBHxxQxxxxIQ", 0xC0, 3, len(name), name_hash, size, cluster, size)
    names = struct.pack("<BB30s", 0xC1, 0, name.encode("utf-16-le"))
    head = bytearray(struct.pack("<BBHHxx3I12x", 0x85, 2, 0, 0x20, *[0x58210000] * 3))  # 2024-01-01
    checksum = 0
    for index, byte in enumerate(bytes(head) + stream + names):
        if index not in {2, 3}:
            checksum = ((checksum << 15 | checksum >> 1) + byte) & 0xFFFF
    struct.pack_into("<H", head, 2, checksum)
    return bytes(head) + stream + names


def test_flips_end_in_an_image_error(tree: Path, tmp_path: Path) -> None:
    data = make_fat(tree, tmp_path / "x.img", 4, "-s", "8").read_bytes()
    for position in (*range(11, 64), *range(512, 600, 4)):
        for value in (b"\0\0", b"\xff\xff"):
            case = data[:position] + value + data[position + 2 :]
            try:
                filesystem = open_filesystem(MemoryDevice(case), "disk0", "vfat")
                filesystem.free()
                for entry in filesystem.list(filesystem.root):
                    if entry.kind == "directory":
                        list(filesystem.list(entry.node))
            except ImageError:
                continue
