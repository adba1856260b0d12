"""Core images that grub-mkimage makes say what it was told; damaged ones are told from foreign ones."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from disk_builder import GRUB_PC, run
from tools import require_file

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.guests.grub_core import GrubCore, PerhapsDamaged, read_core, read_legacy, search_in

UUID = "11111111-2222-3333-4444-555555555555"


def _disk(folder: Path, prefix: str, config: str = "", *modules: str) -> bytearray:
    """Return a disk with a core image behind the boot sector, as grub-mkimage writes it: for sector 1."""
    image, early = folder / "core.img", folder / "early.cfg"
    early.write_text(config)
    with_config: list[str | Path] = ["-c", early] if config else []
    modules = modules or ("biosdisk", "part_msdos", "ext2", "search_fs_uuid")
    run("grub-mkimage", "-O", "i386-pc", "-o", image, "-p", prefix, *with_config, *modules)
    return bytearray(require_file(GRUB_PC / "boot.img") + image.read_bytes()).ljust(1 << 20, b"\0")


def _core(disk: bytes | bytearray) -> GrubCore:
    return read_core(MemoryDevice(bytes(disk), "disk0"), bytes(disk[:512]))


@pytest.mark.parametrize(
    ("prefix", "device", "path"),
    [
        ("(,msdos1)/boot/grub", ",msdos1", "/boot/grub"),
        ("(hd1,gpt12)/grub2", "hd1,gpt12", "/grub2"),
        ("(lvm/vg0-root)/boot/grub", "lvm/vg0-root", "/boot/grub"),
        (
            "(mduuid/0123456789abcdef0123456789abcdef)/boot/grub",
            "mduuid/0123456789abcdef0123456789abcdef",
            "/boot/grub",
        ),
        ("/boot/grub", "", "/boot/grub"),
    ],
)
def test_prefix(tmp_path: Path, prefix: str, device: str, path: str) -> None:
    core = _core(_disk(tmp_path, prefix))
    assert (core.device, core.search, core.path, core.has_normal, core.needs_key) == (device, None, path, False, False)
    assert core.offset == 512


def test_embedded_configuration(tmp_path: Path) -> None:
    config = f"search.fs_uuid {UUID} root hd0,msdos1\nset prefix=($root)'/boot/grub'\n"
    core = _core(_disk(tmp_path, "(,msdos1)/nowhere", config))
    assert (core.search, core.path) == (("fs_uuid", UUID), "/boot/grub")
    core = _core(_disk(tmp_path, "/nowhere", "set root='hd0,msdos2'\nset prefix=($root)/grub\n"))
    assert (core.search, core.device, core.path) == (None, "hd0,msdos2", "/grub")
    core = _core(_disk(tmp_path, "/", "cryptomount -u 0123456789abcdef\nset prefix=(cryptouuid/0123)/grub\n"))
    assert (core.needs_key, core.device) == (True, "cryptouuid/0123")


def test_a_core_image_with_the_menu_inside(tmp_path: Path) -> None:
    assert _core(_disk(tmp_path, "/boot/grub", "", "biosdisk", "part_msdos", "ext2", "normal")).has_normal


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (f"search --no-floppy --fs-uuid --set=root {UUID}", ("fs_uuid", UUID)),
        (f"search --fs-uuid --set root {UUID}", ("fs_uuid", UUID)),
        (f"search.fs_uuid {UUID} root hd0,gpt2", ("fs_uuid", UUID)),
        ("search --label --set=root ROOT", ("fs_label", "ROOT")),
        ("search.file /.disk/info root", ("file", "/.disk/info")),
        ("set root=hd0", None),
        ("search", None),
    ],
)
def test_searches(config: str, expected: tuple[str, str] | None) -> None:
    assert search_in(config) == expected


def test_what_is_missing_or_damaged(tmp_path: Path) -> None:
    disk = _disk(tmp_path, "(,msdos1)/boot/grub")
    wiped = disk[:512] + bytes(len(disk) - 512)
    with pytest.raises(CorruptStructure, match="no GRUB core image"):
        _core(wiped)
    cut = disk[:8192] + bytes(len(disk) - 8192)
    with pytest.raises(CorruptStructure, match="damaged"):
        _core(cut)
    beyond = bytearray(disk)
    struct.pack_into("<Q", beyond, 0x5C, 1 << 40)
    with pytest.raises(CorruptStructure, match="beyond the end"):
        _core(beyond)
    with pytest.raises(CorruptStructure, match="beyond the end"):
        _core(disk[:20000])


def _installed(folder: Path) -> bytearray:
    """Return a disk whose core image has a Reed-Solomon code behind it, as grub-install leaves it.

    Its content does not matter here, only that the header says there is one.
    """
    disk = _disk(folder, "(,msdos1)/boot/grub")
    size = struct.unpack_from("<H", disk, 512 + 0x1FC)[0]
    struct.pack_into("<H", disk, 512 + 0x1FC, 2 * size)
    struct.pack_into("<I", disk, 1024 + 0x10, size * 512)
    return disk


@pytest.mark.parametrize("sector", [2, 3, 4, 5])
def test_the_code_that_unpacks_must_be_there(tmp_path: Path, sector: int) -> None:
    for disk in (_disk(tmp_path, "(,msdos1)/boot/grub"), _installed(tmp_path)):
        assert _core(disk).path == "/boot/grub"
        disk[sector * 512 : sector * 512 + 512] = bytes(512)
        with pytest.raises(CorruptStructure, match=f"sector {sector} of disk0 is zeros") as caught:
            _core(disk)
        assert not isinstance(caught.value, PerhapsDamaged)


def test_other_code_at_its_start_is_not_surely_damage(tmp_path: Path) -> None:
    disk = _disk(tmp_path, "(,msdos1)/boot/grub")
    disk[1024:1029] = b"\x90" * 5
    with pytest.raises(PerhapsDamaged, match="does not begin"):
        _core(disk)


def test_what_grub_repairs_is_not_surely_damage(tmp_path: Path) -> None:
    disk = _installed(tmp_path)
    disk[8192:12288] = bytes(4096)  # GRUB 2.06 starts with 10 KiB of zeros here, seen in a virtual machine
    with pytest.raises(PerhapsDamaged, match="Reed-Solomon"):
        _core(disk)
    disk = _installed(tmp_path)
    disk[6 * 512 : 7 * 512] = bytes(512)  # code of the decompressor, which the Reed-Solomon code covers
    assert _core(disk).path == "/boot/grub"


@pytest.mark.parametrize("at", range(0x1E8, 0x200))
@pytest.mark.parametrize("value", [0, 0xFF])
def test_a_hostile_list_of_blocks_ends_in_an_answer(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int
) -> None:
    disk = _disk(tmp_path_factory.mktemp("core"), "(,msdos1)/boot/grub")
    disk[512 + at] = value
    with contextlib.suppress(ImageError):
        _core(disk)


def test_sizes_are_limited(tmp_path: Path) -> None:
    disk = _disk(tmp_path, "(,msdos1)/boot/grub")
    struct.pack_into("<I", disk, 1024 + 12, 0xFFFFFFFF)
    with pytest.raises(LimitExceeded):
        _core(disk)
    disk = _disk(tmp_path, "(,msdos1)/boot/grub")
    struct.pack_into("<QH", disk, 512 + 0x1F4, 2, 0xFFFF)
    with pytest.raises(LimitExceeded):
        _core(disk)


def _legacy(version: bytes, partition: int, config: bytes) -> tuple[bytes, bytes]:
    """Return a boot sector and a disk with stage 1.5 as `setup` of GRUB 0.97 writes it."""
    sector = bytearray(512)
    struct.pack_into("<I", sector, 0x44, 1)
    second = struct.pack("<6xBBIIBB", 3, 2, partition << 16 | 0xFFFF, 0, 2, 0) + version + b"\0" + config + b"\0"
    return bytes(sector), bytes(sector) + bytes(512) + second.ljust(512, b"\0") + bytes(4096)


def test_grub_legacy() -> None:
    sector, disk = _legacy(b"0.97", 4, b"\xff\xff\xff\xff/boot/grub/stage2")
    grub = read_legacy(MemoryDevice(disk, "disk0"), sector)
    assert (grub.version, grub.partition, grub.path) == ("0.97", 5, "/boot/grub/stage2")
    sector, disk = _legacy(b"0.97-29.el5", 0xFF, b"/grub/grub.conf")
    grub = read_legacy(MemoryDevice(disk, "disk0"), sector)
    assert (grub.version, grub.partition, grub.path) == ("0.97-29.el5", None, "/grub/grub.conf")
    with pytest.raises(CorruptStructure):
        read_legacy(MemoryDevice(bytes(8192), "disk0"), sector)
