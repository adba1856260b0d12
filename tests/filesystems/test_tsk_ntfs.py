from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filesystem_images import kept_ntfs, run
from ntfs_places import attribute_offset, log_offset, log_size, mft_offset, restart_page, volume_flags_offset
from tools import require_tool, requires_tool

from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, EncryptedData, ImageError
from imgscan.filesystems import open_filesystem

TEXT = b"".join(letter.encode() * 10000 for letter in "abcdefghijklmnopqrst")
"""packed/text.txt, as tests/fixtures/filesystems/make_ntfs.sh writes it."""
NAMES = {f"Long File Name Number {number}.txt" for number in range(1, 81) if number != 77}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_ntfs(tmp_path_factory.mktemp("ntfs") / "ntfs.img")


def opened(data: bytes) -> FileSystem:
    return open_filesystem(MemoryDevice(data), "disk0/p1", "ntfs")


@pytest.fixture(scope="module")
def filesystem(image: Path) -> FileSystem:
    return opened(image.read_bytes())


@pytest.fixture(scope="module")
def tree(filesystem: FileSystem) -> GuestTree:
    return GuestTree({"/": filesystem})


def test_names(filesystem: FileSystem, tree: GuestTree) -> None:
    assert {entry.name for entry in tree.list("/many")} == NAMES
    assert set(tree.names("/many")) == NAMES
    assert {entry.name for entry in filesystem.list(filesystem.root)} == {
        "Documents and Settings", "Users", "Windows", "hive-link", "interix-link", "longfilename.extension", "many",
        "packed", "secret.txt", "sparse", "wof.exe", "Ärger.txt",
    }  # fmt: skip


@requires_tool("fls")
def test_names_are_those_that_fls_lists(image: Path, tree: GuestTree) -> None:
    listed = run("fls", "-u", "-r", "-p", str(image)).splitlines()
    names = {line.partition(":\t")[2] for line in listed if line.startswith(("r/r", "d/d"))}
    files = {name for name in names if not name.startswith("$") and ":" not in name}

    def walk(folder: str) -> set[str]:
        found = set()
        for entry in tree.list("/" + folder):
            path = f"{folder}/{entry.name}".lstrip("/")
            found |= {path} | (walk(path) if entry.kind == "directory" else set())
        return found

    assert walk("") == files


def test_case_does_not_matter_and_the_real_name_comes_back(filesystem: FileSystem, tree: GuestTree) -> None:
    assert not filesystem.case_sensitive
    place = tree.resolve("/WINDOWS/system32/CONFIG/software")
    assert place.path == "/Windows/System32/config/SOFTWARE"
    assert tree.read("/windows/SYSTEM32/config/SoftWare") == b"hive"
    for name in NAMES:
        assert tree.exists(f"/many/{name.upper()}"), name
    assert not tree.exists("/many/Long File Name Number 77.txt")
    assert not tree.exists("/many/Long File Name Number 8.tx")
    assert tree.read("/äRGER.TXT") == b"Umlaut"
    assert tree.read("/LONGFI~1.ext") == b"short"


def test_compressed_and_sparse_content(filesystem: FileSystem, tree: GuestTree) -> None:
    assert tree.read("/packed/text.txt") == TEXT
    node = tree.resolve("/packed/text.txt").entry.node
    for offset in range(0, len(TEXT), 7777):
        assert filesystem.read(node, offset, 66_000) == TEXT[offset : offset + 66_000]
    assert tree.read("/sparse") == bytes(300_000) + b"END"


def test_links(tree: GuestTree) -> None:
    assert tree.readlink("/Documents and Settings") == "\\??\\C:\\Users"
    assert tree.resolve("/documents and settings/default").path == "/Users/Default"
    assert tree.readlink("/hive-link") == "Windows\\System32\\config\\SOFTWARE"
    assert tree.read("/hive-link") == b"hive"
    assert tree.readlink("/interix-link") == "Windows/System32"
    assert tree.exists("/interix-link/config/SOFTWARE")


def test_what_windows_compressed_is_not_taken_for_zeros(tree: GuestTree) -> None:
    assert tree.stat("/wof.exe").kind == "file"
    with pytest.raises(CorruptStructure, match="its compressed content is not there"):
        tree.read("/wof.exe")


def test_what_windows_encrypted_is_refused(image: Path, tree: GuestTree) -> None:
    data = bytearray(image.read_bytes())
    node = tree.resolve("/secret.txt").entry.node
    position = attribute_offset(data, node, 0x80)
    struct.pack_into("<H", data, position + 12, 0x4000)
    damaged = GuestTree({"/": opened(bytes(data))})
    with pytest.raises(EncryptedData, match="EFS"):
        damaged.read("/secret.txt")
    assert tree.read("/secret.txt") == b"x" * 5000


@requires_tool("ntfsinfo")
def test_free_space_is_what_ntfsinfo_says(image: Path, filesystem: FileSystem) -> None:
    listing = run("ntfsinfo", "-m", "-f", str(image))
    clusters, size = (re.search(rf"{name}: (\d+)", listing) for name in ("Free Clusters", "Cluster Size"))
    assert clusters is not None
    assert size is not None
    free = filesystem.free()
    assert free.bytes == free.available == int(clusters[1]) * int(size[1])
    assert free.inodes is None
    assert filesystem.free_cost() < 1024


def test_condition(image: Path, filesystem: FileSystem) -> None:
    assert filesystem.condition() == "clean"
    data = bytearray(image.read_bytes())
    struct.pack_into("<H", data, volume_flags_offset(data), 1)
    assert opened(bytes(data)).condition() == "not cleanly unmounted"
    at = log_offset(data)
    data[at : at + 4] = b"RSTR"
    assert opened(bytes(data)).condition() == "not cleanly unmounted"  # a damaged journal hides nothing


TO_REPLAY = "its journal has to be replayed"


@pytest.mark.parametrize(
    ("pages", "condition"),
    [
        ([{"in_use": False}, {"in_use": False}], "clean"),
        ([{"in_use": True}, {"in_use": True}], TO_REPLAY),
        ([{"in_use": True, "clean": True}, {"in_use": False}], "clean"),
        ([{"in_use": False}, {"in_use": True}], TO_REPLAY),  # the second page is the later one
        ([{"in_use": True, "number": 900}, {"in_use": False}], TO_REPLAY),
        ([{"in_use": False, "number": 900}, {"in_use": True}], "clean"),
        ([{"in_use": True, "version": (2, 0)}, None], TO_REPLAY),
        ([None, None], None),
        ([{"in_use": False, "version": (3, 0)}, {"in_use": False}], None),
    ],
)
@requires_tool("ntfs-3g.probe")
def test_the_journal_as_ntfs_3g_judges_it(
    pages: list[dict[str, Any] | None], condition: str | None, image: Path, tmp_path: Path
) -> None:
    data = bytearray(image.read_bytes())
    at, size = log_offset(data), log_size(data)
    for index, page in enumerate(pages):
        made = restart_page(size, **{"number": 100 + index, **page}) if page is not None else bytes(4096)
        data[at + 4096 * index : at + 4096 * (index + 1)] = made
    if condition is None:
        with pytest.raises(ImageError, match="journal"):
            opened(bytes(data)).condition()
        return
    assert opened(bytes(data)).condition() == condition
    volume = tmp_path / "volume"
    volume.write_bytes(data)
    command = [require_tool("ntfs-3g.probe"), "--readwrite", str(volume)]
    status = subprocess.run(command, capture_output=True, check=False).returncode
    assert status in ({14, 15} if condition == TO_REPLAY else {0})  # hibernated, or in use


def test_a_torn_index_block_is_damage(image: Path) -> None:
    data = image.read_bytes()
    blocks = [match.start() for match in re.finditer(rb"INDX", data) if match.start() % 4096 == 0]
    damaged = bytearray(data)
    for block in blocks:
        damaged[block + 510 : block + 512] = b"\xee\xee"
    tree = GuestTree({"/": opened(bytes(damaged))})
    with pytest.raises(CorruptStructure, match="fixup"):
        list(tree.list("/many"))
    with pytest.raises(CorruptStructure, match="directory"):
        tree.find("/many/Long File Name Number 5.txt")


def test_flips_end_in_an_image_error(image: Path) -> None:
    data = image.read_bytes()
    start = mft_offset(data)
    many = start + 1024 * 70
    index = data.index(b"INDX", many)
    positions = [*range(11, 80, 3), *range(start, start + 512, 16), *range(index + 4, index + 700, 12)]
    for position in positions:
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
            case = data[:position] + value + data[position + 4 :]
            try:
                tree = GuestTree({"/": opened(case)})
                list(tree.list("/"))
                list(tree.list("/many"))
                tree.find("/many/Long File Name Number 5.txt")
                tree.mounts["/"].free()  # type: ignore[union-attr]
            except ImageError:
                continue
